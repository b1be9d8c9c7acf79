import struct

import pytest

from migrate.formats.zarr.crc32c import crc32c
from migrate.formats.zarr.shard_index import INDEX_BYTES, index_bytes, inner_chunk_range, inner_chunk_ranges

NEVER = (1 << 64) - 1
SHARD = 100 + INDEX_BYTES
"""The bytes of a shard that has room for a part of 100 bytes."""


def index(offset, length):
    content = struct.pack("<QQ", offset, length)
    return content + struct.pack("<I", crc32c(content))


@pytest.mark.parametrize("part", [(0, 100), (40, 60), (0, 0), (100, 0), (99, 1)])
def test_a_part_inside_its_shard_is_found(part):
    assert part == inner_chunk_range(index(*part), SHARD)


@pytest.mark.parametrize("part", [(0, 101), (1, 100), (101, 0), (0, SHARD), (SHARD, 1), (NEVER - 1, 2), (0, NEVER)])
def test_a_part_that_ends_behind_its_shard_or_in_the_index_is_refused(part):
    with pytest.raises(ValueError, match="the shard has 120"):
        inner_chunk_range(index(*part), SHARD)


def test_a_part_that_was_never_written_is_none():
    assert inner_chunk_range(index(NEVER, NEVER), SHARD) is None


@pytest.mark.parametrize("byte", range(INDEX_BYTES))
def test_any_other_byte_is_refused(byte):
    content = bytearray(index(0, 100))
    content[byte] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        inner_chunk_range(bytes(content), SHARD)


def test_a_shard_without_room_for_its_index_is_refused():
    with pytest.raises(ValueError, match="too few"):
        inner_chunk_range(index(0, 0)[1:], INDEX_BYTES - 1)


@pytest.mark.parametrize(
    "parts", [[(0, 10)], [(0, 10), None, (10, 20)], [None, None], [(n, 1) for n in range(300)]], ids=len
)
def test_the_parts_of_a_shard_of_several_are_found_in_order(parts):
    numbers = [number for part in parts for number in part or (NEVER, NEVER)]
    content = struct.pack(f"<{len(numbers)}Q", *numbers)
    whole = content + struct.pack("<I", crc32c(content))
    assert index_bytes(len(parts)) == len(whole)
    assert parts == inner_chunk_ranges(whole, 300 + len(whole), len(parts))
    with pytest.raises(ValueError, match="too few"):
        inner_chunk_ranges(whole, len(whole), len(parts) + 1)
