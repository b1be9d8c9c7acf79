"""Copies the encoded chunks of plain zarr arrays, which are files of their own, into an OCDBT database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tensorstore as ts

from migrate.engine.linking.link import Link
from migrate.engine.linking.open_stores import open_folder

COPY_BYTES = 32 << 20
"""Encoded chunks are copied in transactions of about this size."""


def copy_chunks(links: Sequence[Link], target: Any, context: ts.Context) -> None:
    """Writes the encoded chunks and the array metadata of links, one batch per transaction.

    Args:
      links: arrays whose sources are plain zarr. A missing chunk is skipped; the caller checks that all keys exist.
      target: the database.
      context: the context in which the sources are opened.
    """
    for batch in _batches(_entries(links, context)):
        transaction = ts.Transaction()
        pending = [target.with_transaction(transaction).write(key, value) for key, value in batch]
        for request in pending:
            request.result()
        transaction.commit_async().result()


def _entries(links: Sequence[Link], context: ts.Context) -> Iterator[tuple[str, bytes]]:
    """The new keys and the values of metadata and chunks."""
    for link in links:
        folders = {location.base: open_folder(location.base, context) for location in link.locations}
        first = link.locations[0]
        metadata = folders[first.base].read(first.prefix + link.metadata_key).result()
        yield f"{link.prefix}{link.metadata_key}", link.metadata(metadata.value)
        for location, key, new_key in link.moves():
            chunk = folders[location.base].read(key).result()
            if chunk.state == "value":
                yield new_key, chunk.value


def _batches(entries: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    for entry in entries:
        batch.append(entry)
        if sum(len(value) for _, value in batch) >= COPY_BYTES:
            yield batch
            batch = []
    yield batch
