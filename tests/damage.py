"""Files that are damaged in one place each: a decoder has to refuse them, or to give what the reference gives."""

from collections.abc import Callable, Iterator
from typing import Any

from migrate.errors import CheckpointError

REFUSED = object()
"""What a decoder gave that gave nothing."""


def damages(content: bytes, begin: int = 0, end: int | None = None) -> Iterator[tuple[str, bytes]]:
    """Copies of a file with one byte between `begin` and `end` altered, or cut off there, or with more at the end."""
    end = len(content) if end is None else end
    for at in range(begin, end):
        for mask in (0x01, 0x04, 0x80, 0xFF):
            yield f"byte {at} ^ {mask:#x}", content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :]
        yield f"cut at {at}", content[:at]
    yield from ((f"{tail!r} at the end", content + tail) for tail in (b"\0", b"\xff" * 9, content))


def outcome(decode: Callable[[], Any], *refusals: type[Exception]) -> Any:
    """What a decoder gives, or REFUSED."""
    try:
        return decode()
    except refusals or CheckpointError:  # noqa: B030
        return REFUSED
