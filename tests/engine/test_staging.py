"""The staging store: chunks of a bounded size, shards that are the target's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.engine.staging import chunk_shape, digest, stored_name
from migrate.tree import AbstractLeaf


@given(st.lists(st.integers(1, 4096), max_size=4), st.sampled_from([1, 2, 4, 8]), st.integers(64, 1 << 24))
def test_chunks_divide_the_shard_and_stay_below_the_limit(shard, itemsize, limit):
    chunk = chunk_shape(tuple(shard), itemsize, limit)
    assert len(shard) == len(chunk)
    assert all(size % part == 0 for size, part in zip(shard, chunk, strict=True))
    assert int(np.prod(chunk, dtype=object)) * itemsize <= max(limit, itemsize)


def test_a_shard_below_the_limit_is_one_chunk():
    assert (4096, 4096) == chunk_shape((4096, 4096), 4)


def test_a_digest_is_that_of_the_bytes_whatever_the_layout():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert digest(array) == digest(np.asfortranarray(array))
    assert digest(array) == digest(array.astype(">f4"))
    assert digest(array) != digest(array.T)


@pytest.mark.parametrize(("box", "name"), [(None, "a.b"), ("value", "a.b.value")])
def test_stored_names_are_orbaxs(box, name):
    assert name == stored_name(("a", "b"), AbstractLeaf("array", box=box))
