"""An array whose bytes are in ranges of files is read from any position, over the ends of the ranges."""

import numpy as np
import pytest

from migrate.engine.streaming.flat_bytes import FlatBytes, flat_slabs
from migrate.errors import CheckpointError
from migrate.formats.base import Extent

ARRAY = np.arange(1000, dtype=np.int16)


@pytest.fixture
def extents(tmp_path):
    """The array in three ranges of two files."""
    content = ARRAY.tobytes()
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"head" + content[1500:] + content[:700])
    second.write_bytes(content[700:1500] + b"tail")
    return Extent(first, 504, 700), Extent(second, 0, 800), Extent(first, 4, 500)


@pytest.mark.parametrize(
    ("start", "count"), [(0, 2000), (10, 20), (690, 20), (700, 800), (699, 803), (1999, 1), (50, 0)]
)
def test_any_run_of_bytes_is_read(extents, start, count):
    into = bytearray(count)
    with FlatBytes(extents) as stored:
        stored.read_into(start, memoryview(into))
    assert ARRAY.tobytes()[start : start + count] == bytes(into)


@pytest.mark.parametrize("elements", [1, 300, 999, 1000, 5000])
def test_slabs_are_the_elements_in_order(extents, elements):
    slabs = [slab.copy() for slab in flat_slabs(extents, ARRAY.dtype, ARRAY.size, elements)]
    assert min(elements, 1000) == len(slabs[0])
    assert ARRAY.tobytes() == np.concatenate(slabs).tobytes()


def test_a_file_that_became_shorter_is_named(extents):
    extents[1].file.write_bytes(bytes(100))
    with pytest.raises(CheckpointError, match="second"):
        list(flat_slabs(extents, ARRAY.dtype, ARRAY.size, 1000))


@pytest.mark.matrix
def test_more_than_the_system_reads_at_once_is_read(tmp_path):
    size = (1 << 31) + 10
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
        file.seek(size - 3)
        file.write(b"end")
    into = np.empty(size, np.uint8)
    with FlatBytes([Extent(tmp_path / "large", 0, size)]) as stored:
        stored.read_into(0, into.data)
    assert b"\0end" == into[-4:].tobytes()
