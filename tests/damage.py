"""Files that are damaged in one place each: a decoder has to refuse them, or to give what the reference gives."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader

REFUSED = object()
"""What a decoder gave that gave nothing."""


def damages(content: bytes, masks: tuple[int, ...] = (0x01, 0x04, 0x80, 0xFF)) -> Iterator[tuple[str, bytes]]:
    """Copies of a file with one byte altered, or cut off somewhere, or with more at the end."""
    for at in range(len(content)):
        for mask in masks:
            yield f"byte {at} ^ {mask:#x}", content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :]
        yield f"cut at {at}", content[:at]
    yield from ((f"{tail!r} at the end", content + tail) for tail in (b"\0", b"\xff" * 9, content))


def outcome(decode: Callable[[], Any], *refusals: type[Exception]) -> Any:
    """What a decoder gives, or REFUSED."""
    try:
        return decode()
    except refusals or CheckpointError:  # noqa: B030
        return REFUSED


def by_migrate(path: Path) -> dict[tuple[str, ...], Any]:
    """The leaves of a checkpoint, for comparison with `bits` of what the reference reads."""
    with open_reader(path) as reader:
        return bits((tuple(path), value) for path, value in reader.read_all().items())


def bits(leaves: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Leaves as something that is equal where every bit is."""

    def exact(value: Any) -> Any:
        is_array = isinstance(value, np.ndarray | np.generic)
        return (value.dtype.name, value.shape, value.tobytes()) if is_array else (type(value), repr(value))

    return {path: exact(value) for path, value in leaves}
