"""OCDBT databases of TensorStore 0.1.35, which no later TensorStore reads: their keys and the ranges of their values.

That version, the first with the driver, was current for three weeks in spring 2023, and `orbax-checkpoint` 0.1.8
required it. Its manifest and B-tree nodes have neither the length nor the checksum that every later version demands,
and name data files by 16 bytes. Values are stored in the data files as in later versions, so only the tree has to be
decoded here. In place of checksums, the content of the tree is compared with the writer's counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BufferedReader, BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from migrate.formats.files import damaged, file_size, is_file, missing, read_file, read_head, unreadable
from migrate.formats.zarr.ocdbt_fields import Fields
from migrate.places.names import open_range, reaches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MANIFEST, _NODE = b"\x0c\xdb\x3a\x2a", b"\x0c\xdb\x20\xde"
_HEADER_BYTES = 6
_ZSTD = 1
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MOST_BYTES = 64 << 20
"""The most bytes of a decoded manifest or node; the version's own limit was 8 MiB."""
_MOST_ENTRIES = 1 << 24
_HIGHEST = 32
_NOWHERE = (1 << 64) - 1
"""The offset of the root of an empty database."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A range of a data file."""

    file: Path
    offset: int
    nbytes: int

    def read(self) -> bytes:
        """Returns the bytes.

        Raises:
          CheckpointError: the file is missing, too short or unreadable.
        """
        if not is_file(self.file):
            raise missing(self.file.parent.parent, f"the data file `d/{self.file.name}` is missing")
        try:
            is_there = reaches(self.file, self.nbytes)
            with open_range(self.file, self.offset, self.offset + self.nbytes) as file:
                content = file.read(self.nbytes) if is_there else b""
        except OSError as error:
            raise unreadable(self.file, error) from error
        if len(content) != self.nbytes:
            raise damaged(self.file, f"it is truncated: a value ends at byte {self.offset + self.nbytes}")
        return content


def is_early(folder: Path) -> bool:
    """Whether a database's manifest is of this version: in every later one its length follows the magic number.

    Raises:
      CheckpointError: the manifest cannot be read.
    """
    manifest = folder / "manifest.ocdbt"
    if not is_file(manifest):
        return False
    head = read_head(manifest, 12)
    if head[:4] != _MANIFEST or int.from_bytes(head[4:12], "little") == file_size(manifest):
        return False
    # The next bytes are random in this version, and the upper bytes of the length in every later one.
    plain = head[4:6] == b"\0\0" and any(head[6:12])
    return plain or head[4:10] == b"\0\1" + _ZSTD_MAGIC


def read_entries(folder: Path) -> dict[str, bytes | ByteRange]:
    """Returns every key of the newest version, with its value or the range that holds it.

    Raises:
      CheckpointError: a file is missing or damaged.
    """
    manifest = _Body(folder / "manifest.ocdbt", read_file(folder / "manifest.ocdbt"), _MANIFEST)
    root, counted = _root(manifest, folder)
    tree = _Tree(folder)
    entries = [] if root is None else list(tree.entries(root, b""))
    if any(one >= other for (one, _), (other, _) in pairwise(entries)):
        raise manifest.malformed("the keys of its tree are not in order")
    outside = sum(value.nbytes for _, value in entries if isinstance(value, ByteRange))
    found = _Counted(len(entries), sum(node.nbytes for node in tree.seen), outside)
    if found != counted:
        raise manifest.malformed(f"its tree has {found}, and {counted} when it was written")
    return dict(entries)


class _Counted(NamedTuple):
    """The size of a tree's content."""

    keys: int
    node_bytes: int
    value_bytes: int

    def __str__(self) -> str:
        return f"{self.keys} keys, {self.node_bytes} bytes of nodes and {self.value_bytes} of values"


@dataclass(frozen=True, slots=True)
class _Child:
    """A node of the tree; `height` is 0 for one that holds values, and no key comes before `first`."""

    place: ByteRange
    height: int
    first: bytes = b""


def _root(body: _Body, folder: Path) -> tuple[_Child | None, _Counted]:
    """Returns the root of the newest version (None where nothing was ever written) and the size of its content."""
    body.take(16)  # the database's own name
    body.varints(2)  # limits of the writer
    body.take(1)
    if body.varint() == _ZSTD:
        body.take(4)
    count = body.count()
    generations = [0, *body.varints(count)]
    heights = body.take(count)
    places, counted = body.places(count, folder)
    body.take(8 * count)  # times of writing
    if body.varint() == 0:  # no earlier versions, which would be listed elsewhere
        body.expect_end()
    if not count or any(one >= other for one, other in pairwise(generations)):
        raise body.malformed("its versions are not in order")
    return (None if places[-1].offset == _NOWHERE else _Child(places[-1], heights[-1])), counted[-1]


class _Tree:
    """The nodes of a database.

    Attributes:
      seen: the ranges of the nodes that were read; a node that is reached twice is refused, which bounds the cost.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.seen: set[ByteRange] = set()

    def entries(self, node: _Child, prefix: bytes) -> Iterator[tuple[str, bytes | ByteRange]]:
        """Yields the entries below a node; its keys are stored without `prefix`."""
        body = _Body(node.place.file, node.place.read(), _NODE)
        height, count = body.take(1)[0], body.count()
        if height != node.height or height > _HIGHEST or not count or node.place in self.seen:
            raise body.malformed("a node of the tree is misplaced")
        self.seen.add(node.place)
        common = body.varints(count) if height else []
        keys = [prefix + key for key in body.keys(count)]
        if keys[0] < node.first:
            raise body.malformed("a node of the tree has keys that belong to another one")
        if height:
            yield from self._below(body, keys, [len(prefix) + length for length in common], height - 1)
        else:
            yield from self._values(body, keys)

    def _below(
        self, body: _Body, keys: list[bytes], common: list[int], height: int
    ) -> Iterator[tuple[str, bytes | ByteRange]]:
        """Yields the entries below the children of a node; the keys of each child have a common prefix."""
        places, _ = body.places(len(keys), self._folder)
        body.expect_end()
        for key, length, place in zip(keys, common, places, strict=True):
            if length > len(key):
                raise body.malformed("a key is shorter than its prefix")
            yield from self.entries(_Child(place, height, key), key[:length])

    def _values(self, body: _Body, keys: list[bytes]) -> Iterator[tuple[str, bytes | ByteRange]]:
        sizes = body.varints(len(keys))  # twice the size, plus 1 if the value is in a data file
        outside = sum(size & 1 for size in sizes)
        files = body.files(outside, self._folder)
        slices = zip(files, body.varints(outside), strict=True)
        for key, size in zip(keys, sizes, strict=True):
            value = ByteRange(*next(slices), size >> 1) if size & 1 else body.take(size >> 1)
            yield body.text(key), value
        body.expect_end()


class _Body(Fields):
    """A cursor over the decoded body of a manifest or a node; a malformed field raises CheckpointError."""

    def __init__(self, file: Path, content: bytes, magic: bytes) -> None:
        self.file = file
        head, body = content[:_HEADER_BYTES], content[_HEADER_BYTES:]
        if head not in (magic + b"\0\0", magic + b"\0\1"):
            raise self.malformed("it is not part of an OCDBT database")
        super().__init__(self._decompressed(body) if head[5] == _ZSTD else body)

    def _decompressed(self, content: bytes) -> bytes:
        import zstandard

        from migrate.formats.zarr.zstd_stream import ZstdStream

        try:
            data = BufferedReader(ZstdStream(BytesIO(content), _MOST_BYTES)).read(_MOST_BYTES + 1)
        except zstandard.ZstdError as error:
            raise self.malformed(f"it cannot be decompressed ({error})") from error
        if len(data) > _MOST_BYTES:
            raise self.malformed(f"it holds more than {_MOST_BYTES} bytes")
        return data

    def malformed(self, why: str) -> Exception:
        return damaged(self.file, f"{why} (OCDBT of TensorStore 0.1.35)")

    def count(self) -> int:
        """Returns the number of entries that follow; each takes at least one byte."""
        count = self.varint()
        if count > min(_MOST_ENTRIES, self.remaining):
            raise self.malformed(f"it claims {count} entries")
        return count

    def files(self, count: int, folder: Path) -> list[Path]:
        """Returns the next data files."""
        return [folder / "d" / self.take(16).hex() for _ in range(count)]

    def places(self, count: int, folder: Path) -> tuple[list[ByteRange], list[_Counted]]:
        """Returns the ranges of nodes, and the writer's counts of their content."""
        files = self.files(count, folder)
        offsets, lengths = self.varints(count), self.varints(count)
        counted = [self.varints(count) for _ in range(3)]
        places = [ByteRange(*place) for place in zip(files, offsets, lengths, strict=True)]
        return places, [_Counted(*numbers) for numbers in zip(*counted, strict=True)]

    def keys(self, count: int) -> list[bytes]:
        """Returns the next keys."""
        return self.shared_strings([0, *self.varints(count - 1)], self.varints(count))

    def text(self, key: bytes) -> str:
        """Returns a key as text."""
        try:
            return key.decode()
        except UnicodeDecodeError as error:
            raise self.malformed("a key is not UTF-8") from error


def value_of(entry: bytes | ByteRange) -> bytes:
    """Returns an entry's value, from its data file where it is stored in one."""
    return entry.read() if isinstance(entry, ByteRange) else entry
