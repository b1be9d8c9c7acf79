"""A URL is never taken for a local path, on any way into the program."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import migrate
from migrate.errors import UsageError
from migrate.formats.places import local_path
from tests.engine.sources import save

URLS = (
    "gs://bucket/run/100",
    "s3://bucket/x",
    "hf://org/name",
    "https://host/a.safetensors",
    "GS://bucket",
    "file:///a b",
)


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("form", [str, Path])
def test_a_url_is_refused_with_the_next_command(url, form):
    with pytest.raises(UsageError, match="not a local path") as caught:
        local_path(form(url))
    (diagnostic,) = caught.value.diagnostics
    assert "M417" == diagnostic.code
    for command in re.findall(r"`([^`]*)`", diagnostic.help):
        assert shlex.split(command)


def test_the_help_for_a_file_url_is_the_path():
    with pytest.raises(UsageError) as caught:
        local_path("file:///a b/c")
    assert "name the path: `'/a b/c'`" == caught.value.diagnostics[0].help


@pytest.mark.parametrize("path", ["old", "./gs:/b", "/gs://b", "a:b", "c:/x", "x/gs://b", "-", ":/x"])
def test_other_names_are_paths(path):
    assert Path(path) == local_path(path)


def test_a_directory_whose_name_ends_with_a_colon_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gs:").mkdir()
    assert Path("gs:/b") == local_path(Path("gs:/b"))
    with pytest.raises(UsageError):
        local_path("gs://b")


def test_the_python_functions_refuse_urls_and_write_nothing(tmp_path, monkeypatch):
    source = save(tmp_path / "old", {"w": np.ones(3, np.float32)})
    (tmp_path / "rules.yaml").write_text("migrate: 1\nrules: [w -> v]\n")
    monkeypatch.chdir(tmp_path)
    url = "gs://bucket/new"
    with migrate.open_checkpoint(source) as checkpoint:
        plan = migrate.plan(checkpoint, tmp_path / "rules.yaml")
        attempts = (
            lambda: migrate.open_checkpoint(url),
            lambda: migrate.list_steps(url),
            lambda: migrate.apply(plan, checkpoint, url),
            lambda: migrate.apply(plan, checkpoint, url, resume="only"),
            lambda: migrate.verify(url),
            lambda: migrate.stamp(url, model="lm", version=1),
            lambda: migrate.save_plan(plan, url),
        )
        for attempt in attempts:
            with pytest.raises(UsageError, match="not a local path"):
                attempt()
    assert not (tmp_path / "gs:").exists()
