"""An index of a msgpack checkpoint: its tree with the offsets of its arrays, found without loading them.

The files of `flax.serialization.to_bytes` and Orbax's early `checkpoint` files are one msgpack object whose extension
types hold arrays (1), complex numbers (2), NumPy scalars (3) and tuples (4). A msgpack library would allocate as much
as the length fields claim and copy every array. This scan of the mapped file checks each length against the remaining
bytes and records where an array's bytes begin, so that a damaged or hostile file costs no more memory than its size.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrate.formats.files import MAX_DEPTH, damaged

if TYPE_CHECKING:
    from pathlib import Path

    from migrate.formats.file_view import FileView

MAX_ENTRIES = 250_000
"""The most entries of all mappings and lists; a large model and its optimizer have about ten thousand."""
MAX_SEGMENTS = 4_000_000
"""The largest sum of the lengths of all key paths, which nesting multiplies."""

Node = Any
"""dict, list or tuple of nodes; `ArrayBytes`, `RawBytes`, or a plain bool, int, float, complex, str or None."""


@dataclass(frozen=True, slots=True)
class ArrayBytes:
    """The row-major bytes of an array or NumPy scalar; `dtype` is the text in the file."""

    shape: tuple[int, ...]
    dtype: str
    offset: int
    nbytes: int


@dataclass(slots=True)
class Size:
    """The size of the tree so far; a bound keeps a small file from producing a tree that fills the memory."""

    entries: int = 0
    segments: int = 0

    def grow(self, count: int, depth: int) -> bool:
        """Adds entries at a depth and returns whether the tree is still within its bounds."""
        self.entries += count
        self.segments += count * (depth + 1)
        return self.entries <= MAX_ENTRIES and self.segments <= MAX_SEGMENTS


@dataclass(frozen=True, slots=True)
class RawBytes:
    """A leaf of raw bytes, for which JAX has no dtype."""

    offset: int
    nbytes: int


_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS = {
    0xCA: ">f", 0xCB: ">d",
    0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_SIZED = {
    0xC4: ("bin", 1), 0xC5: ("bin", 2), 0xC6: ("bin", 4),
    0xC7: ("ext", 1), 0xC8: ("ext", 2), 0xC9: ("ext", 4),
    0xD9: ("str", 1), 0xDA: ("str", 2), 0xDB: ("str", 4),
    0xDC: ("array", 2), 0xDD: ("array", 4),
    0xDE: ("map", 2), 0xDF: ("map", 4),
}  # fmt: skip
_FIXED = {
    **{0x80 + n: ("map", n) for n in range(16)},
    **{0x90 + n: ("array", n) for n in range(16)},
    **{0xA0 + n: ("str", n) for n in range(32)},
    **{0xD4 + n: ("ext", 1 << n) for n in range(5)},
}


class Scanner:
    """A cursor over `data[position:end]` that never passes `end`."""

    def __init__(self, data: FileView | bytes, position: int, end: int, path: Path, size: Size) -> None:
        self.data, self.position, self.end, self.path, self.size = data, position, end, path, size

    def damaged(self, why: str) -> Exception:
        return damaged(self.path, f"{why} (at byte {self.position} of {len(self.data)})")

    def take(self, count: int) -> int:
        """Moves past the next `count` bytes and returns their offset."""
        start = self.position
        if count > self.end - start:
            raise self.damaged(f"it is truncated: {count} bytes should follow, {self.end - start} do")
        self.position += count
        return start

    def node(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.damaged(f"it is nested deeper than {MAX_DEPTH} levels")
        tag = self.data[self.take(1)]
        if tag <= 0x7F or tag >= 0xE0:
            return tag if tag <= 0x7F else tag - 256
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        if tag in _NUMBERS:
            form = _NUMBERS[tag]
            size = struct.calcsize(form)
            start = self.take(size)
            return struct.unpack(form, self.data[start : start + size])[0]
        kind, count = self.head(tag)
        return getattr(self, f"read_{kind}")(count, depth)

    def head(self, tag: int) -> tuple[str, int]:
        """Returns the kind of value that a tag begins, and its number of bytes or entries."""
        if tag in _FIXED:
            return _FIXED[tag]
        if tag not in _SIZED:
            raise self.damaged(f"0x{tag:02x} does not begin a msgpack value")
        kind, width = _SIZED[tag]
        start = self.take(width)
        return kind, int.from_bytes(self.data[start : start + width], "big")

    def read_map(self, count: int, depth: int) -> dict[str, Node]:
        self.expect(count, 2, depth)
        entries: dict[str, Node] = {}
        for _ in range(count):
            key = self.key()
            if key in entries:
                raise self.damaged(f"the key `{key}` occurs twice in one mapping")
            entries[key] = self.node(depth + 1)
        return entries

    def key(self) -> str:
        key = self.node(MAX_DEPTH)
        if isinstance(key, RawBytes):
            key = self.text(key.offset, key.nbytes)
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise self.damaged(f"a key is neither text nor an integer but {type(key).__name__}")
        return str(key)

    def read_array(self, count: int, depth: int) -> list[Node]:
        self.expect(count, 1, depth)
        return [self.node(depth + 1) for _ in range(count)]

    def expect(self, count: int, width: int, depth: int) -> None:
        """Refuses a container with more entries, of `width` values each, than there are bytes or than any tree has."""
        least, there = count * width, self.end - self.position
        if least > there:
            raise self.damaged(f"it is truncated: {least} bytes or more should follow, {there} do")
        if not self.size.grow(count, depth):
            raise self.damaged(f"its tree has more than {MAX_ENTRIES:,} entries, more than any checkpoint has")

    def read_str(self, count: int, _: int) -> str:
        return self.text(self.take(count), count)

    def text(self, start: int, count: int) -> str:
        try:
            return self.data[start : start + count].decode()
        except UnicodeDecodeError as error:
            raise self.damaged("a text is not UTF-8") from error

    def read_bin(self, count: int, _: int) -> RawBytes:
        return RawBytes(self.take(count), count)

    def read_ext(self, count: int, depth: int) -> Node:
        code = self.data[self.take(1)]
        start = self.take(count)
        inner = Scanner(self.data, start, start + count, self.path, self.size)
        node = inner.extension(code, depth)
        if inner.position != inner.end:
            raise inner.damaged("an extension type holds more than its value")
        return node

    def extension(self, code: int, depth: int) -> Node:
        """Returns the value of an extension type."""
        if code in (1, 3):
            return self.array()
        if code == 2:
            return self.complex()
        if code == 4:
            return self.tuple(depth)
        raise self.damaged(f"{code} is not an extension type of Flax or Orbax")

    def tuple(self, depth: int) -> Node:
        items = self.node(depth + 1)
        if not isinstance(items, list):
            raise self.damaged("a tuple is not a list of values")
        return tuple(items)

    def complex(self) -> complex:
        parts = self.node(MAX_DEPTH - 1)
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, float | int) for part in parts):
            raise self.damaged("a complex number is not two numbers")
        return complex(*parts)

    def array(self) -> ArrayBytes:
        if self.data[self.take(1)] != 0x93:
            raise self.damaged("an array is not shape, dtype and bytes")
        shape, dtype = self.node(MAX_DEPTH - 1), self.node(MAX_DEPTH)
        if isinstance(dtype, RawBytes):
            dtype = self.text(dtype.offset, dtype.nbytes)
        if not _is_shape(shape) or not isinstance(dtype, str):
            raise self.damaged("an array's shape or dtype is invalid")
        kind, count = self.head(self.data[self.take(1)])
        if kind not in ("bin", "str"):  # before msgpack had `bin`, bytes were written as text
            raise self.damaged("an array has no bytes")
        return ArrayBytes(tuple(shape), dtype, self.take(count), count)


def _is_shape(shape: object) -> bool:
    sizes = isinstance(shape, list) and len(shape) <= 64 and all(type(size) is int and size >= 0 for size in shape)
    return bool(sizes)
