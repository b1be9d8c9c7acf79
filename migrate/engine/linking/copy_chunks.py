"""Copies encoded chunks from plain zarr or into plain zarr, where chunks are files and cannot be referred to."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import tensorstore as ts
import xxhash

from migrate.engine.linking.data_files import DataFiles
from migrate.engine.linking.link import Link
from migrate.engine.linking.new_files import file_key
from migrate.engine.linking.new_objects import NewObjects, new_files
from migrate.engine.linking.source_values import SourceValues
from migrate.formats.base import Location
from migrate.formats.files import damaged, missing, refuse_lfs_pointer
from migrate.formats.zarr.encoded_chunk import refuse_incomplete

COPY_BYTES = 32 << 20
"""Encoded chunks are copied in transactions of about this size."""

_GROUP_BYTES = 4 << 20
_GROUP_ARRAYS = 256
"""The most bytes and arrays that a thread copies at once."""

_THREADS = 4
"""Threads that read and write files: more than processors, since they wait for the file system."""


def copy_chunks_into_files(links: Sequence[Link], folder: Path, context: ts.Context) -> set[str]:
    """Writes the encoded chunks and the array metadata of links as files of plain zarr; returns their keys.

    Args:
      links: the arrays. A missing chunk is skipped; the caller checks that all keys exist.
      folder: the directory of the arrays.
      context: the context in which the sources are opened.

    Raises:
      CheckpointError: a file of the source cannot be read, or a chunk is cut off.
    """
    files, chunks = new_files(folder), _EncodedChunks(links, context)

    def copy(group: Sequence[Link]) -> list[str]:
        return [key for key, value in chunks.of(group) if files.write(file_key(key), value) is None]

    if isinstance(files, NewObjects):
        keys = set(copy(links))
    else:
        groups, large = _groups(links)
        with ThreadPoolExecutor(_THREADS, "copy") as pool:
            keys = {key for written in pool.map(copy, groups) for key in written}
        keys.update(copy(large))
    files.sync()
    return keys


def copy_chunks(links: Sequence[Link], target: Any, context: ts.Context, files: DataFiles | None) -> None:
    """Writes the encoded chunks and the array metadata of links into a database, one batch per transaction.

    Args:
      links: the arrays. A missing chunk is skipped; the caller checks that all keys exist.
      target: the database.
      files: its data files; None for a database in a bucket, or part of which is in one.
      context: the context in which the sources are opened.

    Raises:
      CheckpointError: a file of the source cannot be read, or a chunk is cut off.
    """
    write_values(_EncodedChunks(links, context).read_ahead(), target, files)


def write_values(entries: Iterable[tuple[str, bytes]], target: Any, files: DataFiles | None) -> None:
    """Writes keys and values into a database; the next batch is read while one is committed."""
    committing = None
    for batch in _batches(entries):
        if committing is not None:
            committing.result()
        transaction = ts.Transaction(atomic=files is not None)
        writing = target.with_transaction(transaction)
        if files is not None:
            files.write(batch, writing)
        else:
            for request in [writing.write(key, value) for key, value in batch]:
                request.result()
        committing = transaction.commit_async()
    if committing is not None:
        committing.result()


class _EncodedChunks:
    """The new keys and the values of array metadata and chunks, read from the sources of links; thread-safe."""

    def __init__(self, links: Sequence[Link], context: ts.Context) -> None:
        places = {place.base: place for link in links for place in link.locations}
        self._links = links
        self._sources = {base: SourceValues.of(place, context) for base, place in places.items()}

    def read_ahead(self) -> Iterator[tuple[str, bytes]]:
        """Yields those of all links; groups of small arrays are read by threads, a few ahead."""
        groups, large = _groups(self._links)
        coming: deque[Future[list[tuple[str, bytes]]]] = deque()
        with ThreadPoolExecutor(_THREADS, "copy") as pool:
            try:
                for group in groups:
                    coming.append(pool.submit(lambda group: list(self.of(group)), group))
                    if len(coming) > _THREADS:
                        yield from coming.popleft().result()
                while coming:
                    yield from coming.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)
        yield from self.of(large)

    def of(self, links: Iterable[Link]) -> Iterator[tuple[str, bytes]]:
        """Yields those of some links, and records the digest of each chunk."""
        for link in links:
            metadata = {place: self._read(place, place.prefix + link.metadata_key) for place in link.locations}
            first = metadata[link.locations[0]]
            if first is None:
                raise missing(link.locations[0].base, f"the metadata of `{link.locations[0].name}` is missing")
            yield f"{link.prefix}{link.metadata_key}", link.metadata(first)
            fields = {place: _fields(content) for place, content in metadata.items() if content is not None}
            for location, key, new_key in link.moves():
                chunk = self._read(location, key)
                if chunk is not None:
                    if not location.ocdbt:
                        _refuse_incomplete(chunk, location, key, fields[location])
                    link.digests[new_key] = digest_of_chunk([chunk])
                    yield new_key, chunk

    def _read(self, location: Location, key: str) -> bytes | None:
        return self._sources[location.base].read(location, key)


def digest_of_chunk(parts: Iterable[bytes]) -> bytes:
    """Returns the digest by which a copied chunk is compared with what was read; the parts follow one another."""
    found = xxhash.xxh3_128()
    for part in parts:
        found.update(part)
    return found.digest()


def _groups(links: Iterable[Link]) -> tuple[list[list[Link]], list[Link]]:
    """Returns groups of small arrays, of about `_GROUP_BYTES` each, and the large ones, which are copied one by one."""
    groups: list[list[Link]] = []
    large, nbytes = [], _GROUP_BYTES
    for link in links:
        if link.leaf.nbytes > _GROUP_BYTES:
            large.append(link)
            continue
        if nbytes >= _GROUP_BYTES or len(groups[-1]) == _GROUP_ARRAYS:
            groups.append([])
            nbytes = 0
        groups[-1].append(link)
        nbytes += link.leaf.nbytes
    return groups, large


@lru_cache(maxsize=1024)  # many arrays of a checkpoint have equal metadata
def _fields(content: bytes) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = json.loads(content)
    return fields


def _refuse_incomplete(chunk: bytes, location: Location, key: str, fields: Mapping[str, Any]) -> None:
    try:
        refuse_incomplete(chunk, fields, location.driver)
    except ValueError as error:
        file = location.base / key
        refuse_lfs_pointer(file)
        raise damaged(file, f"this chunk of `{location.name}` {error}", paths=(location.name,)) from error


def _batches(entries: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    nbytes = 0
    for entry in entries:
        batch.append(entry)
        nbytes += len(entry[1])
        if nbytes >= COPY_BYTES:
            yield batch
            batch, nbytes = [], 0
    if batch:
        yield batch
