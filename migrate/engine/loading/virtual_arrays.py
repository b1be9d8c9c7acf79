"""Linked arrays without a copy of the checkpoint: databases in memory whose chunks are ranges of the source's files.

The index of a database refers to files by name, and a `kvstack` puts the files of the source where the index expects
them: its own keys are in memory, those below a prefix in the folder of the source. Of plain zarr, each chunk is a file,
which a layer of its own puts at its new key. A read of such an array is that of a checkpoint which `apply` would write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorstore as ts

from migrate.codes import MissingPart
from migrate.engine.linking.link import Link
from migrate.engine.linking.open_stores import OPTIONS, open_folder
from migrate.engine.linking.relink import SOURCE, SourceDatabase, refer
from migrate.errors import CheckpointError, Diagnostic
from migrate.formats.files import COPY_WHOLE, explain_store_failure, is_file
from migrate.formats.zarr.small_arrays import DatabaseValues, FolderValues, database_of
from migrate.formats.zarr.store_spec import INDEX_CACHE, array_spec, folder_spec
from migrate.tree import KeyPath, format_path

INDEX_CACHE_BYTES = 64 << 20
"""Size of the cache of B-tree nodes."""


def loading_context() -> ts.Context:
    """Returns the context of a load: chunks are not cached, since each window is read once."""
    return ts.Context({"cache_pool": {"total_bytes_limit": 0}, INDEX_CACHE: {"total_bytes_limit": INDEX_CACHE_BYTES}})


class VirtualArrays:
    """The arrays that a plan links, opened over the chunks of the source; nothing is written to a file."""

    def __init__(self, links: Sequence[Link], context: ts.Context) -> None:
        """Makes the index of the arrays in the memory of a context.

        Args:
          links: from `find_links`.
          context: from `loading_context`; the index lives as long as it does.

        Raises:
          CheckpointError: the source lacks a chunk (`MissingPart`), or its index or metadata is damaged.
        """
        self.links: Mapping[KeyPath, Link] = {link.path: link for link in links}
        places = {place.base: place for link in links for place in link.locations if place.ocdbt}
        indexes = {base: database_of(place) for base, place in places.items()}
        _refuse_missing(links, indexes)
        specs: dict[KeyPath, dict[str, Any]] = {}
        for number, of_item in enumerate(_by_item(links)):
            databases = [link for link in of_item if link.locations[0].ocdbt]
            files = [link for link in of_item if not link.locations[0].ocdbt]
            try:
                specs |= _in_database(databases, indexes, f"index{number}/", context) if databases else {}
                specs |= _in_folders(files, f"metadata{number}/", context) if files else {}
            except (ValueError, KeyError, TypeError, IndexError) as error:
                explain_store_failure(error, of_item[0].locations[0].base, "the index or the metadata of its arrays")
        self._opened = {path: ts.open(spec, open=True, read=True, context=context) for path, spec in specs.items()}

    def open(self, path: KeyPath) -> Any:
        """Returns the array of a target key path; of its source, only metadata is read.

        Raises:
          ValueError: TensorStore cannot open it.
        """
        return self._opened[path].result()


def _by_item(links: Sequence[Link]) -> Iterable[list[Link]]:
    """Returns the arrays of each item: in different items, names may be equal."""
    items: dict[str, list[Link]] = {}
    for link in links:
        items.setdefault(link.item.name, []).append(link)
    return items.values()


def _in_database(
    links: Sequence[Link], indexes: Mapping[Path, DatabaseValues], name: str, context: ts.Context
) -> dict[KeyPath, dict[str, Any]]:
    """Returns the specification of each array, after its chunks got keys in a database in memory."""
    bases = dict.fromkeys(location.base for link in links for location in link.locations)
    mounts = {base: f"{SOURCE}{number}/" for number, base in enumerate(bases)}
    layers: list[dict[str, Any]] = [{"base": {"driver": "memory", "path": name}}]
    layers += [{"prefix": mount, "base": folder_spec(base)} for base, mount in mounts.items()]
    stack = {"driver": "kvstack", "layers": layers}

    def opened(place: dict[str, Any], **options: Any) -> Any:
        return ts.KvStore.open({"driver": "ocdbt", "base": place, **options}, context=context).result()

    sources = {base: SourceDatabase(opened({**stack, "path": mount}), indexes[base]) for base, mount in mounts.items()}
    refer(links, opened(stack, config=OPTIONS, assume_config=True), sources)
    return {link.path: _spec(link, {"driver": "ocdbt", "base": stack, "path": link.prefix}) for link in links}


def _in_folders(links: Sequence[Link], folder: str, context: ts.Context) -> dict[KeyPath, dict[str, Any]]:
    """Returns the specification of each array, whose chunks are files; only the metadata of the array is in memory."""
    memory = ts.KvStore.open({"driver": "memory", "path": folder}, context=context).result()
    bases = dict.fromkeys(link.locations[0].base for link in links)
    sources = {base: (open_folder(base, context), FolderValues(base)) for base in bases}
    found = {}
    for link in links:
        first, key = link.locations[0], f"{link.locations[0].prefix}{link.metadata_key}"
        store, values = sources[first.base]
        content = values.get(key)
        metadata = link.metadata(store.read(key).result().value if content is None else content)
        memory.write(f"{link.prefix}{link.metadata_key}", metadata).result()
        layers: list[dict[str, Any]] = [{"base": {"driver": "memory", "path": f"{folder}{link.prefix}"}}]
        for place, old_key, new_key in link.moves():
            layers.append({"exact": new_key.removeprefix(link.prefix), "base": folder_spec(place.base, old_key)})
        found[link.path] = _spec(link, {"driver": "kvstack", "layers": layers})
    return found


def _spec(link: Link, kvstore: dict[str, Any]) -> dict[str, Any]:
    return array_spec(kvstore, link.locations[0].driver, fill_missing=False)


def _refuse_missing(links: Sequence[Link], indexes: Mapping[Path, DatabaseValues]) -> None:
    """Refuses chunks that the source lacks: a copy of a missing key copies nothing and reports nothing.

    Raises:
      CheckpointError: there are some (`MissingPart`); names the files or databases and the leaves.
    """
    lost: dict[tuple[Path, str], list[str]] = {}
    for link in links:
        for place, key, _ in link.moves():
            if place.ocdbt and not indexes[place.base].holds(key):
                lost.setdefault((place.base, place.name), []).append(format_path(link.path))
            elif not place.ocdbt and not is_file(place.base / key):
                lost.setdefault((place.base / key, place.name), []).append(format_path(link.path))
    if lost:
        raise CheckpointError(*(_missing(file, name, paths) for (file, name), paths in lost.items()))


def _missing(file: Path, name: str, paths: Sequence[str]) -> Diagnostic:
    named = tuple(dict.fromkeys(paths))
    message = f"`{file}` is missing or lacks chunks of the array `{name}`, which `{named[0]}` needs"
    return MissingPart.at(message, paths=named, help=COPY_WHOLE)
