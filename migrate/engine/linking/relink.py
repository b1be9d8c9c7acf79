"""Relinking: puts arrays whose bytes do not change into the staging stores chunk by chunk, without decoding them.

The data files of the source's database are linked below the staging store, and one transaction gives their chunks new
keys: an entry of an OCDBT B-tree records the file and the byte range of a value, and only entries are written. Chunks
that are files of their own (plain zarr), in the source or in the target, are copied as they are encoded. Array metadata
is written again, since the shape may differ.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import tensorstore as ts

from migrate.codes import MissingPart
from migrate.engine.linking.copy_chunks import (
    copy_chunks,
    copy_chunks_into_files,
    digest_of_chunk,
    write_values,
)
from migrate.engine.linking.data_files import DataFiles
from migrate.engine.linking.fetch import fetch
from migrate.engine.linking.hard_links import link_file
from migrate.engine.linking.link import Link
from migrate.engine.linking.open_stores import OPTIONS, copying_context, open_database_at
from migrate.engine.linking.prune import prune_files
from migrate.engine.linking.worth import keys_by_base, unworthy_files
from migrate.engine.staged_array import StagedArray
from migrate.errors import CheckpointError, listed
from migrate.formats.files import damaged, explain_store_failure, file_size, is_file
from migrate.formats.zarr.key_places import database_files
from migrate.formats.zarr.ocdbt_format import Reference
from migrate.formats.zarr.references import references
from migrate.formats.zarr.small_arrays import DatabaseValues, database_of
from migrate.formats.zarr.store_spec import folder_spec
from migrate.places.bucket_path import BucketPath
from migrate.places.copies import copy_files, learn_sizes
from migrate.places.names import refresh
from migrate.places.objects import is_about_access, unreachable
from migrate.places.writable_path import WritableBucketPath
from migrate.tree import KeyPath, format_path

SOURCE = "ocdbt.process_source_"
"""The prefix of folders for linked files of a source's database, followed by a number: Orbax has this form of name for
a database among the files of a larger one.
"""

_MOST_PENDING = 4096
"""The most requests that are in flight: each takes about as much memory as a small chunk."""

_MOST_TOGETHER = 8192
"""The most arrays of a local transaction, which keeps their entries in memory; in a bucket, there is only one."""


@dataclass(frozen=True, slots=True)
class LinkedArrays:
    """The arrays that relinking put into the staging stores.

    Attributes:
      arrays: the arrays, by target key path.
      dead_bytes: bytes of linked files that no chunk needs: they belong to arrays that were dropped or rewritten.
    """

    arrays: Mapping[KeyPath, StagedArray]
    dead_bytes: int = 0


def relink(links: Sequence[Link], stores: Mapping[str, Path], *, shared: bool = False) -> LinkedArrays:
    """Links or copies arrays into the staging stores of their items.

    Args:
      links: from `find_links`.
      stores: the directory of each item's staging store; it may be missing.
      shared: whether the files of the source stay beside the target anyway, so that every one of them is worth a link.

    Raises:
      CheckpointError: the source lacks a chunk (`MissingPart`), or its database or array metadata cannot be read, for
        example because another process replaces them at this moment (`DamagedFile`).
    """
    parts = []
    for name, store in stores.items():
        of_item = [link for link in links if link.item.name == name]
        if of_item:
            try:
                plain = of_item[0].item.plain
                parts.append(_copy_into(store, of_item) if plain else _relink_into(store, of_item, shared=shared))
            except (ValueError, KeyError, TypeError, IndexError) as error:
                _explain(error, store, of_item[0].locations[0].base)
    arrays = {path: array for part in parts for path, array in part.arrays.items()}
    return LinkedArrays(arrays, dead_bytes=sum(part.dead_bytes for part in parts))


def _explain(error: Exception, store: Path, base: Path) -> NoReturn:
    """Raises the error about the source; what was linked of it is removed, so that it is linked again."""
    if "os_error_code" in str(error):
        raise error
    if isinstance(store, BucketPath) and is_about_access(error):
        raise unreachable(error, str(store)) from error
    for folder in store.glob(f"{SOURCE}*"):
        shutil.rmtree(folder, ignore_errors=True)
    explain_store_failure(error, base, "the index or the metadata of its arrays")


def _relink_into(store: Path, links: Sequence[Link], *, shared: bool) -> LinkedArrays:
    referable = [link for link in links if link.is_referable]
    bases = dict.fromkeys(location.base for link in referable for location in link.locations)
    folders = {base: store / f"{SOURCE}{number}" for number, base in enumerate(bases)}
    for base, folder in folders.items():
        if not _is_mounted(base, store):
            _link_database(base, folder)
    context = copying_context()
    target = open_database_at(_staging_spec(store, folders), context, config=OPTIONS, assume_config=True)
    indexes = {place.base: database_of(place) for link in referable for place in link.locations}
    sources = {
        base: SourceDatabase(open_database_at(_staging_spec(store, folders, below=folder), context), indexes[base])
        for base, folder in folders.items()
    }
    wanted = {} if shared else keys_by_base(referable)
    for base in wanted:
        if not _is_copied_by_server(base, store):
            sources[base] = replace(sources[base], copied=sources[base].unworthy(wanted[base]))
    refer(referable, target, sources, most=None if isinstance(store, BucketPath) else _MOST_TOGETHER)
    is_local = not any(_is_mounted(base, store) for base in (store, *folders))
    files = DataFiles(store, context) if is_local else None
    write_values(_unworthy_chunks(referable, sources), target, files)
    copy_chunks([link for link in links if not link.is_referable], target, context, files)
    if files is not None:
        files.close()
    refresh(store)
    entries = references(store)
    _refuse_missing(link for link in links if any(key not in entries for _, _, key in link.moves()))
    needed = {entry.file for entry in entries.values() if not entry.is_inline}
    for base, folder in folders.items():
        if _is_mounted(base, store):
            _copy_files(base, folder, needed)
    nbytes = prune_files(store, folders.values(), needed)
    arrays = {link.path: link.staged_array() for link in links}
    origins = {folder.name: base for base, folder in folders.items()}
    return LinkedArrays(arrays, nbytes - sum(_used_bytes(store, links, entries, origins)))


def _copy_into(folder: Path, links: Sequence[Link]) -> LinkedArrays:
    """Copies every chunk into a folder of plain zarr, which can refer to no other file."""
    context = copying_context()
    folder.mkdir(parents=True, exist_ok=True)
    found = copy_chunks_into_files(links, folder, context)
    _refuse_missing(link for link in links if any(key not in found for _, _, key in link.moves()))
    return LinkedArrays({link.path: link.staged_array() for link in links})


def _staging_spec(store: Path, folders: Mapping[Path, Path], below: Path | None = None) -> dict[str, Any]:
    """Returns the specification of a staging store in which the files of sources appear that are copied later.

    Args:
      store: its directory.
      folders: the folder below it for each source.
      below: one of these folders, which is specified instead of the whole store.
    """
    mounts = [
        {"prefix": f"{folder.name}/", "base": folder_spec(base)}
        for base, folder in folders.items()
        if _is_mounted(base, store)
    ]
    if not mounts:
        return folder_spec(below or store)
    stack: dict[str, Any] = {"driver": "kvstack", "layers": [{"base": folder_spec(store)}, *mounts]}
    return {**stack, "path": f"{below.name}/"} if below else stack


def _is_mounted(base: Path, store: Path) -> bool:
    """Whether the files of a source cannot be linked: the index is written first, and names those that are copied."""
    return isinstance(base, BucketPath) or isinstance(store, BucketPath)


def _is_copied_by_server(base: Path, store: Path) -> bool:
    """Whether the files of a source are copied within a bucket, which costs less than to copy chunks of them."""
    return isinstance(base, BucketPath) and isinstance(store, BucketPath) and base.bucket == store.bucket


def _copy_files(base: Path, folder: Path, needed: Iterable[str]) -> None:
    """Copies those files of a source to which the new database refers; none that is there already."""
    names = [name.partition("/")[2] for name in sorted(needed) if name.startswith(f"{folder.name}/")]
    lacking = [name for name in names if not is_file(folder / name)]
    if isinstance(folder, WritableBucketPath):
        copy_files([(base / name, folder / name) for name in lacking])
        learn_sizes([folder / name for name in names])
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in lacking:
        fetch(BucketPath(str(base)) / name, folder / name)


def _link_database(base: Path, folder: Path) -> None:
    """Links the files of an OCDBT database and of the databases of its processes, and no other file."""
    for path in database_files(base):
        target = folder / path.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            link_file(path, target)


@dataclass(frozen=True, slots=True)
class SourceDatabase:
    """The database of a source.

    Attributes:
      store: as TensorStore opens it.
      values: the values that its index holds.
      copied: its files that are not linked, since little of them is needed: their chunks are copied.
    """

    store: Any
    values: DatabaseValues
    copied: Collection[str] = frozenset()

    def unworthy(self, wanted: Collection[str]) -> Collection[str]:
        """Returns its files that are not worth a link for the chunks of some keys."""
        return unworthy_files(self.values.entries, wanted, self.values.base)

    def copies(self, key: str) -> bool:
        """Whether a chunk is copied as it is encoded, because its file is not linked."""
        place = self.values.entries.get(key) if self.copied else None
        return place is not None and place.file in self.copied

    def read(self, key: str) -> bytes:
        """Returns a value."""
        found = self.values.get(key)
        return found if found is not None else self.store.read(key).result().value

    def copy(self, key: str, target: Any, new_key: str) -> Any:
        """Begins to give a value a key in another database; a value in the index is written there."""
        found = self.values.inline(key)
        if found is not None:
            return target.write(new_key, found)
        exact_key = ts.KvStore.KeyRange("", "\0")
        return (self.store / key).experimental_copy_range_to(target / new_key, source_range=exact_key)


def refer(links: Sequence[Link], target: Any, sources: Mapping[Path, SourceDatabase], most: int | None = None) -> None:
    """Gives every chunk its new key and every array its metadata; skips chunks that are missing.

    Args:
      links: arrays whose sources are in databases.
      target: the database that gets the keys.
      sources: the databases by their directories; TensorStore reads them below the target.
      most: the most arrays of a transaction (default: all of them).
    """
    step = most or max(len(links), 1)
    for start in range(0, len(links), step):
        _refer_together(links[start : start + step], target, sources)


def _refer_together(links: Sequence[Link], target: Any, sources: Mapping[Path, SourceDatabase]) -> None:
    transaction = ts.Transaction(atomic=True)
    writing = target.with_transaction(transaction)
    pending: list[Any] = []
    for link in links:
        first = link.locations[0]
        content = sources[first.base].read(first.prefix + link.metadata_key)
        pending += (
            sources[place.base].copy(key, writing, new_key)
            for place, key, new_key in link.moves()
            if not sources[place.base].copies(key)
        )
        pending.append(writing.write(f"{link.prefix}{link.metadata_key}", link.metadata(content)))
        if len(pending) >= _MOST_PENDING:
            _finish(pending)
    _finish(pending)
    transaction.commit_async().result()


def _finish(pending: list[Any]) -> None:
    """Waits for requests, and forgets them."""
    for request in pending:
        request.result()
    pending.clear()


def _unworthy_chunks(links: Sequence[Link], sources: Mapping[Path, SourceDatabase]) -> Iterator[tuple[str, bytes]]:
    """Yields the new keys and the encoded chunks of those files that are not linked."""
    for link in links if any(source.copied for source in sources.values()) else ():
        for place, key, new_key in link.moves():
            if sources[place.base].copies(key):
                chunk = sources[place.base].read(key)
                link.digests[new_key] = digest_of_chunk([chunk])
                yield new_key, chunk


def _refuse_missing(links: Iterable[Link]) -> None:
    lost = [format_path(link.path) for link in links]
    if lost:
        raise CheckpointError(
            MissingPart.at(
                f"the source lacks chunks of {listed(lost, 5)}",
                paths=lost,
                help="copy the checkpoint again, or take another step",
            )
        )


def _used_bytes(
    store: Path, links: Sequence[Link], entries: Mapping[str, Reference], origins: Mapping[str, Path]
) -> Iterator[int]:
    """Yields the bytes of each linked file that chunks refer to; a byte with several keys counts once.

    Raises:
      CheckpointError: a file of the source ends before a chunk does.
    """
    used: dict[str, set[tuple[int, int]]] = {}
    for link in links:
        for _, _, key in link.moves():
            entry = entries[key]
            if entry.file.startswith(SOURCE):
                used.setdefault(entry.file, set()).add((entry.offset, entry.offset + entry.length))
    for name, ranges in used.items():
        end, total = 0, 0
        for first, last in sorted(ranges):
            total += max(last - max(first, end), 0)
            end = max(end, last)
        size = file_size(store / name)
        if size is None or size < end:
            folder, _, rest = name.partition("/")
            raise damaged(origins[folder] / rest, f"it ends before byte {end:,}, and linked chunks are stored in it")
        yield total
