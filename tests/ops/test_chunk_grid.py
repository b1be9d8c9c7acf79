"""Moving chunks: whenever an op says that it can, doing it chunk by chunk gives what it does to the whole arrays."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.ops.chunk_grid import ChunkGrid
from migrate.ops.registry import OPS
from migrate.testing.ops import op_cases
from tests.matrix import examples


def split_into_chunks(array, chunks):
    """Every chunk of an array by its index, padded to full size as zarr stores it."""
    counts = [math.ceil(size / chunk) for size, chunk in zip(array.shape, chunks, strict=True)]
    padded = np.zeros([n * chunk for n, chunk in zip(counts, chunks, strict=True)], array.dtype)
    padded[tuple(slice(0, size) for size in array.shape)] = array
    return {
        index: padded[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks, strict=True))]
        for index in np.ndindex(*counts)
    }


def assemble(chunked, stores, dtype):
    """The array that results from putting every moved chunk, as bytes, in its new place."""
    counts = [math.ceil(size / chunk) for size, chunk in zip(chunked.shape, chunked.chunks, strict=True)]
    whole = np.zeros([n * c for n, c in zip(counts, chunked.chunks, strict=True)], dtype)
    seen = set()
    for block in chunked.blocks:
        for origin, place in block.moves():
            chunk = np.frombuffer(stores[block.array][origin].tobytes(), dtype).reshape(chunked.chunks)
            whole[tuple(slice(i * c, (i + 1) * c) for i, c in zip(place, chunked.chunks, strict=True))] = chunk
            seen.add(place)
    assert set(np.ndindex(*counts)) == seen
    return whole[tuple(slice(0, size) for size in chunked.shape)]


def grids(shape):
    """Chunk shapes for an array: whole, single elements, or anything between."""
    return st.tuples(*(st.sampled_from(sorted({1, max(size, 1), max(size // 2, 1), 2})) for size in shape))


def outcome(op, arrays, chunk_shapes):
    pairs = enumerate(zip(arrays, chunk_shapes, strict=True))
    return op.relink(*(ChunkGrid.source(i, a.shape, c) for i, (a, c) in pairs))


def check(op, arrays, chunk_shapes):
    moved = outcome(op, arrays, chunk_shapes)
    if moved is None:
        return False
    stores = [split_into_chunks(array, chunks) for array, chunks in zip(arrays, chunk_shapes, strict=True)]
    for chunked, expected in zip(moved, op.apply(*arrays), strict=True):
        assert expected.shape == chunked.shape
        assert expected.tobytes() == assemble(chunked, stores, expected.dtype).tobytes()
    return True


@pytest.mark.parametrize("name", OPS)
@settings(max_examples=examples(20))
@given(data=st.data())
def test_moving_chunks_is_what_the_op_does(name, data):
    op, arrays = data.draw(op_cases(name))
    if any(0 in array.shape for array in arrays):
        return
    if data.draw(st.booleans()):
        chunk_shapes = [array.shape for array in arrays]
    else:
        chunk_shapes = [data.draw(grids(array.shape)) for array in arrays]
    check(op, arrays, chunk_shapes)


def array(*shape):
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize(
    ("op", "arrays", "chunks"),
    [
        (OPS["stack"](1), [array(4, 6), array(4, 6) + 1], [(4, 6), (4, 6)]),
        (OPS["stack"](0), [array(4, 6), array(4, 6) + 1], [(2, 3), (2, 3)]),
        (OPS["concat"](1), [array(4, 6), array(4, 6) + 1], [(4, 6), (4, 6)]),
        (OPS["concat"](0), [array(4, 6), array(3, 6)], [(2, 6), (2, 6)]),
        (OPS["unstack"](0), [array(3, 4)], [(1, 4)]),
        (OPS["split"](1, (4, 2)), [array(3, 6)], [(3, 2)]),
        (OPS["reshape"]((2, 12)), [array(4, 6)], [(4, 6)]),
        (OPS["reshape"]((4, 1, 6)), [array(4, 6)], [(2, 3)]),
        (OPS["rearrange"]("d h k -> d (h k)"), [array(2, 3, 4)], [(2, 3, 4)]),
        (OPS["transpose"]((1, 0, 2)), [array(4, 1, 6)], [(2, 1, 6)]),
        (OPS["slice"](0, 2, 4), [array(6, 2)], [(2, 2)]),
        (OPS["roll"](4, 0), [array(6, 2)], [(2, 2)]),
        (OPS["roll"](-6, 0), [array(6, 2)], [(4, 2)]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_commonest_cases_move_chunks_unchanged(op, arrays, chunks):
    assert check(op, arrays, chunks)


@pytest.mark.parametrize(
    ("op", "arrays", "chunks"),
    [
        (OPS["concat"](0), [array(3, 6), array(4, 6)], [(2, 6), (2, 6)]),
        (OPS["concat"](0), [array(2, 6), array(4, 6)], [(2, 6), (4, 6)]),
        (OPS["unstack"](0), [array(3, 4)], [(3, 4)]),
        (OPS["split"](1, (3, 3)), [array(3, 6)], [(3, 2)]),
        (OPS["reshape"]((2, 12)), [array(4, 6)], [(2, 6)]),
        (OPS["transpose"]((1, 0)), [array(4, 6)], [(4, 6)]),
        (OPS["roll"](1, 0), [array(6, 2)], [(2, 2)]),
        (OPS["roll"](2, 0), [array(5, 2)], [(2, 2)]),
        (OPS["scale"](1), [array(6, 2)], [(2, 2)]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_moves_that_would_change_bytes_are_refused(op, arrays, chunks):
    assert not check(op, arrays, chunks)
