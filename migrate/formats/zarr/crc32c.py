"""CRC-32C (RFC 3720), the checksum of zarr shards and of OCDBT; `zlib.crc32` has another polynomial.

It is slow, and meant for indexes of a few bytes, not for chunks.
"""

from __future__ import annotations

_POLYNOMIAL = 0x82F63B78
"""The bit-reversed polynomial."""


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_REMAINDERS = tuple(map(_remainder, range(256)))


def crc32c(content: bytes) -> int:
    """Returns the checksum of some bytes."""
    checksum = 0xFFFFFFFF
    for byte in content:
        checksum = checksum >> 8 ^ _REMAINDERS[(checksum ^ byte) & 0xFF]
    return checksum ^ 0xFFFFFFFF
