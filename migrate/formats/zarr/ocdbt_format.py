"""Decodes manifests and B-tree nodes of OCDBT databases, as every TensorStore since 0.1.36 writes them.

The format is specified at https://google.github.io/tensorstore/kvstore/ocdbt/index.html. TensorStore's own
`ts.ocdbt.dump` decodes it as well, but is meant for inspection, and leaks every value that it returns. What TensorStore
refuses is refused here: a malformed field raises MalformedError, and no part of a node is skipped.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import ge
from typing import NamedTuple

from migrate.formats.zarr.crc32c import crc32c
from migrate.formats.zarr.inline_values import InlineValues, ValueFile
from migrate.formats.zarr.ocdbt_fields import Fields, MalformedError

MANIFEST_MAGIC, NODE_MAGIC = b"\x0c\xdb\x3a\x2a", b"\x0c\xdb\x20\xde"
_LEAST_BYTES = 16
_HEAD_BYTES = 10
"""The most bytes of the version and the compression."""
_PLAIN, _ZSTD = 0, 1
_MOST_DECODED = 4 << 30
"""The most bytes of a decoded manifest or node: its limit is a number of 32 bits."""
_BLOCK_BYTES = 1 << 17
"""The most bytes of a decoded zstd block."""
_SINGLE, _NUMBERED = 0, 1
_MOST_ARITY_LOG2 = 16
_ZSTD_LEVELS = range(-(1 << 17), 23)
_MOST_ENTRIES = 1 << 20
_MOST_INLINE = 1 << 20
_LONGEST = (1 << 16) - 1
"""The most bytes of a key or of the path of a data file."""
_NOWHERE = (1 << 64) - 1
"""The offset and the length of the root of an empty database."""


class ValueRange(NamedTuple):
    """A byte range of a file; `file` is relative to the database's directory."""

    file: str
    offset: int
    length: int


class Reference(NamedTuple):
    """Where one value is stored.

    Attributes:
      file: the data file, relative to the database's directory; empty for an inline value.
      offset: first byte of the range in the file.
      length: bytes of the value.
      kept: the value itself where the B-tree holds it, or the file in which it is kept; otherwise None.
    """

    file: str
    offset: int
    length: int
    kept: bytes | ValueFile | None = None

    @property
    def is_inline(self) -> bool:
        """Whether the B-tree holds the value itself."""
        return self.kept is not None

    @property
    def inline(self) -> bytes | None:
        """The value itself where the B-tree holds it, otherwise None."""
        return self.kept.read(self.offset, self.length) if isinstance(self.kept, ValueFile) else self.kept


class DataFile(NamedTuple):
    """A file of a database; paths in the nodes that it holds are relative to `base`."""

    path: str
    base: bytes


class NodePlace(NamedTuple):
    """Where a node is stored."""

    file: DataFile
    offset: int
    length: int

    @property
    def range(self) -> ValueRange:
        """The range without the base path."""
        return ValueRange(self.file.path, self.offset, self.length)


class Child(NamedTuple):
    """A child of a node; the keys below it have a prefix of `common` bytes in common with its own key."""

    place: NodePlace
    common: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of a manifest.

    Attributes:
      config: the database's configuration as encoded, without the kind of the manifest.
      is_numbered: whether the versions are in other manifests, whose names end with numbers.
      root: the root of the newest version; None where the database is empty.
      root_height: number of levels below the root.
      version_lists: where the lists of earlier versions are stored.
    """

    config: tuple[object, ...]
    is_numbered: bool
    root: NodePlace | None = None
    root_height: int = 0
    version_lists: Sequence[NodePlace] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """The content of a B-tree node.

    Attributes:
      height: number of levels below it.
      keys: the keys of its entries, in order, without the prefix that all keys below the node have in common.
      values: the values of the keys; none where the node has children.
      children: the nodes below it; none where it has values.
    """

    height: int
    keys: Sequence[bytes]
    values: Sequence[Reference] = ()
    children: Sequence[Child] = ()


def decode_manifest(content: bytes) -> Manifest:
    """Decodes the content of a manifest.

    Raises:
      MalformedError: it is damaged.
    """
    fields = _body(content, MANIFEST_MAGIC)
    uuid, kind = fields.take(16), fields.byte()
    limits, arity_log2, compression = fields.varints(2, 32), fields.byte(), fields.varint(32)
    level = int.from_bytes(fields.take(4), "little", signed=True) if compression == _ZSTD else 0
    if not 1 <= arity_log2 <= _MOST_ARITY_LOG2 or kind not in (_SINGLE, _NUMBERED):
        raise MalformedError("its configuration is invalid")
    if compression not in (_PLAIN, _ZSTD) or level not in _ZSTD_LEVELS:
        raise MalformedError("its compression is unknown")
    config = (uuid, *limits, arity_log2, compression, level)
    if kind == _NUMBERED:
        fields.expect_end()
        return Manifest(config, is_numbered=True)
    files = _data_files(fields, b"")
    versions = _versions(fields, files, arity_log2)
    version_lists = _version_lists(fields, files, arity_log2, versions)
    fields.expect_end()
    return Manifest(config, False, versions.root, versions.height, version_lists)


def decode_node(content: bytes, base: bytes, inline: InlineValues | None = None) -> Node:
    """Decodes the content of a B-tree node.

    Args:
      content: the node.
      base: the base path of the file that holds it.
      inline: keeps the inline values of all nodes of an index (default: those of this node).

    Raises:
      MalformedError: it is damaged.
    """
    fields = _body(content, NODE_MAGIC)
    del content  # a node may have 100 MB
    height, files = fields.byte(), _data_files(fields, base)
    count = fields.varint(32)
    if not 1 <= count <= _MOST_ENTRIES:
        raise MalformedError(f"it has {count} entries")
    shared, own = [0, *fields.varints(count - 1, 16)], fields.varints(count, 16)
    common = fields.varints(count, 16) if height else []
    keys = fields.shared_strings(shared, own)
    if max(map(len, keys)) > _LONGEST:
        raise MalformedError("a key is too long")
    if any(map(ge, keys, keys[1:])):
        raise MalformedError("its keys are not in order")
    if not height:
        node = Node(height, keys, values=_values(fields, files, keys, inline or InlineValues()))
    else:
        node = Node(height, keys, children=_children(fields, files, keys, common))
    fields.expect_end()
    return node


def _body(content: bytes, magic: bytes) -> Fields:
    """Returns the fields of a manifest or a node behind its header, whose checksum is verified."""
    if len(content) < _LEAST_BYTES:
        raise MalformedError(f"{len(content)} bytes are too few for it")
    if content[:4] != magic:
        raise MalformedError("it is not part of an OCDBT database")
    length, checksum = int.from_bytes(content[4:12], "little"), int.from_bytes(content[-4:], "little")
    if length != len(content):
        raise MalformedError(f"its header records {length} bytes, and it has {len(content)}")
    if checksum != crc32c(memoryview(content)[:-4]):
        raise MalformedError("its checksum does not match")
    head = Fields(content[12 : min(12 + _HEAD_BYTES, len(content) - 4)])
    version, compression = head.varint(32), head.varint(32)
    if version or compression not in (_PLAIN, _ZSTD):
        raise MalformedError(f"its version {version} or its compression {compression} is unknown")
    start = 12 + head.position
    return Fields(content[start:-4] if compression == _PLAIN else _decompressed(content, start))


class _Frame(io.RawIOBase):
    """The zstd frame of a manifest or a node, which is read without a copy of it."""

    def __init__(self, content: bytes, start: int) -> None:
        self._content, self._position = content, start

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes of the frame."""
        start, end = self._position, len(self._content) - 4
        self._position = end if size < 0 else min(start + size, end)
        return self._content[start : self._position]


def _decompressed(content: bytes, start: int) -> bytes:
    import zstandard

    from migrate.formats.zarr.zstd_stream import ZstdStream

    decoded = io.BytesIO()
    try:
        stream = ZstdStream(_Frame(content, start))
        while block := stream.read(_BLOCK_BYTES):
            decoded.write(block)
            if decoded.tell() > _MOST_DECODED:
                raise MalformedError(f"it holds more than {_MOST_DECODED} bytes")
    except zstandard.ZstdError as error:
        raise MalformedError(f"it cannot be decompressed ({error})") from error
    return decoded.getvalue()  # no copy


def _data_files(fields: Fields, base: bytes) -> list[DataFile]:
    """Returns the table of files to which the entries refer; their paths follow the base path of the node."""
    count = fields.varint()
    if not count:
        return []
    shared, own, bases = [0, *fields.varints(count - 1, 16)], fields.varints(count, 16), fields.varints(count, 16)
    for prefix, last, length in zip(shared, [0, *bases], bases, strict=False):
        if prefix > min(last, length) and last != length:
            raise MalformedError("a path shares more than the base path with the path before it")
    files = []
    for path, length in zip(fields.shared_strings(shared, own), bases, strict=True):
        if length > len(path) or len(base) + len(path) > _LONGEST:
            raise MalformedError("a path of a data file is too long, or shorter than its base path")
        whole = (base + path).decode(errors="surrogateescape")
        if whole.startswith("/") or ".." in whole.split("/"):
            raise MalformedError(f"it refers to `{whole}`, which is outside the checkpoint")
        files.append(DataFile(whole, base + path[:length]))
    return files


def _chosen(fields: Fields, files: Sequence[DataFile], count: int) -> list[DataFile]:
    """Returns a column of files, stored as indexes of the table."""
    indexes = fields.varints(count)
    if max(indexes, default=-1) >= len(files):
        raise MalformedError("an entry refers to a data file that its table lacks")
    return [files[index] for index in indexes]


def _places(fields: Fields, files: Sequence[DataFile], count: int) -> list[NodePlace]:
    """Returns a column of places of nodes."""
    columns = _chosen(fields, files, count), fields.varints(count), fields.varints(count)
    return [NodePlace(*place) for place in zip(*columns, strict=True)]


def _refuse_overflow(places: Sequence[NodePlace]) -> None:
    if any(place.offset + place.length > _NOWHERE for place in places):
        raise MalformedError("a range exceeds 64 bits")


def _values(fields: Fields, files: Sequence[DataFile], keys: Sequence[bytes], inline: InlineValues) -> list[Reference]:
    """Returns the values of a node: ranges of data files, and bytes of the node itself."""
    count = len(keys)
    lengths, kinds = fields.varints(count), fields.take(count)
    outside, inside = kinds.count(1), kinds.count(0)
    if outside + inside != count:
        raise MalformedError("a value is of an unknown kind")
    ranges = zip(_chosen(fields, files, outside), fields.varints(outside), strict=True)
    values: list[Reference] = []
    for key, kind, length in zip(keys, kinds, lengths, strict=True):
        if kind:
            file, offset = next(ranges)
            if offset + length > _NOWHERE:
                raise MalformedError("a range exceeds 64 bits")
            values.append(Reference(file.path, offset, length))
        elif length > _MOST_INLINE:
            raise MalformedError(f"an inline value has {length} bytes")
        else:
            offset, kept = inline.keep(key, fields.take(length))
            values.append(Reference("", offset, length, kept))
    return values


def _children(fields: Fields, files: Sequence[DataFile], keys: Sequence[bytes], common: Sequence[int]) -> list[Child]:
    """Returns the children of a node; the counts of the content below them are skipped."""
    places = _places(fields, files, len(keys))
    fields.varints(3 * len(keys))
    _refuse_overflow(places)
    if any(length > len(key) for key, length in zip(keys, common, strict=True)):
        raise MalformedError("a key is shorter than its prefix")
    return [Child(*child) for child in zip(places, common, strict=True)]


class _Versions(NamedTuple):
    """The newest versions, which the manifest itself lists: the root of the last one, and what precedes the first."""

    number: int
    root: NodePlace | None
    height: int
    first_time: int


def _versions(fields: Fields, files: Sequence[DataFile], arity_log2: int) -> _Versions:
    count = fields.varint()
    if not 1 <= count <= 1 << arity_log2:
        raise MalformedError(f"it has {count} versions")
    numbers, heights = fields.varints(count), fields.take(count)
    places = _places(fields, files, count)
    counted = [fields.varints(count) for _ in range(3)]
    times = _times(fields, count)
    roots = [None if place[1:] == (_NOWHERE, _NOWHERE) else place for place in places]
    _refuse_overflow([root for root in roots if root is not None])
    for root, below in zip(roots, zip(heights, *counted, strict=True), strict=True):
        if root is None and any(below):
            raise MalformedError("an empty version has content")
    first = numbers[-1] - (numbers[-1] - 1) % (1 << arity_log2)
    if not numbers[0] or numbers[0] < first or not _increases(numbers) or not _increases(times):
        raise MalformedError("its versions are not in order")
    return _Versions(numbers[-1], roots[-1], heights[-1], times[0])


def _version_lists(fields: Fields, files: Sequence[DataFile], arity_log2: int, versions: _Versions) -> list[NodePlace]:
    """Returns the places of the lists of earlier versions in a manifest."""
    count = fields.varint()
    if count > 63 // arity_log2:
        raise MalformedError(f"it has {count} lists of versions")
    numbers, places = fields.varints(count), _places(fields, files, count)
    lengths, times, heights = fields.varints(count), _times(fields, count), fields.take(count)
    _refuse_overflow(places)
    allowed = _version_ranges(arity_log2, versions.number)
    for height, number, length in zip(heights, numbers, lengths, strict=True):
        span = allowed.get(height, range(0))
        if number not in span or not 1 <= length <= number - span.start + 1:
            raise MalformedError("a list of versions does not belong to it")
    if not _increases(heights[::-1]) or not _increases([*times, versions.first_time]):
        raise MalformedError("its lists of versions are not in order")
    return places


def _version_ranges(arity_log2: int, newest: int) -> dict[int, range]:
    """Returns the versions that the list of each height may hold; a list ends before the next lower one begins."""
    ranges: dict[int, range] = {}
    last, height = (newest - 1) >> arity_log2 << arity_log2, 1
    while last:
        unit = (height + 1) * arity_log2
        before = (last - 1) >> unit << unit
        ranges[height] = range(before + 1, last + 1)
        last, height = before, height + 1
    return ranges


def _times(fields: Fields, count: int) -> Sequence[int]:
    """Returns a column of times of writing."""
    return struct.unpack(f"<{count}Q", fields.take(8 * count))


def _increases(numbers: Sequence[int]) -> bool:
    return all(one < other for one, other in pairwise(numbers))
