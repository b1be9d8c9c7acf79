"""The index at the end of a zarr 3 shard: 8 bytes of offset and 8 of length for each inner chunk, 4 of checksum."""

from __future__ import annotations

import struct

from migrate.formats.zarr.crc32c import crc32c

INDEX_BYTES = 20
"""The bytes of the index of a shard with one inner chunk."""

NEVER_WRITTEN = (1 << 64) - 1
"""The offset and the length of an inner chunk that was never written."""


def index_bytes(count: int) -> int:
    """Returns the bytes of the index of a shard with some number of inner chunks."""
    return 16 * count + 4


def inner_chunk_range(index: bytes, shard_bytes: int) -> tuple[int, int] | None:
    """Returns offset and length of the inner chunk within the shard; None if it was never written.

    Args:
      index: the last `INDEX_BYTES` bytes of the shard, or the whole shard if it is shorter.
      shard_bytes: the length of the shard, including the index.

    Raises:
      ValueError: the shard is too short, the checksum does not match, or the range is not inside the shard.
    """
    return inner_chunk_ranges(index, shard_bytes, 1)[0]


def inner_chunk_ranges(index: bytes, shard_bytes: int, count: int) -> list[tuple[int, int] | None]:
    """Returns offset and length of each inner chunk within the shard; None for those that were never written.

    Args:
      index: the last `index_bytes(count)` bytes of the shard, or the whole shard if it is shorter.
      shard_bytes: the length of the shard, including the index.
      count: the number of inner chunks.

    Raises:
      ValueError: the shard is too short, the checksum does not match, or a range is not inside the shard.
    """
    if len(index) < index_bytes(count):
        raise ValueError(f"{shard_bytes} bytes are too few for its index")
    if int.from_bytes(index[-4:], "little") != crc32c(index[:-4]):
        raise ValueError("the checksum of its index does not match")
    numbers = struct.unpack(f"<{2 * count}Q", index[:-4])
    found: list[tuple[int, int] | None] = []
    for offset, length in zip(numbers[::2], numbers[1::2], strict=True):
        if (offset, length) == (NEVER_WRITTEN, NEVER_WRITTEN):
            found.append(None)
        elif offset + length > shard_bytes - len(index):
            why = f"the index records {length} bytes at byte {offset}, but the shard has {shard_bytes} bytes"
            raise ValueError(why)
        else:
            found.append((offset, length))
    return found
