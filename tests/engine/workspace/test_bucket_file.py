"""The working directory of a DST that is one object; end to end: `tests/end_to_end/test_bucket_files.py`."""

import os

import pytest

from migrate.engine.workspace import any_place
from migrate.errors import StoppedError
from migrate.places.writable_path import WritableBucketPath

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def place(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return WritableBucketPath(f"{bucket.url}/x.safetensors")


def opened(place):
    return any_place.open_workspace(place, DIGEST, single_file=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_result_becomes_dst_and_nothing_else_stays(place, bucket, tmp_path, overwrite):
    if overwrite:
        place.write_text("old")
    with opened(place) as work:
        work.store("").mkdir()
        assert tmp_path in work.store("").parents
        work.result.write_text("new")
        any_place.publish(work, place, overwrite=overwrite)
    assert (["x.safetensors"], "new", []) == (bucket.keys(""), place.read_text(), os.listdir(tmp_path))


def test_an_object_that_appeared_is_kept(place, bucket):
    with opened(place) as work:
        work.result.write_text("new")
        place.write_text("other")
        with pytest.raises(StoppedError, match="appeared"):
            any_place.publish(work, place, overwrite=False)
    assert (["x.safetensors"], b"other") == (bucket.keys(""), bucket.store().read("x.safetensors").result().value)


def test_the_directory_on_this_machine_is_not_that_of_another(place, tmp_path):
    with opened(place) as work:
        staged = work.staged
    (tmp_path / "elsewhere").mkdir()
    staged.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError), opened(place):
        pass
    assert [] == list((tmp_path / "elsewhere").iterdir())


def test_what_a_published_run_left_is_removed(place, bucket, tmp_path):
    work_folder = f".x.safetensors.migrate-{'a' * 12}"
    bucket.store().write(f"{work_folder}/journal/00000001", b"{}\n").result()
    any_place.clear_finished(place, DIGEST)
    assert [f"{work_folder}/journal/00000001"] == bucket.keys("")
    place.write_text("done")
    any_place.clear_finished(place, DIGEST)
    assert ["x.safetensors"] == bucket.keys("")
