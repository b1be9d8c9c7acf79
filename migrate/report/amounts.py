"""Numbers formatted for reading: bytes, seconds and counted nouns."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(nbytes: float) -> str:
    """Formats bytes in binary units: `0 B`, `31 KiB`, `2.9 MiB`."""
    unit = 0
    while nbytes >= 1024 and unit < len(_UNITS) - 1:
        nbytes /= 1024
        unit += 1
    short = unit == 0 or nbytes >= 100 or nbytes == int(nbytes)
    return f"{nbytes:.0f} {_UNITS[unit]}" if short else f"{nbytes:.1f} {_UNITS[unit]}"


def count(number: int) -> str:
    """Formats a number of elements: `512`, `1,000`, `58.1 M`, `6.74 G`."""
    if number < 1_000_000:
        return f"{number:,}"
    unit, word = next((10**power, word) for power, word in ((12, "T"), (9, "G"), (6, "M")) if number >= 10**power)
    return f"{number / unit:,.0f} {word}" if number >= 100 * unit else f"{number / unit:.3g} {word}"


def seconds(value: float) -> str:
    """Formats a duration: `0.04 s`, `1.3 s`, `2 min 5 s`, `3 h 7 min`."""
    if value >= 3600:
        return f"{int(value // 3600)} h {int(value % 3600 // 60)} min"
    if value >= 60:
        return f"{int(value // 60)} min {int(value % 60)} s"
    return f"{value:.2f} s" if value < 0.1 else f"{value:.1f} s"


def plural(count: int, noun: str) -> str:
    """Formats a count with its noun: `1 leaf`, `2 leaves`, `3 errors`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ves" if noun.endswith("leaf") else f"{count:,} {noun}s"
