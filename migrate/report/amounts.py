"""Numbers as people read them: bytes, seconds and counted nouns."""

from __future__ import annotations

import re

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGTP]?)(i?)B?\s*", re.IGNORECASE)


def size(nbytes: float) -> str:
    """Bytes in binary units: `0 B`, `31 KiB`, `2.9 MiB`."""
    unit = 0
    while nbytes >= 1024 and unit < len(_UNITS) - 1:
        nbytes /= 1024
        unit += 1
    short = unit == 0 or nbytes >= 100 or nbytes == int(nbytes)
    return f"{nbytes:.0f} {_UNITS[unit]}" if short else f"{nbytes:.1f} {_UNITS[unit]}"


def parse_size(text: str) -> int:
    """The number of bytes that `2GiB`, `512 MB` or `1000` means; `K`, `M`, `G`, `T` without an `i` are powers of 1000.

    Raises:
      ValueError: the text is no size.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"`{text}` is not a size; write for example `2GiB`")
    number, prefix, binary = found.groups()
    base = 1024 if binary else 1000
    return int(float(number) * base ** (" KMGTP".index(prefix.upper() or " ")))


def seconds(value: float) -> str:
    """A duration: `0.04 s`, `1.3 s`, `2 min 5 s`."""
    if value >= 60:
        return f"{int(value // 60)} min {int(value % 60)} s"
    return f"{value:.2f} s" if value < 0.1 else f"{value:.1f} s"


def plural(count: int, noun: str) -> str:
    """`1 leaf`, `2 leaves`, `3 errors`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ves" if noun.endswith("leaf") else f"{count:,} {noun}s"
