"""An index of a msgpack checkpoint: its tree with the offsets of its arrays, found without loading them.

The files of `flax.serialization.to_bytes` and Orbax's early `checkpoint` files are one msgpack object whose extension
types hold arrays (1), complex numbers (2), NumPy scalars (3) and tuples (4). A msgpack library would allocate as much
as the length fields claim and copy every array. This scan of the mapped file checks each length against the remaining
bytes and records where an array's bytes begin, so that a damaged or hostile file costs no more memory than its size.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from migrate.formats.files import MAX_DEPTH, damaged

if TYPE_CHECKING:
    from pathlib import Path

    from migrate.formats.file_view import FileView

FREE_ENTRIES = 250_000
"""The entries of mappings and lists that a file of any size may have; each costs about a kilobyte of memory."""
ENTRY_BYTES = 16
"""The bytes of a larger file for each of its entries: even the array of one number and its key take more."""
MAX_ENTRIES = 1_000_000
"""The most entries of a file of any size."""
ENTRY_SEGMENTS = 16
"""The segments of a key path, on the average of all entries; nesting multiplies them."""
ENTRY_CHARACTERS = 256
"""The characters of a key path, on the average of all entries; nesting multiplies them."""
MAX_AXES = 64
"""The most axes of an array, as in NumPy."""

Node = Any
"""dict, list or tuple of nodes; `ArrayBytes`, `RawBytes`, or a plain bool, int, float, complex, str or None."""


@dataclass(frozen=True, slots=True)
class ArrayBytes:
    """The row-major bytes of an array or NumPy scalar; `dtype` is the text in the file."""

    shape: tuple[int, ...]
    dtype: str
    offset: int
    nbytes: int


class Size:
    """The size of the tree so far; bounds keep a small file from producing a tree that fills the memory."""

    def __init__(self, nbytes: int) -> None:
        """Begins the tree of a file of so many bytes."""
        self._most = min(MAX_ENTRIES, max(FREE_ENTRIES, nbytes // ENTRY_BYTES))
        self._entries = self._segments = self._characters = 0

    def excess(self, count: int, depth: int, width: int) -> str:
        """Adds entries below a node; returns how the tree exceeds its bounds, or an empty text.

        Args:
          count: the number of entries.
          depth: the number of segments of the node's key path.
          width: the number of its characters.
        """
        self._entries += count
        self._segments += count * (depth + 1)
        self._characters += count * width
        if self._entries > self._most:
            return f"its tree has more than {self._most:,} entries"
        if self._segments > self._most * ENTRY_SEGMENTS:
            return f"the key paths of its tree have more than {self._most * ENTRY_SEGMENTS:,} segments"
        if self._characters > self._most * ENTRY_CHARACTERS:
            return f"the key paths of its tree have more than {self._most * ENTRY_CHARACTERS:,} characters"
        return ""


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

    def __init__(
        self,
        data: FileView | bytes,
        position: int,
        end: int,
        path: Path,
        size: Size,
        heads: dict[int, ArrayHead] | None = None,
    ) -> None:
        self.data, self.position, self.end, self.path, self.size = data, position, end, path, size
        self._heads: dict[int, ArrayHead] = {} if heads is None else heads

    def inner(self, start: int, end: int) -> Scanner:
        """Returns a scanner of a part of the file that counts into the same tree."""
        return Scanner(self.data, start, end, self.path, self.size, self._heads)

    def damaged(self, why: str) -> Exception:
        return damaged(self.path, f"{why} (at byte {self.position} of {len(self.data)})")

    def take(self, count: int) -> int:
        """Moves past the next `count` bytes and returns their offset."""
        start = self.position
        if count > self.end - start:
            raise self.damaged(f"it is truncated: {count} bytes should follow, {self.end - start} do")
        self.position += count
        return start

    def node(self, depth: int, width: int = 0) -> Node:
        """Returns the next value.

        Args:
          depth: the number of segments of its key path.
          width: the number of characters of its key path.
        """
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
        if kind == "str":
            return self.text(self.take(count), count)
        if kind == "bin":
            return RawBytes(self.take(count), count)
        read = {"map": self._map, "array": self._list, "ext": self._extension}[kind]
        return read(count, depth, width)

    def head(self, tag: int) -> tuple[str, int]:
        """Returns the kind of value that a tag begins, and its number of bytes or entries."""
        if tag in _FIXED:
            return _FIXED[tag]
        if tag not in _SIZED:
            raise self.damaged(f"0x{tag:02x} does not begin a msgpack value")
        kind, width = _SIZED[tag]
        start = self.take(width)
        return kind, int.from_bytes(self.data[start : start + width], "big")

    def _map(self, count: int, depth: int, width: int) -> dict[str, Node]:
        self._expect(count, 2, depth, width)
        entries: dict[str, Node] = {}
        for _ in range(count):
            key = self._key()
            if key in entries:
                raise self.damaged(f"the key `{key}` occurs twice in one mapping")
            entries[key] = self.node(depth + 1, width + len(key) + 1)
        return entries

    def _key(self) -> str:
        key = self.node(MAX_DEPTH)
        if isinstance(key, RawBytes):
            key = self.text(key.offset, key.nbytes)
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise self.damaged(f"a key is neither text nor an integer but {type(key).__name__}")
        return str(key)

    def _list(self, count: int, depth: int, width: int) -> list[Node]:
        self._expect(count, 1, depth, width)
        return [self.node(depth + 1, width + 1) for _ in range(count)]

    def _expect(self, count: int, each: int, depth: int, width: int) -> None:
        """Refuses a container with more entries, of `each` values, than there are bytes or than any tree has."""
        least, there = count * each, self.end - self.position
        if least > there:
            raise self.damaged(f"it is truncated: {least} bytes or more should follow, {there} do")
        if excess := self.size.excess(count, depth, width):
            raise self.damaged(f"{excess}, more than any checkpoint has")

    def text(self, start: int, count: int) -> str:
        try:
            return self.data[start : start + count].decode()
        except UnicodeDecodeError as error:
            raise self.damaged("a text is not UTF-8") from error

    def _extension(self, count: int, depth: int, width: int) -> Node:
        code = self.data[self.take(1)]
        start = self.take(count)
        if code in (1, 3):
            return self._array(start, count)
        inner = self.inner(start, start + count)
        if code == 2:
            node = inner.complex_number()
        elif code == 4:
            node = inner.read_tuple(depth, width)
        else:
            raise inner.damaged(f"{code} is not an extension type of Flax or Orbax")
        inner.refuse_more()
        return node

    def refuse_more(self) -> None:
        """Refuses bytes between the value of an extension type and its end."""
        if self.position != self.end:
            raise self.damaged("an extension type holds more than its value")

    def read_tuple(self, depth: int, width: int) -> Node:
        """Returns a list as a tuple; arguments as in `node`."""
        items = self.node(depth + 1, width)
        if not isinstance(items, list):
            raise self.damaged("a tuple is not a list of values")
        return tuple(items)

    def complex_number(self) -> Node:
        """Returns a complex number, which is stored as two numbers."""
        parts = self.node(MAX_DEPTH - 1)
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, float | int) for part in parts):
            raise self.damaged("a complex number is not two numbers")
        return complex(*parts)

    def _array(self, start: int, count: int) -> ArrayBytes:
        """Returns an array of `count` bytes with its head; equal heads, which most arrays have, are parsed once."""
        head = self._heads.get(count)
        if head is None or self.data[start : start + len(head.content)] != head.content:
            head = self._heads[count] = self.inner(start, start + count).array_head()
        return ArrayBytes(head.shape, head.dtype, start + len(head.content), head.nbytes)

    def array_head(self) -> ArrayHead:
        """Returns the head of the array that the scanner covers."""
        start = self.position
        if self.data[self.take(1)] != 0x93:
            raise self.damaged("an array is not shape, dtype and bytes")
        shape, dtype = self._shape(), self.node(MAX_DEPTH)
        if isinstance(dtype, RawBytes):
            dtype = self.text(dtype.offset, dtype.nbytes)
        if not isinstance(dtype, str):
            raise self.damaged("an array's shape or dtype is invalid")
        kind, count = self.head(self.data[self.take(1)])
        if kind not in ("bin", "str"):  # before msgpack had `bin`, bytes were written as text
            raise self.damaged("an array has no bytes")
        content = self.take(count)
        self.refuse_more()
        return ArrayHead(self.data[start:content], shape, dtype, count)

    def _shape(self) -> tuple[int, ...]:
        kind, axes = self.head(self.data[self.take(1)])
        sizes = tuple(self.node(MAX_DEPTH) for _ in range(axes)) if kind == "array" and axes <= MAX_AXES else (None,)
        if not all(type(size) is int and size >= 0 for size in sizes):
            raise self.damaged("an array's shape or dtype is invalid")
        return sizes


class ArrayHead(NamedTuple):
    """What precedes the bytes of an array."""

    content: bytes
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
