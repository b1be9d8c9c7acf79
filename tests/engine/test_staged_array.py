"""The record of an array survives JSON."""

import json

import pytest

from migrate import dtypes
from migrate.engine.staged_array import StagedArray
from migrate.tree import Sharding


@pytest.mark.parametrize(
    "sharding", [None, Sharding((("x", 2), ("y", 4)), (("x", "y"), None)), Sharding((("x", -1),), ())]
)
def test_a_staged_array_comes_back_from_json(sharding):
    bfloat16 = dtypes.to_numpy("bfloat16")
    staged = StagedArray(
        "a.b", (8, 4), bfloat16, (1, 4), (1, 2), "threefry2x32", "xxh3:0", sharding, ("0",), compared=True
    )
    assert staged == StagedArray.from_json(json.loads(json.dumps(staged.to_json())))


def test_a_record_that_lacks_a_field_is_refused():
    staged = StagedArray("a", (2,), dtypes.to_numpy("float32"), (2,), (2,), None, "xxh3:0", None)
    fields = staged.to_json()
    del fields["digest"]
    with pytest.raises(KeyError):
        StagedArray.from_json(fields)


def test_an_array_that_an_earlier_version_staged_was_not_compared():
    staged = StagedArray("a", (2,), dtypes.to_numpy("float32"), (2,), (2,), None, "xxh3:0", None, compared=True)
    fields = staged.to_json()
    del fields["compared"]
    assert not StagedArray.from_json(fields).compared
