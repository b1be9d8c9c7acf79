"""The objects of a checkpoint are replaced by those of a result in the same bucket."""

import pytest

from migrate.engine.workspace.bucket_replacement import replace
from migrate.errors import StoppedError
from migrate.places.unfinished import COMMITTED, UNFINISHED
from migrate.places.writable_path import WritableBucketPath


@pytest.fixture
def places(bucket):
    """DST, and a result for it."""
    old = {"a": "old", "x/old": "old", f"x/{COMMITTED}": "old", COMMITTED: "old"}
    new = {"a": "new", "y/new": "new", f"y/{COMMITTED}": "new"}
    destination, result = (WritableBucketPath(f"{bucket.url}/{name}") for name in ("dst", ".dst/result"))
    for place, names in ((destination, old), (result, new)):
        for name, text in names.items():
            (place / name).write_text(text)
    return destination, result


def test_everything_but_the_marker_is_replaced(places, bucket):
    for _ in range(2):  # a resumed run finds the mark of its own plan
        replace(*places, "plan")
        assert ["a", UNFINISHED, "y/commit_success.txt", "y/new"] == [key.removeprefix("dst/") for key in keys(bucket)]
    assert "new" == (places[0] / "a").read_text()
    assert b"plan" == bucket.store().read(f"dst/{UNFINISHED}").result().value


def keys(bucket):
    return bucket.keys("dst/")


@pytest.mark.parametrize("complete", [True, False])
def test_a_dst_that_another_plan_is_writing_is_left_alone(places, bucket, complete):
    destination, result = places
    (destination / UNFINISHED).write_text("other")
    if not complete:
        (destination / COMMITTED).unlink()
    before = keys(bucket)
    with pytest.raises(StoppedError, match="another run is writing"):
        replace(destination, result, "plan")
    assert before == keys(bucket)
    assert "old" == (destination / "a").read_text()
