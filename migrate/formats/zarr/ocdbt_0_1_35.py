"""OCDBT databases of TensorStore 0.1.35, which no later TensorStore reads: their keys, and where the values lie.

That version, the first with the driver, was current for three weeks in spring 2023, and `orbax-checkpoint` 0.1.8
required it. Its manifest and B-tree nodes have neither the length nor the checksum that every later version demands,
and name data files by their 16 bytes. Values lie in the data files as they do today, so that only the tree has to be
decoded here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from migrate.formats.files import damaged, is_file, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MANIFEST, _NODE = b"\x0c\xdb\x3a\x2a", b"\x0c\xdb\x20\xde"
_HEADER_BYTES = 6
_ZSTD = 1
_MOST_BYTES = 64 << 20
"""Of one decoded manifest or node; the version's own limit was 8 MiB."""
_MOST_ENTRIES = 1 << 24
_HIGHEST = 32
_NOWHERE = (1 << 64) - 1
"""The offset that the root of an empty database has."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes of a data file."""

    file: Path
    offset: int
    nbytes: int

    def read(self) -> bytes:
        """The bytes.

        Raises:
          CheckpointError: the file is not there, or too short.
        """
        if not is_file(self.file):
            raise missing(self.file.parent.parent, f"the data file `d/{self.file.name}` is not there")
        with self.file.open("rb") as file:
            file.seek(self.offset)
            content = file.read(self.nbytes) if self.nbytes <= self.file.stat().st_size else b""
        if len(content) != self.nbytes:
            raise damaged(self.file, f"it is truncated: a value ends at byte {self.offset + self.nbytes}")
        return content


def is_early(folder: Path) -> bool:
    """Whether a database's manifest is of this version: in every later one its length follows the magic number."""
    manifest = folder / "manifest.ocdbt"
    if not is_file(manifest):
        return False
    with manifest.open("rb") as file:
        head = file.read(12)
    later = int.from_bytes(head[4:12], "little") == manifest.stat().st_size
    return head[:4] == _MANIFEST and head[4:5] == b"\0" and head[5:6] in (b"\0", b"\1") and not later


def read_entries(folder: Path) -> dict[str, bytes | Slice]:
    """Every key of the newest version, with its value or where that lies.

    Raises:
      CheckpointError: a file is missing or damaged.
    """
    manifest = folder / "manifest.ocdbt"
    root = _root(_Body(manifest, manifest.read_bytes(), _MANIFEST), folder)
    entries = [] if root is None else list(_entries(root, folder, b"", set()))
    keys = [key for key, _ in entries]
    if any(one >= other for one, other in pairwise(keys)):
        raise damaged(manifest, "the keys of its tree are not in order (OCDBT of TensorStore 0.1.35)")
    return dict(entries)


@dataclass(frozen=True, slots=True)
class _Child:
    """A node of the tree; `height` is 0 for one that holds values."""

    place: Slice
    height: int


def _root(body: _Body, folder: Path) -> _Child | None:
    """The root of the newest version; None where nothing was ever written."""
    body.take(16)  # the database's own name
    body.varints(2)  # sizes that a writer kept to
    body.take(1)
    if body.varint() == _ZSTD:
        body.take(4)
    count = body.count()
    body.varints(count)  # generation numbers
    heights = body.take(count)
    places = body.places(count, folder)
    if not count or places[-1].offset == _NOWHERE:
        return None
    return _Child(places[-1], heights[-1])


def _entries(node: _Child, folder: Path, prefix: bytes, seen: set[Slice]) -> Iterator[tuple[str, bytes | Slice]]:
    """What lies below a node; no node lies below two, so that a tree costs no more than its files."""
    body = _Body(node.place.file, node.place.read(), _NODE)
    height, count = body.take(1)[0], body.count()
    if height != node.height or height > _HIGHEST or node.place in seen:
        raise body.damaged("a node of the tree is not where it should be")
    seen.add(node.place)
    common = body.varints(count) if height else []
    shared = [0, *body.varints(count - 1)]
    own = body.varints(count)
    keys = list(_keys(body, shared, own, prefix))
    if not height:
        yield from _values(body, keys, folder)
        return
    for key, length, place in zip(keys, common, body.places(count, folder), strict=True):
        yield from _entries(_Child(place, height - 1), folder, key[: len(prefix) + length], seen)


def _keys(body: _Body, shared: list[int], own: list[int], prefix: bytes) -> Iterator[bytes]:
    """Keys, each of which shares its beginning with the one before."""
    last = b""
    for begin, length in zip(shared, own, strict=True):
        last = last[:begin] + body.take(length)
        yield prefix + last


def _values(body: _Body, keys: list[bytes], folder: Path) -> Iterator[tuple[str, bytes | Slice]]:
    sizes = body.varints(len(keys))  # twice the size, and 1 where the value lies in a data file
    outside = sum(size & 1 for size in sizes)
    files = body.files(outside, folder)
    slices = zip(files, body.varints(outside), strict=True)
    for key, size in zip(keys, sizes, strict=True):
        value = Slice(*next(slices), size >> 1) if size & 1 else body.take(size >> 1)
        yield body.text(key), value


class _Body:
    """A cursor over the decoded body of a manifest or a node."""

    def __init__(self, file: Path, content: bytes, magic: bytes) -> None:
        self.file, self.position = file, 0
        if content[:4] != magic or len(content) < _HEADER_BYTES or content[4] != 0:
            raise self.damaged("it is no part of an OCDBT database")
        self._data = self._decompressed(content[_HEADER_BYTES:]) if content[5] == _ZSTD else content[_HEADER_BYTES:]

    def _decompressed(self, content: bytes) -> bytes:
        import zstandard

        try:
            decoder = zstandard.ZstdDecompressor(max_window_size=_MOST_BYTES)
            data: bytes = decoder.stream_reader(content).read(_MOST_BYTES + 1)
        except zstandard.ZstdError as error:
            raise self.damaged(f"it cannot be decompressed ({error})") from error
        if len(data) > _MOST_BYTES:
            raise self.damaged(f"it holds more than {_MOST_BYTES} bytes")
        return data

    def damaged(self, why: str) -> Exception:
        return damaged(self.file, f"{why} (OCDBT of TensorStore 0.1.35)")

    def take(self, count: int) -> bytes:
        """The next bytes."""
        start, self.position = self.position, self.position + count
        if self.position > len(self._data):
            raise self.damaged("it is truncated")
        return self._data[start : self.position]

    def varint(self) -> int:
        """The next number: seven bits a byte, the lowest first."""
        number = shift = 0
        while shift < 70:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
        raise self.damaged("a number in it has no end")

    def varints(self, count: int) -> list[int]:
        """The next numbers."""
        return [self.varint() for _ in range(count)]

    def count(self) -> int:
        """How many of something follow; each takes a byte at least."""
        count = self.varint()
        if count > min(_MOST_ENTRIES, len(self._data) - self.position):
            raise self.damaged(f"{count} entries should follow")
        return count

    def files(self, count: int, folder: Path) -> list[Path]:
        """The next data files."""
        return [folder / "d" / self.take(16).hex() for _ in range(count)]

    def places(self, count: int, folder: Path) -> list[Slice]:
        """Where nodes lie; what a writer counted in them follows and is passed over."""
        files = self.files(count, folder)
        offsets, lengths = self.varints(count), self.varints(count)
        self.varints(3 * count)  # keys, bytes of nodes, bytes of values
        return [Slice(*place) for place in zip(files, offsets, lengths, strict=True)]

    def text(self, key: bytes) -> str:
        """A key, which is a file name to Zarr."""
        try:
            return key.decode()
        except UnicodeDecodeError as error:
            raise self.damaged("a key is not UTF-8") from error


def value_of(entry: bytes | Slice) -> bytes:
    """An entry's value, read from its data file where it lies in one."""
    return entry.read() if isinstance(entry, Slice) else entry
