"""Linked arrays of many small chunks: the encoded chunks are gathered in memory, and TensorStore decodes them there.

References to many small chunks cost more than the chunks: each is one request to the store. Here the chunks are read
directly, through the index of the database, which is read once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorstore as ts

from migrate.engine.linking.link import Link
from migrate.engine.linking.source_values import SourceValues
from migrate.engine.loading.virtual_arrays import loading_context
from migrate.formats.base import Location
from migrate.formats.zarr.store_spec import array_spec
from migrate.tree import KeyPath

LEAST_SOURCES = 4
"""Arrays of fewer sources are read whole, by an open array that all of equal metadata share."""


class GatheredArrays:
    """Linked arrays whose sources are small, each opened in a store in memory of its own."""

    def __init__(self, links: Sequence[Link]) -> None:
        """Takes the arrays, whose chunks are read when one is opened.

        Args:
          links: the arrays.
        """
        self.links: Mapping[KeyPath, Link] = {link.path: link for link in links}
        places = {place.base: place for link in links for place in link.locations}
        context = loading_context()
        self._values = {base: SourceValues.of(place, context) for base, place in places.items()}

    def open(self, path: KeyPath) -> Any:
        """Returns the array of a target key path, after its encoded chunks were read into memory.

        Raises:
          CheckpointError: a chunk cannot be read.
          ValueError: a chunk is missing, or TensorStore cannot open the array.
        """
        link = self.links[path]
        first = link.locations[0]
        context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
        store = ts.KvStore.open({"driver": "memory"}, context=context).result()
        metadata = link.metadata(self._read(first, f"{first.prefix}{link.metadata_key}"))
        written = [store.write(link.metadata_key, metadata)]
        written += [
            store.write(new_key.removeprefix(link.prefix), self._read(place, key))
            for place, key, new_key in link.moves()
        ]
        for request in written:
            request.result()
        spec = array_spec({"driver": "memory"}, first.driver, fill_missing=False)
        return ts.open(spec, open=True, read=True, context=context).result()

    def _read(self, place: Location, key: str) -> bytes:
        content = self._values[place.base].read(place, key)
        if content is None:
            raise ValueError(f"NOT_FOUND: `{key}` is missing")
        return content
