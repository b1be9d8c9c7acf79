"""Encodes OCDBT databases of one B-tree node, whose values are ranges of files; `ocdbt_format` decodes them.

TensorStore copies the entries of such a database into another one by reference. So bytes that were written into a file
without TensorStore become values of a database.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from migrate.formats.zarr.crc32c import crc32c
from migrate.formats.zarr.ocdbt_format import MANIFEST_MAGIC, NODE_MAGIC, ValueRange

_MOST_INLINE, _MOST_DECODED, _ARITY_LOG2 = 1024, 100_000_000, 4
"""The configuration. No value is in the node, and there is one version."""


def encode_node(values: Mapping[str, ValueRange]) -> bytes:
    """Returns the B-tree node of a database.

    Args:
      values: the range of each key; paths of files are relative to the directory of the database.
    """
    keys = sorted(key.encode() for key in values)
    files = sorted({place.file for place in values.values()})
    index = {file: at for at, file in enumerate(files)}
    places = [values[key.decode()] for key in keys]
    shared = [0] * (len(keys) - 1)  # what a key has in common with the one before it is stored again
    body = b"".join(
        (
            b"\0",
            _data_files(files),
            _varints([len(keys), *shared, *map(len, keys)]),
            *keys,
            _varints(place.length for place in places),
            b"\1" * len(places),
            _varints(index[place.file] for place in places),
            _varints(place.offset for place in places),
        )
    )
    return _framed(NODE_MAGIC, body)


def encode_manifest(identity: bytes, values: Mapping[str, ValueRange], node: ValueRange) -> bytes:
    """Returns the manifest of a database.

    Args:
      identity: 16 bytes, by which TensorStore knows a database again that it has open.
      values: as in `encode_node`.
      node: where the node is stored.
    """
    config = identity + b"\0" + _varints([_MOST_INLINE, _MOST_DECODED]) + bytes([_ARITY_LOG2]) + _varints([0])
    version = [0, node.offset, node.length, len(values), node.length, sum(place.length for place in values.values())]
    body = b"".join(
        (
            config,
            _data_files([node.file]),
            _varints([1, 1]),  # one version, the first
            b"\0",
            _varints(version),
            time.time_ns().to_bytes(8, "little"),
            _varints([0]),  # no list of earlier versions
        )
    )
    return _framed(MANIFEST_MAGIC, body)


def _framed(magic: bytes, body: bytes) -> bytes:
    content = magic + (len(body) + 18).to_bytes(8, "little") + b"\0\0" + body
    return content + crc32c(content).to_bytes(4, "little")


def _data_files(paths: Sequence[str]) -> bytes:
    """Returns the table of files; the whole path of each is stored."""
    encoded = [path.encode() for path in paths]
    shared, lengths, bases = [0] * (len(paths) - 1), map(len, encoded), [0] * len(paths)
    return _varints([len(paths), *shared, *lengths, *bases]) + b"".join(encoded)


def _varints(numbers: Iterable[int]) -> bytes:
    content = bytearray()
    for number in numbers:
        left = number
        while left > 0x7F:
            content.append(left & 0x7F | 0x80)
            left >>= 7
        content.append(left)
    return bytes(content)
