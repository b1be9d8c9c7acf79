"""The index at the end of a zarr 3 shard with one inner chunk: 8 bytes of offset, 8 of length, 4 of checksum."""

from __future__ import annotations

import struct

from migrate.formats.zarr.crc32c import crc32c

INDEX_BYTES = 20

NEVER_WRITTEN = (1 << 64) - 1
"""The offset and the length of an inner chunk that was never written."""


def inner_chunk_range(index: bytes, shard_bytes: int) -> tuple[int, int] | None:
    """Returns offset and length of the inner chunk within the shard; None if it was never written.

    Args:
      index: the last `INDEX_BYTES` bytes of the shard, or the whole shard if it is shorter.
      shard_bytes: the length of the shard, including the index.

    Raises:
      ValueError: the shard is too short, the checksum does not match, or the range is not inside the shard.
    """
    if len(index) < INDEX_BYTES:
        raise ValueError(f"{shard_bytes} bytes are too few for its index")
    offset, length, checksum = struct.unpack("<QQI", index)
    if checksum != crc32c(index[:-4]):
        raise ValueError("the checksum of its index does not match")
    if (offset, length) == (NEVER_WRITTEN, NEVER_WRITTEN):
        return None
    if offset + length > shard_bytes - INDEX_BYTES:
        raise ValueError(f"the index records {length} bytes at byte {offset}, but the shard has {shard_bytes} bytes")
    return offset, length
