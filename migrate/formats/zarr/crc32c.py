"""CRC-32C (RFC 3720), the checksum of zarr shards and of OCDBT; `zlib.crc32` has another polynomial.

A checksum without its initial value is linear over GF(2), and zeros before the content do not change it. So the content
is cut into lanes of equal length, NumPy computes the checksums of all lanes at once, and they are combined in order.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

_POLYNOMIAL = 0x82F63B78
"""The bit-reversed polynomial."""
_LANE_BYTES = 256
_SHORT_BYTES = 4096
"""Up to this length, a loop over the bytes is faster."""


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_REMAINDERS = tuple(map(_remainder, range(256)))


def crc32c(content: bytes) -> int:
    """Returns the checksum of some bytes."""
    if len(content) <= _SHORT_BYTES:
        return _append(0xFFFFFFFF, content) ^ 0xFFFFFFFF
    shift = _lane_shift()
    checksum = 0
    for lane in _lane_checksums(content):
        a, b, c, d = checksum & 0xFF, checksum >> 8 & 0xFF, checksum >> 16 & 0xFF, checksum >> 24
        checksum = shift[0][a] ^ shift[1][b] ^ shift[2][c] ^ shift[3][d] ^ lane
    return checksum ^ 0xFFFFFFFF


def _append(checksum: int, content: bytes) -> int:
    for byte in content:
        checksum = checksum >> 8 ^ _REMAINDERS[(checksum ^ byte) & 0xFF]
    return checksum


def _lane_checksums(content: bytes) -> list[int]:
    """Returns the checksum of each lane, without an initial value except that of the whole content."""
    lanes = -(-len(content) // _LANE_BYTES)
    padded = np.zeros(lanes * _LANE_BYTES, np.uint8)
    begin = len(padded) - len(content)
    padded[begin:] = np.frombuffer(content, np.uint8)
    padded[begin : begin + 4] ^= 0xFF  # the initial value of a checksum
    columns = np.ascontiguousarray(padded.view("<u2").reshape(lanes, -1).T)
    return _advance(np.zeros(lanes, np.uint32), columns).tolist()  # type: ignore[no-any-return]


def _advance(checksums: Any, columns: Any) -> Any:
    """Returns the checksums after the next two bytes of each lane, column by column."""
    remainders = _wide_remainders()
    for column in columns:
        checksums = checksums >> 16 ^ remainders[(checksums ^ column) & 0xFFFF]
    return checksums


@cache
def _wide_remainders() -> Any:
    """The remainders of every two bytes."""
    remainders = np.array(_REMAINDERS, np.uint32)
    pairs = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(2):
        pairs = pairs >> 8 ^ remainders[pairs & 0xFF]
    return pairs


@cache
def _lane_shift() -> list[list[int]]:
    """For each byte of a checksum, its contribution to the checksum after another lane of zeros."""
    checksums = np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)
    return _advance(checksums, np.zeros(_LANE_BYTES // 2, np.uint16)).tolist()  # type: ignore[no-any-return]
