"""Decides which data files of a source are linked: those of which enough is needed.

A linked file stays as long as DST does, with everything in it. Where the large arrays of a file are rewritten or
dropped and a few small ones are linked, DST would keep the whole file for them; their chunks are copied instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from migrate.engine.linking.link import Link
from migrate.formats.files import file_size
from migrate.formats.zarr.metadata import METADATA_KEYS
from migrate.formats.zarr.ocdbt_format import Reference
from migrate.places.bucket_path import BucketPath

_METADATA = tuple(METADATA_KEYS.values())


def is_worth_linking(needed: int, stored: int, size: int) -> bool:
    """Returns whether a data file is linked: half of it is needed, or all that the source has in it.

    So a copy never writes more than it saves, and a source that is only renamed is linked as a whole.

    Args:
      needed: bytes of the chunks that are linked.
      stored: bytes of all chunks of the source in the file; the others are dead in the source already.
      size: bytes of the file.
    """
    return 2 * needed >= size or needed == stored


def keys_by_base(links: Iterable[Link]) -> Mapping[Path, Collection[str]]:
    """Returns the keys of the chunks of links, by the directory of their database."""
    found: dict[Path, set[str]] = {}
    for link in links:
        for location, key, _ in link.moves():
            found.setdefault(location.base, set()).add(key)
    return found


def unworthy_files(entries: Mapping[str, Reference], wanted: Collection[str], base: Path) -> Collection[str]:
    """Returns the data files of a database that hold chunks of some keys, and are not worth a link for them.

    Args:
      entries: all keys of the database.
      wanted: the keys of the chunks that are linked.
      base: the directory of the database.
    """
    stored: Counter[str] = Counter()
    needed: Counter[str] = Counter()
    ends: dict[str, int] = {}
    for key, entry in entries.items():
        if not entry.is_inline and not key.endswith(_METADATA):
            stored[entry.file] += entry.length
            ends[entry.file] = max(entry.offset + entry.length, ends.get(entry.file, 0))
            if key in wanted:
                needed[entry.file] += entry.length
    return frozenset(
        file
        for file, nbytes in needed.items()
        if not is_worth_linking(nbytes, stored[file], _size(base / file, ends[file]))
    )


def _size(file: Path, end: int) -> int:
    """Returns the size of a data file; of one in a bucket, which takes many requests, the end of its last value."""
    return end if isinstance(file, BucketPath) else file_size(file) or 0
