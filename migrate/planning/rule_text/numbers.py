"""Numbers in names: `3` in `blocks_3`, `conv3` and `expert_3_1`."""

from __future__ import annotations

import re
from functools import lru_cache

_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>0|[1-9][0-9]*)")
NUMBER = re.compile(r"(?<![0-9{])(?:0|[1-9][0-9]*)$|(?<=_)(?:0|[1-9][0-9]*)(?=_)|(?<=\+)(?:0|[1-9][0-9]*)(?=\}$)")
"""Numbers in a segment: `3` in `blocks_3`, `conv3`, `expert_3_1` and the pattern `l_{i*6+3}`, but not in `conv3d`."""


@lru_cache(maxsize=1 << 14)
def split_number(segment: str) -> tuple[str, int | None]:
    """Returns a segment without its final number, and the number: `("Dense_", 3)`, `("", 3)`, `("kernel", None)`."""
    found = _NUMBERED.fullmatch(segment)
    return (found["stem"], int(found["number"])) if found else (segment, None)


@lru_cache(maxsize=1 << 14)
def numbers_in(segment: str) -> tuple[str, tuple[int, ...]]:
    """Returns a segment with a mark for each of its numbers, and the numbers: between underscores and at the end."""
    return NUMBER.sub("#", segment), tuple(int(found[0]) for found in NUMBER.finditer(segment))
