"""Sources: windows of arrays that are stored unencoded in files, and chunk grids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.engine.linking.open_stores import reading_context
from migrate.engine.streaming.array_sources import (
    SCRATCH_CHUNK_BYTES,
    FilledSource,
    FlatSource,
    contiguous_chunks,
    open_source,
    scratch_chunks,
)
from migrate.errors import CheckpointError
from migrate.formats.base import Extent
from migrate.formats.detect import open_reader
from migrate.tree import AbstractArray


@st.composite
def windows(draw):
    shape = tuple(draw(st.lists(st.integers(1, 5), max_size=4)))
    sides = []
    for size in shape:
        start = draw(st.integers(0, size - 1))
        sides.append((start, draw(st.integers(start + 1, size))))
    return shape, tuple(sides), draw(st.lists(st.integers(1, 400), max_size=3))


@given(windows())
def test_every_window_of_an_array_in_several_extents_is_read(tmp_path_factory, drawn):
    shape, window, cuts = drawn
    array = np.arange(np.prod(shape, dtype=int), dtype="int16").reshape(shape)
    content = array.tobytes()
    ends = sorted({min(cut, len(content)) for cut in cuts} | {len(content)})
    path = tmp_path_factory.mktemp("flat") / "file"
    extents, written, start = [], b"", 0
    for end in ends:
        written += b"between"
        extents.append(Extent(path, len(written), end - start))
        written, start = written + content[start:end], end
    path.write_bytes(written)
    source = FlatSource(AbstractArray(shape, "int16"), shape, tuple(extents))
    expected = array[tuple(slice(*side) for side in window)]
    assert expected.tolist() == source.read(window).tolist()


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((3000, 10000), (26, 10000)),
        ((4, 1 << 20), (1, 1 << 18)),
        ((2, 3), (2, 3)),
        ((), ()),
        ((5, 1 << 18), (1, 1 << 18)),
    ],
)
def test_chunks_of_a_flat_array_are_contiguous(shape, chunks):
    assert chunks == contiguous_chunks(shape, 4, SCRATCH_CHUNK_BYTES)


def test_a_file_that_became_shorter_is_damaged(tmp_path):
    np.savez(tmp_path / "old.npz", a=np.ones(1000))
    with open_reader(tmp_path / "old.npz") as reader:
        source = open_source(reader, ("a",), AbstractArray((1000,), "float64"), reading_context(0))
        (tmp_path / "old.npz").write_bytes(b"PK")
        with pytest.raises(CheckpointError, match="has become shorter"):
            source.read(((0, 1000),))


@pytest.mark.parametrize(
    ("window", "chunks"),
    [
        (((0, 3), (0, 12)), ((0, 1), (0, 3))),
        (((2, 4), (4, 8)), ((0, 2), (1, 2))),
        (((9, 10), (11, 12)), ((3, 4), (2, 3))),
    ],
)
def test_the_chunks_of_a_window_are_those_that_overlap_it(window, chunks):
    assert chunks == FilledSource(AbstractArray((10, 12), "float32"), (3, 4), 0).grid(window)


@pytest.mark.parametrize(
    ("shape", "block", "read", "chunks"),
    [
        ((40_000, 6000), (435, 6000), (40_000, 600), (435, 600)),  # columns that are read together
        ((40_000, 6000), (435, 6000), (40_000, 60), (435, 300)),  # a file has at least 256 KiB, or nearly
        ((40_000, 6000), (435, 6000), (40_000, 6000), (435, 750)),  # and at most 1 MiB
        ((40_000, 6000), (100, 1500), (40_000, 60), (100, 1500)),  # none spans two blocks that are written
        ((30, 20), (30, 20), (30, 1), (30, 20)),
        ((), (), (), ()),
    ],
)
def test_chunks_of_a_scratch_copy_are_as_wide_as_the_windows_that_are_read(shape, block, read, chunks):
    assert chunks == scratch_chunks(AbstractArray(shape, "bfloat16"), block, read)
