"""A path in a bucket that is written."""

import pytest

from migrate.places.objects import NONE
from migrate.places.writable_path import WritableBucketPath


@pytest.fixture
def place(bucket):
    return WritableBucketPath(f"{bucket.url}/new")


def test_what_is_written_is_read(place, bucket):
    place.mkdir(parents=True)
    (place / "a" / "x.json").write_text("ü\n")
    assert "ü\n".encode() == bucket.store().read("new/a/x.json").result().value
    assert ["a"] == [path.name for path in place.iterdir()]
    (place / "a" / "x.json").write_bytes(b"2")
    assert b"2" == (place / "a" / "x.json").read_bytes()
    assert isinstance(place.parent, WritableBucketPath)


def test_a_new_object_replaces_none(place):
    (place / "x").write_new(b"1")
    with pytest.raises(FileExistsError, match="new/x"):
        (place / "x").write_new(b"2")
    assert b"1" == (place / "x").read_bytes()


def test_only_the_named_generation_is_exchanged(place):
    first = (place / "x").exchange(b"1", NONE)
    second = (place / "x").exchange(b"2", first)
    assert None is (place / "x").exchange(b"3", first)
    assert None is (place / "x").exchange(None, first)
    assert (b"2", second) == (place / "x").read_new()
    (place / "x").exchange(None, second)
    assert None is (place / "x").read_new()


def test_objects_are_removed_and_no_others(place, bucket):
    for key in ("new/a", "new/b/c", "new/keep", "newer"):
        bucket.store().write(key, b"").result()
    place.remove_below(keep=frozenset({"keep"}))
    assert ["new/keep", "newer"] == bucket.keys()
    (place / "keep").unlink()
    (place / "keep").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        (place / "keep").unlink()
    assert ["newer"] == bucket.keys()
