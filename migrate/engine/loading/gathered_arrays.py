"""Linked arrays of many small chunks: the encoded chunks are gathered in memory, and TensorStore decodes them there.

References to many small chunks cost more than the chunks: each is one request to the store. Here the chunks are read
directly, through the index of the database, which is read once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorstore as ts

from migrate.engine.linking.link import Link
from migrate.formats.zarr.small_arrays import DatabaseValues, FolderValues, values_of
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
        self._values: Mapping[Path, DatabaseValues | FolderValues] = {
            base: values_of(place) for base, place in places.items()
        }

    def open(self, path: KeyPath) -> Any:
        """Returns the array of a target key path, after its encoded chunks were read into memory.

        Raises:
          ValueError: a chunk cannot be read, or TensorStore cannot open the array.
        """
        link = self.links[path]
        first = link.locations[0]
        context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
        store = ts.KvStore.open({"driver": "memory"}, context=context).result()
        metadata = link.metadata(self._read(first.base, f"{first.prefix}{link.metadata_key}"))
        written = [store.write(link.metadata_key, metadata)]
        written += [
            store.write(new_key.removeprefix(link.prefix), self._read(place.base, key))
            for place, key, new_key in link.moves()
        ]
        for request in written:
            request.result()
        spec = array_spec({"driver": "memory"}, first.driver, fill_missing=False)
        return ts.open(spec, open=True, read=True, context=context).result()

    def _read(self, base: Path, key: str) -> bytes:
        content = self._values[base].get(key)
        if content is None:
            raise ValueError(f"NOT_FOUND: `{key}` cannot be read")
        return content
