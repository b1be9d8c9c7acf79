"""The byte ranges at which an OCDBT database stores its values: they verify a relink without reading an array.

The B-tree of a database maps every key either to an inline value or to a range of a data file. Two keys that refer to
the same range of the same file hold the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from migrate.errors import CheckpointError
from migrate.formats.files import damaged, file_size, missing, refuse_lfs_pointer, refuse_lfs_pointers_below
from migrate.formats.zarr.ocdbt_format import Reference
from migrate.formats.zarr.ocdbt_index import Index, IndexNode, UnreadableNodeError
from migrate.places.bucket_path import BucketPath
from migrate.places.names import open_range

BLOCK_BYTES = 1 << 20
"""Ranges of two files are compared in blocks of this size."""


def references(directory: Path) -> Mapping[str, Reference]:
    """Returns every key of the newest version of an OCDBT database with its reference; opens no value's file.

    Args:
      directory: holds the database's `manifest.ocdbt`.

    Raises:
      CheckpointError: there is no database, or its index is damaged or refers to files outside `directory`.
    """
    return {_text(key): value for node in _nodes(directory) for key, value in zip(node.keys, node.values, strict=True)}


def files_of_keys(directory: Path) -> Mapping[str, str]:
    """Returns the file of every key, relative to the database's directory; for an inline value, the file of its node.

    Raises:
      CheckpointError: there is no database, or its index is damaged or refers to files outside `directory`.
    """
    return {
        _text(key): value.file or node.place.file
        for node in _nodes(directory)
        for key, value in zip(node.keys, node.values, strict=True)
    }


def _nodes(directory: Path) -> Iterator[IndexNode]:
    """Yields the nodes of an index.

    Raises:
      CheckpointError: one is missing or damaged.
    """
    try:
        yield from Index(directory).nodes()
    except UnreadableNodeError as error:
        raise _unreadable(directory, error) from error


def _unreadable(directory: Path, error: UnreadableNodeError) -> CheckpointError:
    """Returns the error for the manifest or a node of the index, which names its file."""
    refuse_lfs_pointers_below(directory)
    file = directory / error.place.file
    refuse_lfs_pointer(file)
    size, end = file_size(file), error.place.offset + error.place.length
    if size is None:
        return missing(file, "it does not exist, and the database's index is stored in it")
    if size < end:
        return damaged(file, f"it has {size:,} bytes, and the database's index needs {end:,}")
    return damaged(file, f"the database's index at byte {error.place.offset} cannot be read ({error.reason})")


def read_value(reference: Reference, base: Path) -> bytes:
    """Reads the value of a reference of the database at `base`.

    Raises:
      CheckpointError: the file ends before the range does.
      OSError: the data file cannot be read.
    """
    return b"".join(value_blocks(reference, base))


def same_reference(a: Reference, a_base: Path, b: Reference, b_base: Path) -> bool:
    """Whether two references refer to the same bytes.

    Nothing is read where both refer to the same range of one file, under any of its hard links, or to inline values.
    Where a file had to be copied, the two ranges are compared byte by byte.

    Args:
      a: one reference.
      a_base: the directory of its database.
      b: the other.
      b_base: the directory of its database.

    Raises:
      CheckpointError: a file ends before the range does.
      OSError: a data file cannot be read.
    """
    if a.length != b.length:
        return False
    if a.is_inline and b.is_inline:
        return a.inline == b.inline
    if not a.is_inline and not b.is_inline and a.offset == b.offset and _same_file(a_base / a.file, b_base / b.file):
        _refuse_truncated(*((b, b_base) if isinstance(a_base, BucketPath) else (a, a_base)))
        return True
    return all(one == other for one, other in zip(value_blocks(a, a_base), value_blocks(b, b_base), strict=True))


def _refuse_truncated(reference: Reference, base: Path) -> None:
    """Refuses a file that ends before the range: two truncated ranges would otherwise count as the same."""
    file, end = base / reference.file, reference.offset + reference.length
    if not isinstance(file, BucketPath) and file.stat().st_size < end:
        raise damaged(file, f"it ends before byte {end}")


def _same_file(a: Path, b: Path) -> bool:
    if isinstance(a, BucketPath) or isinstance(b, BucketPath):
        return a.name == b.name  # which is random: a copy has the name of its original
    return os.path.samestat(a.stat(), b.stat())


def value_blocks(reference: Reference, base: Path) -> Iterator[bytes]:
    """Yields a value in blocks; values of one length have the same block boundaries.

    Args:
      reference: the reference of the value.
      base: the directory of its database.

    Raises:
      CheckpointError: the file ends before the range does.
      OSError: the data file cannot be read.
    """
    if (content := reference.inline) is not None:
        starts = range(0, reference.length, BLOCK_BYTES)
        yield from (content[start : start + BLOCK_BYTES] for start in starts)
        return
    with open_range(base / reference.file, reference.offset, reference.offset + reference.length) as file:
        for start in range(0, reference.length, BLOCK_BYTES):
            size = min(BLOCK_BYTES, reference.length - start)
            block = file.read(size)
            if len(block) != size:
                raise damaged(base / reference.file, f"it ends before byte {reference.offset + reference.length}")
            yield block


def _text(key: bytes) -> str:
    return key.decode(errors="surrogateescape")
