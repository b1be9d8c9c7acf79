"""The index at the end of a zarr 3 shard with one part: eight bytes of offset, eight of length, four of checksum."""

from __future__ import annotations

import struct

from migrate.formats.zarr.crc32c import crc32c

INDEX_BYTES = 20

_NOWHERE = (1 << 64) - 1
"""The offset and the length of a part that was never written."""


def only_part(index: bytes, shard_bytes: int) -> tuple[int, int] | None:
    """Returns the offset and the length of a shard's part; None if it was never written.

    Args:
      index: the last `INDEX_BYTES` bytes of the shard, or all of a shorter one.
      shard_bytes: the length of the shard, with the index.

    Raises:
      ValueError: the shard is too short, the index does not match its checksum, or the part exceeds the shard.
    """
    if len(index) < INDEX_BYTES:
        raise ValueError(f"{shard_bytes} bytes have no room for its index")
    offset, length, checksum = struct.unpack("<QQI", index)
    if checksum != crc32c(index[:-4]):
        raise ValueError("the checksum of its index does not match")
    if (offset, length) == (_NOWHERE, _NOWHERE):
        return None
    if offset + length > shard_bytes - INDEX_BYTES:
        raise ValueError(f"the index claims {length} bytes at byte {offset}, and the shard has {shard_bytes}")
    return offset, length
