"""A path in a bucket reads as a local path does."""

import io
import pickle
from pathlib import Path

import pytest

from migrate.places.bucket_path import BucketPath


@pytest.fixture
def folder(bucket, tmp_path):
    (tmp_path / "a" / "d").mkdir(parents=True)
    (tmp_path / "a" / "one.json").write_text("{}")
    (tmp_path / "a" / "d" / "large").write_bytes(bytes(range(256)) * 2000)
    (tmp_path / "a" / "d" / "empty").write_bytes(b"")
    return BucketPath(bucket.upload(tmp_path / "a", "run/a"))


def test_names_are_joined_and_split_as_those_of_local_paths():
    path = BucketPath("gs://bucket/run") / "1" / "d/x.json"
    assert ("gs://bucket/run/1/d/x.json", "x.json", ".json") == (str(path), path.name, path.suffix)
    assert "gs://bucket/run/1/d" == str(path.parent)
    assert "gs://bucket" == str(path.parents[-1]) == str(path.parents[-1].parent)
    assert Path("1/d/x.json") == path.relative_to(BucketPath("gs://bucket/run"))
    assert ("gs", "bucket", "run/1/d/x.json") == (*path.bucket, path.key)
    with pytest.raises(ValueError, match="not below"):
        path.relative_to(BucketPath("gs://other"))


def test_a_path_is_equal_to_its_copy_and_to_no_local_path():
    path = BucketPath("s3://bucket/a")
    assert path == BucketPath("s3://bucket", "a") == pickle.loads(pickle.dumps(path))
    assert {path} == {BucketPath("s3://bucket/a/")}


def test_objects_and_directories_are_told_apart(folder):
    assert (True, False) == (folder.is_dir(), folder.is_file())
    assert (False, True) == ((folder / "one.json").is_dir(), (folder / "one.json").is_file())
    assert not (folder / "none").exists()
    assert not (folder.parent / "a/on").exists()
    assert ["d", "one.json"] == [path.name for path in folder.iterdir()]
    assert ["empty", "large"] == [path.name for path in folder.glob("d/*")] == [p.name for p in folder.rglob("*e*")][:2]


def test_sizes_and_ranges_are_those_of_the_object(folder):
    large = folder / "d" / "large"
    assert [512_000, 0, 2] == [path.stat().st_size for path in (large, folder / "d" / "empty", folder / "one.json")]
    assert bytes(range(256)) == large.read_range(256, 512)
    assert bytes(range(250, 256)) == large.read_range(511_994, 999_999)
    assert b"" == large.read_range(512_000, 512_010)
    assert (True, False) == (large.reaches(512_000), large.reaches(512_001))


def test_an_open_object_is_read_and_searched(folder):
    with (folder / "d" / "large").open("rb") as file:
        assert 512_000 == file.seek(0, io.SEEK_END)
        file.seek(255)
        assert b"\xff\x00" == file.read(2)
    with (folder / "d" / "large").open_range(1, 300) as file:
        assert 299 == len(file.read())


def test_what_is_absent_is_a_missing_file(folder):
    for read in ("read_bytes", "stat", "iterdir"):
        with pytest.raises(FileNotFoundError, match="none"):
            list(getattr(folder / "none", read)())


@pytest.mark.parametrize("method", ["unlink", "mkdir", "rename", "write_text", "touch"])
def test_nothing_is_written(method, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(io.UnsupportedOperation, match=r"of gs://bucket/x"):
        getattr(BucketPath("gs://bucket/x"), method)("y")
    assert [] == list(tmp_path.iterdir())


def test_a_listing_is_one_request_until_it_is_refreshed(folder, bucket):
    assert folder.is_dir()
    before = bucket.traffic.requests.total()
    assert not (folder / "d" / "new").exists()
    assert before == bucket.traffic.requests.total()
    bucket.store().write("run/a/d/new", b"x").result()
    assert not (folder / "d" / "new").exists()
    folder.refresh()
    assert (folder / "d" / "new").exists()


def test_a_version_changes_with_every_write(folder, bucket):
    path = folder / "one.json"
    before = path.version()
    bucket.store().write("run/a/one.json", b"[]").result()
    path.refresh()
    assert before != path.version()
    assert None is (folder / "none").version()
