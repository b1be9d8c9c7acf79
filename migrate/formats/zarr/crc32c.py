"""CRC-32C (RFC 3720), the checksum of zarr shards and of OCDBT; `zlib.crc32` has another polynomial.

A checksum without its initial value is linear over GF(2), and zeros before the content do not change it. So each byte
contributes a value that depends only on the number of bytes behind it, and NumPy looks up many contributions at once.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

_POLYNOMIAL = 0x82F63B78
"""The bit-reversed polynomial."""
_LANE_BYTES = 256
"""Bytes whose contributions are tabulated; the checksums of longer lanes are combined one after another."""
_BLOCK_BYTES = 1 << 15
"""Bytes whose contributions are looked up at once."""
_SHORT_BYTES = 64
"""Up to this length, a loop over the bytes is faster."""


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_REMAINDERS = tuple(map(_remainder, range(256)))


def crc32c(content: bytes | memoryview) -> int:
    """Returns the checksum of some bytes."""
    checksum = 0xFFFFFFFF
    if len(content) <= _SHORT_BYTES:
        for byte in content:
            checksum = checksum >> 8 ^ _REMAINDERS[(checksum ^ byte) & 0xFF]
        return checksum ^ 0xFFFFFFFF
    whole = np.frombuffer(content, np.uint8)
    first = len(whole) if len(whole) < 2 * _LANE_BYTES else _LANE_BYTES + len(whole) % _LANE_BYTES
    padded = np.zeros(-(-first // _LANE_BYTES) * _LANE_BYTES, np.uint8)
    begin = len(padded) - first
    padded[begin:] = whole[:first]
    padded[begin : begin + 4] ^= 0xFF  # the initial value changes the first bytes of the content
    checksum = _append(0, padded)
    for start in range(first, len(whole), _BLOCK_BYTES):
        checksum = _append(checksum, whole[start : start + _BLOCK_BYTES])
    return checksum ^ 0xFFFFFFFF


def _append(checksum: int, block: Any) -> int:
    """Returns the checksum after another block of whole lanes; a checksum contributes like bytes at their beginning."""
    contributions, first, second, third, fourth = _contributions()
    lanes = block.reshape(-1, _LANE_BYTES) + np.arange(0, _LANE_BYTES << 8, 256, dtype=np.intp)
    for lane in np.bitwise_xor.reduce(contributions[lanes], axis=1).tolist():
        checksum = (
            lane
            ^ first[checksum & 0xFF]
            ^ second[checksum >> 8 & 0xFF]
            ^ third[checksum >> 16 & 0xFF]
            ^ fourth[checksum >> 24]
        )
    return checksum


@cache
def _contributions() -> tuple[Any, list[int], list[int], list[int], list[int]]:
    """The contribution of every byte at every place of a lane, and as lists those at the first four places."""
    remainders = np.array(_REMAINDERS, np.uint32)
    places = np.zeros((_LANE_BYTES, 256), np.uint32)
    places[-1] = remainders
    for place in range(_LANE_BYTES - 2, -1, -1):
        places[place] = places[place + 1] >> 8 ^ remainders[places[place + 1] & 0xFF]
    first, second, third, fourth = places[:4].tolist()
    return places.ravel(), first, second, third, fourth
