"""Verifies that linked arrays are the source's, without decoding a chunk.

A linked chunk has the same entry in both B-trees: one range of one file. A copied chunk has the digest of what was
read from the source or, where this process did not copy it, the same bytes. Array metadata differs in nothing but the
shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorstore as ts

from migrate.codes import VerificationFailed
from migrate.engine.linking.copy_chunks import digest_of_chunk
from migrate.engine.linking.link import Link
from migrate.engine.linking.open_stores import open_folder
from migrate.errors import Diagnostic, VerifyError
from migrate.formats.base import Location
from migrate.formats.zarr.references import read_value, references, same_reference, value_blocks
from migrate.formats.zarr.small_arrays import FolderValues, database_of
from migrate.tree import format_path

SHOWN = 20
"""The most findings that are described."""


def check_links(links: Sequence[Link], destination: Path) -> int:
    """Compares every linked array with the source.

    Returns:
      The number of compared arrays.

    Raises:
      VerifyError: a chunk or metadata is missing or differs (`VerificationFailed`).
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
    """One item of DST, opened together with the sources of its arrays."""

    def __init__(self, links: Sequence[Link], directory: Path) -> None:
        self._links = links
        self._directory = directory
        self._context = ts.Context()
        self._plain = links[0].item.plain
        self._found = {} if self._plain else references(directory)
        self._written = open_folder(directory, self._context)
        self._written_files = FolderValues(directory)
        places = {place.base: place for link in links for place in link.locations}
        self._known = {base: database_of(place).references() for base, place in places.items() if place.ocdbt}
        self._files = {base: open_folder(base, self._context) for base, place in places.items() if not place.ocdbt}
        self._small = {base: FolderValues(base) for base in self._files}

    def problems(self) -> Iterator[Diagnostic]:
        """Yields one finding for each array that differs."""
        for link in self._links:
            problem = self._metadata_problem(link) or self._chunk_problem(link)
            if problem:
                yield VerificationFailed.at(f"`{format_path(link.path)}`: {problem}", paths=[format_path(link.path)])

    def _metadata_problem(self, link: Link) -> str | None:
        place = link.locations[0]
        wanted = self._source_value(place, place.prefix + link.metadata_key)
        found = self._target_value(f"{link.prefix}{link.metadata_key}")
        if wanted is None or found is None:
            return "its array metadata is missing"
        try:
            meant = link.metadata(wanted)
            same = found == meant or json.loads(found) == json.loads(meant)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return f"its array metadata cannot be read ({error})"
        return None if same else "its array metadata differs from the source"

    def _source_value(self, place: Location, key: str) -> bytes | None:
        if not place.ocdbt:
            small = self._small[place.base].get(key)
            if small is not None:
                return small
            answer = self._files[place.base].read(key).result()
            return answer.value if answer.state == "value" else None
        entry = self._known[place.base].get(key)
        return read_value(entry, place.base) if entry is not None else None

    def _target_value(self, key: str) -> bytes | None:
        if self._plain:
            small = self._written_files.get(key)
            if small is not None:
                return small
            answer = self._written.read(key).result()
            return answer.value if answer.state == "value" else None
        entry = self._found.get(key)
        return read_value(entry, self._directory) if entry is not None else None

    def _chunk_problem(self, link: Link) -> str | None:
        for place, key, new in link.moves():
            digest = link.digests.get(new)
            same = self._same_chunk(place, key, new) if digest is None else digest == self._written_digest(new)
            if not same:
                return f"chunk `{new}` does not have the bytes of `{key}` in the source"
        return None

    def _written_digest(self, key: str) -> bytes | None:
        """Returns the digest of a chunk of DST; None if there is none."""
        if self._plain:
            content = self._target_value(key)
            return None if content is None else digest_of_chunk([content])
        entry = self._found.get(key)
        return None if entry is None else digest_of_chunk(value_blocks(entry, self._directory))

    def _same_chunk(self, place: Location, key: str, new: str) -> bool:
        if self._plain or not place.ocdbt:
            copied = self._target_value(new)
            return copied is not None and copied == self._source_value(place, key)
        source, target = self._known[place.base].get(key), self._found.get(new)
        if source is None or target is None:
            return False
        return same_reference(source, place.base, target, self._directory)
