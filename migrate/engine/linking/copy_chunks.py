"""Copies encoded chunks from plain zarr or into plain zarr, where chunks are files and cannot be referred to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import tensorstore as ts

from migrate.engine.linking.link import Link
from migrate.engine.linking.new_files import NewFiles, file_key
from migrate.engine.linking.open_stores import open_database, open_folder
from migrate.formats.base import Location
from migrate.formats.files import damaged, explain_store_failure, missing, refuse_lfs_pointer
from migrate.formats.zarr.encoded_chunk import refuse_incomplete
from migrate.formats.zarr.small_arrays import DatabaseValues, FolderValues, values_of

COPY_BYTES = 32 << 20
"""Encoded chunks are copied in transactions of about this size."""


def copy_chunks_into_files(links: Sequence[Link], folder: Path, context: ts.Context) -> set[str]:
    """Writes the encoded chunks and the array metadata of links as files of plain zarr; returns their keys.

    Args:
      links: the arrays. A missing chunk is skipped; the caller checks that all keys exist.
      folder: the directory of the arrays.
      context: the context in which the sources are opened.

    Raises:
      CheckpointError: a file of the source cannot be read, or a chunk is cut off.
    """
    files, keys = NewFiles(folder), set()
    for batch in _batches(_entries(links, context)):
        for key, value in batch:
            files.write(file_key(key), value)
            keys.add(key)
        files.sync()
    return keys


def copy_chunks(links: Sequence[Link], target: Any, context: ts.Context) -> None:
    """Writes the encoded chunks and the array metadata of links into a database, one batch per transaction.

    Args:
      links: the arrays. A missing chunk is skipped; the caller checks that all keys exist.
      target: the database.
      context: the context in which the sources are opened.

    Raises:
      CheckpointError: a file of the source cannot be read, or a chunk is cut off.
    """
    for batch in _batches(_entries(links, context)):
        transaction = ts.Transaction()
        pending = [target.with_transaction(transaction).write(key, value) for key, value in batch]
        for request in pending:
            request.result()
        transaction.commit_async().result()


def _entries(links: Sequence[Link], context: ts.Context) -> Iterator[tuple[str, bytes]]:
    """The new keys and the values of metadata and chunks."""
    places = {place.base: place for link in links for place in link.locations}
    sources = {base: _Source.of(place, context) for base, place in places.items()}
    for link in links:
        metadata = {
            place: _read(sources[place.base], place, place.prefix + link.metadata_key) for place in link.locations
        }
        first = metadata[link.locations[0]]
        if first is None:
            raise missing(link.locations[0].base, f"the metadata of `{link.locations[0].name}` is missing")
        yield f"{link.prefix}{link.metadata_key}", link.metadata(first)
        fields = {place: _fields(content) for place, content in metadata.items() if content is not None}
        for location, key, new_key in link.moves():
            chunk = _read(sources[location.base], location, key)
            if chunk is not None:
                if not location.ocdbt:
                    _refuse_incomplete(chunk, location, key, fields[location])
                yield new_key, chunk


@lru_cache(maxsize=1024)  # many arrays of a checkpoint have equal metadata
def _fields(content: bytes) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = json.loads(content)
    return fields


class _Source(NamedTuple):
    """The store of a source: small values are read directly, others by TensorStore."""

    values: DatabaseValues | FolderValues
    store: Any

    @classmethod
    def of(cls, place: Location, context: ts.Context) -> _Source:
        return cls(values_of(place), (open_database if place.ocdbt else open_folder)(place.base, context))


def _read(source: _Source, location: Location, key: str) -> bytes | None:
    """Returns a value of the source; None if there is none."""
    content = source.values.get(key)
    if content is not None:
        return content
    try:
        answer = source.store.read(key).result()
    except (ValueError, OSError) as error:
        explain_store_failure(error, location.base, f"`{key}`")
    return answer.value if answer.state == "value" else None


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
    yield batch
