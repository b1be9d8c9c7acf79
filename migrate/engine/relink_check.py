"""Proves that arrays that were taken over are the source's, without decoding one of their chunks.

A chunk that was referred to has the same entry in both B-trees: one range of one file. A chunk that was copied has the
same bytes. Array metadata differs in nothing but the shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorstore as ts

from migrate.codes import M505
from migrate.engine.references import Reference, references, same_reference
from migrate.engine.relink import Link, open_database
from migrate.errors import Diagnostic, VerifyError
from migrate.formats.item import Location
from migrate.tree import format_path

SHOWN = 20
"""Differences that are described one by one."""


def check_links(links: Sequence[Link], destination: Path) -> int:
    """Compares every array that was taken over with the source.

    Returns:
      The number of arrays that were compared.

    Raises:
      VerifyError: a chunk or metadata is missing or differs (M505).
      CheckpointError: an index cannot be read.
    """
    problems: list[Diagnostic] = []
    for name in dict.fromkeys(link.item.name for link in links):
        mine = [link for link in links if link.item.name == name]
        problems += _Comparison(mine, mine[0].item.directory(destination)).problems()
    if problems:
        raise VerifyError(*problems[:SHOWN])
    return len(links)


class _Comparison:
    """One item of DST, opened beside the places that its arrays came from."""

    def __init__(self, links: Sequence[Link], directory: Path) -> None:
        self._links = links
        self._directory = directory
        self._context = ts.Context()
        self._target = open_database(directory, self._context)
        self._found = references(directory)
        places = {place.base: place for link in links for place in link.places}
        self._known = {base: references(base) for base, place in places.items() if place.ocdbt}
        self._sources = {base: self._open(place) for base, place in places.items()}

    def _open(self, place: Location) -> Any:
        if place.ocdbt:
            return open_database(place.base, self._context)
        return ts.KvStore.open(f"file://{place.base}/", context=self._context).result()

    def problems(self) -> Iterator[Diagnostic]:
        """One finding for each array that differs."""
        for link in self._links:
            problem = self._metadata_problem(link) or self._chunk_problem(link)
            if problem:
                yield M505.at(f"`{format_path(link.path)}`: {problem}", paths=[format_path(link.path)])

    def _metadata_problem(self, link: Link) -> str | None:
        place = link.places[0]
        wanted = self._sources[place.base].read(place.prefix + link.metadata_key)
        found = self._target.read(f"{link.name}/{link.metadata_key}").result().value
        same = json.loads(found or b"null") == json.loads(link.metadata(wanted.result().value))
        return None if same else "its array metadata is not that of the source"

    def _chunk_problem(self, link: Link) -> str | None:
        for place, key, new in link.moves():
            if not self._same_chunk(place, key, new):
                return f"chunk `{new}` does not hold the bytes of `{key}` in the source"
        return None

    def _same_chunk(self, place: Location, key: str, new: str) -> bool:
        if not place.ocdbt:
            source, target = self._sources[place.base].read(key), self._target.read(new)
            return bool(source.result().value == target.result().value)
        entries: tuple[Mapping[str, Reference], ...] = (self._known[place.base], self._found)
        source_entry, target_entry = entries[0].get(key), entries[1].get(new)
        if source_entry is None or target_entry is None:
            return False
        return same_reference(source_entry, place.base, target_entry, self._directory)
