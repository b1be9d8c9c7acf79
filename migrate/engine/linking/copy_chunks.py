"""Copies encoded chunks from plain zarr or into plain zarr, where chunks are files and cannot be referred to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import tensorstore as ts

from migrate.engine.linking.link import Link
from migrate.engine.linking.new_files import file_key
from migrate.engine.linking.new_objects import new_files
from migrate.engine.linking.source_values import SourceValues
from migrate.formats.base import Location
from migrate.formats.files import damaged, missing, refuse_lfs_pointer
from migrate.formats.zarr.encoded_chunk import refuse_incomplete

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
    files, keys = new_files(folder), set()
    for key, value in _entries(links, context):
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
    write_values(_entries(links, context), target)


def write_values(entries: Iterable[tuple[str, bytes]], target: Any) -> None:
    """Writes keys and values into a database; the next batch is read while one is committed."""
    committing = None
    for batch in _batches(entries):
        if committing is not None:
            committing.result()
        transaction = ts.Transaction()
        pending = [target.with_transaction(transaction).write(key, value) for key, value in batch]
        for request in pending:
            request.result()
        committing = transaction.commit_async()
    if committing is not None:
        committing.result()


def _entries(links: Sequence[Link], context: ts.Context) -> Iterator[tuple[str, bytes]]:
    """The new keys and the values of metadata and chunks."""
    places = {place.base: place for link in links for place in link.locations}
    sources = {base: SourceValues.of(place, context) for base, place in places.items()}
    for link in links:
        metadata = {
            place: sources[place.base].read(place, place.prefix + link.metadata_key) for place in link.locations
        }
        first = metadata[link.locations[0]]
        if first is None:
            raise missing(link.locations[0].base, f"the metadata of `{link.locations[0].name}` is missing")
        yield f"{link.prefix}{link.metadata_key}", link.metadata(first)
        fields = {place: _fields(content) for place, content in metadata.items() if content is not None}
        for location, key, new_key in link.moves():
            chunk = sources[location.base].read(location, key)
            if chunk is not None:
                if not location.ocdbt:
                    _refuse_incomplete(chunk, location, key, fields[location])
                yield new_key, chunk


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
