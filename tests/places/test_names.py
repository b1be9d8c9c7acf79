"""A URL is never taken for a local path, on any way into the program."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import migrate
from migrate.errors import UsageError
from migrate.places.bucket_path import BucketPath
from migrate.places.names import destination_path, local_path, path_of, place_of
from migrate.places.writable_path import WritableBucketPath
from tests.engine.sources import save

FOREIGN = ("hf://org/name", "https://host/a.safetensors", "az://container/x")
BUCKETS = ("gs://bucket/run/100", "s3://bucket/x", "GS://bucket")


def commands(error):
    (diagnostic,) = error.value.diagnostics
    assert "M417" == diagnostic.code
    return [shlex.split(command) for command in re.findall(r"`([^`]*)`", diagnostic.help)]


@pytest.mark.parametrize("url", FOREIGN)
@pytest.mark.parametrize("form", [str, Path])
@pytest.mark.parametrize("read", [place_of, local_path])
def test_a_url_of_another_kind_is_refused_with_the_next_command(url, form, read):
    with pytest.raises(UsageError, match="neither a local path nor a URL") as caught:
        read(form(url))
    assert all(commands(caught))


@pytest.mark.parametrize("url", BUCKETS)
@pytest.mark.parametrize("form", [str, Path])
def test_a_bucket_is_a_path_where_a_checkpoint_is_meant(url, form):
    found = place_of(form(url))
    assert isinstance(found, BucketPath)
    assert url.lower() == str(found)
    assert found == path_of(str(found)) == place_of(found)
    assert not isinstance(found, WritableBucketPath)
    assert isinstance(destination_path(form(url)), WritableBucketPath)
    with pytest.raises(UsageError, match="not a local path") as caught:
        local_path(form(url))
    assert all(commands(caught))


@pytest.mark.parametrize("url", ["gs://", "s3:///"])
def test_a_url_without_a_bucket_is_refused(url):
    with pytest.raises(UsageError, match="names no bucket"):
        place_of(url)


@pytest.mark.parametrize("url", ["file:///a b/c", "file:///a%20b/c", "file://localhost/a b/c", "FILE:/a b/c"])
def test_a_file_url_is_its_path(url):
    assert Path("/a b/c") == place_of(url) == local_path(url)


@pytest.mark.parametrize("path", ["old", "./gs:/b", "/gs://b", "a:b", "c:/x", "x/gs://b", "-", ":/x"])
def test_other_names_are_paths(path):
    assert Path(path) == local_path(path)


def test_a_directory_whose_name_ends_with_a_colon_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gs:").mkdir()
    assert Path("gs:/b") == local_path(Path("gs:/b"))
    assert isinstance(place_of("gs://b"), BucketPath)


def test_the_python_functions_that_need_a_local_file_write_to_no_url(tmp_path, monkeypatch):
    source = save(tmp_path / "old", {"w": np.ones(3, np.float32)})
    (tmp_path / "rules.yaml").write_text("migrate: 1\nrules: [w -> v]\n")
    monkeypatch.chdir(tmp_path)
    url = "gs://bucket/new"
    with migrate.open_checkpoint(source) as checkpoint:
        plan = migrate.plan(checkpoint, tmp_path / "rules.yaml")
        attempts = (
            lambda: migrate.stamp(url, model="lm", version=1),
            lambda: migrate.save_plan(plan, url),
        )
        for attempt in attempts:
            with pytest.raises(UsageError, match="not a local path"):
                attempt()
    assert not (tmp_path / "gs:").exists()
