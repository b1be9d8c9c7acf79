"""Chunks are even parts of a shard and never larger than the limit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.planning.chunking.chunk_shapes import chunk_shape, shard_shape
from migrate.tree import AbstractArray, AbstractLeaf, Sharding


@given(st.lists(st.integers(1, 4096), max_size=4), st.sampled_from([1, 2, 4, 8]), st.integers(64, 1 << 24))
def test_chunks_divide_the_shard_and_stay_below_the_limit(shard, itemsize, limit):
    chunk = chunk_shape(tuple(shard), itemsize, limit)
    assert len(shard) == len(chunk)
    assert all(size % part == 0 for size, part in zip(shard, chunk, strict=True))
    assert int(np.prod(chunk, dtype=object)) * itemsize <= max(limit, itemsize)


def test_a_shard_below_the_limit_is_one_chunk():
    assert (4096, 4096) == chunk_shape((4096, 4096), 4)


@pytest.mark.parametrize(
    ("shard", "square", "chunk"),
    [
        ((48, 4096, 4096), False, (3, 4096, 4096)),  # a few layers, each whole
        ((50257, 1600), False, (50257, 800)),  # 50257 is a prime
        ((3579, 31250), True, (1193, 15625)),  # 1193 is a prime
    ],
)
def test_a_chunk_is_a_slab_or_a_square_and_never_far_smaller_than_it_may_be(shard, square, chunk):
    assert chunk == chunk_shape(shard, 4, 256 << 20 if not square else 128 << 20, square=square)


@pytest.mark.parametrize(
    ("sharding", "shape"),
    [(None, (8, 6)), (Sharding((("x", 2), ("y", 3)), (("x",), ("y",))), (4, 2)), (Sharding((("x", -1),), ()), (8, 6))],
)
def test_a_shard_is_one_devices_part(sharding, shape):
    assert shape == shard_shape(AbstractLeaf("array", AbstractArray((8, 6), "float32"), sharding=sharding))
