"""Flax checkpoint files, under any name: those of `flax.serialization.to_bytes` and `flax.training.checkpoints`.

Arrays that were spread over several processes are stored beside the file, in `<file>_gda/<key path>/` as zarr; the file
has a placeholder for each of them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from migrate.formats.ambiguities import losses
from migrate.formats.base import Extent, Item, ItemInfo, Location
from migrate.formats.files import children, file_size, files_below, is_dir, lost_values, missing
from migrate.formats.flat_names import collisions, forms_tree, separator_of, split_names
from migrate.formats.flax.msgpack import OUTSIDE, MappedMsgpack
from migrate.formats.flax.msgpack_index import ArrayBytes
from migrate.formats.parts import refuse_lone_part
from migrate.formats.zarr.store import ZarrStore
from migrate.formats.zarr.stored_chunks import defects
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, Storage, format_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from migrate.formats.base import Defect, Value
    from migrate.formats.zarr.metadata import ArrayMetadata


BESIDE = "_gda"
"""The end of the name of the folder of arrays, which begins with the name of its file."""


def arrays_beside(path: Path) -> list[Path]:
    """Returns the folder beside a file in which its arrays are stored, if there is one."""
    return [path.with_name(f"{path.name}{BESIDE}")]


def refuse_lost_file(folder: Path) -> None:
    """Refuses a directory with the arrays of a file that is not there.

    Raises:
      CheckpointError: the file is missing or empty (`MissingPart`).
    """
    for child in children(folder):
        file = child.with_name(child.name.removesuffix(BESIDE))
        if child.name.endswith(BESIDE) and is_dir(child) and not file_size(file):
            raise missing(
                folder, f"`{child.name}` has arrays of the Flax file `{file.name}`, which is missing or empty"
            )


class FlaxItem(Item):
    """A msgpack file that is a whole checkpoint, with the folder of arrays beside it where there is one."""

    def __init__(self, path: Path, separator: str | None = None) -> None:
        """Opens a file; `separator` is where the names of a flat mapping are split (default: found by `flat_names`).

        Raises:
          CheckpointError: it is damaged, or arrays beside it are missing.
        """
        refuse_lone_part(path)
        self._file = MappedMsgpack(path)
        separator = _separator(self._file) if separator is None and _is_flat(self._file) else separator
        self._nodes = _paths(self._file, separator)
        beside = path.with_name(f"{path.name}{BESIDE}")
        self._outside = _outside(self._file)
        if self._outside and not is_dir(beside):
            names = [format_path(leaf) for leaf in self._outside]
            raise missing(path, f"`{beside.name}`, which holds its arrays, is not beside it", paths=tuple(names))
        self._beside = beside
        self._store = ZarrStore(beside) if self._outside else None
        arrays = self._read_array_metadata(beside)
        leaves = ((stored, self._leaf(node, arrays)) for stored, node in self._nodes.items())
        tree = AbstractTree.build(leaves, self._file.containers)
        name = "flax msgpack stream" if self._file.is_stream else "flax msgpack"
        name += " and zarr" if self._outside else ""
        era = "flax 0.5.3 or later" if self._outside else self._file.era
        split = separator if separator and _is_flat(self._file) else None
        kept = collisions({node[-1]: path for path, node in self._nodes.items()}, split) if split else []
        notes = (*self._file.notes, *kept, *losses(tree))
        self.info = ItemInfo(name, tree, era=era, metadata=self._file.metadata, notes=notes, separator=split)

    def _read_array_metadata(self, beside: Path) -> Mapping[str, ArrayMetadata]:
        arrays = self._store.metadata(list(self._outside.values())) if self._store else {}
        lost = [path for path, name in self._outside.items() if name not in arrays]
        if lost:
            folders = [name for path in lost if is_dir(beside / (name := self._outside[path]))]
            raise lost_values(beside, lost, folders)
        return arrays

    def _leaf(self, node: KeyPath, arrays: Mapping[str, ArrayMetadata]) -> AbstractLeaf:
        if node not in self._outside:
            return self._file.leaf(node)
        array = arrays[self._outside[node]]
        return AbstractLeaf("array", array.aval, storage=Storage(array.driver, array.chunks, array.codec))

    def load(self, stored: KeyPath) -> Value:
        """Returns one leaf's value; a missing chunk never means zeros, since Flax stored every chunk."""
        node = self._nodes[stored]
        if self._store and node in self._outside:
            return self._store.read(self._outside[node], fill_missing=False)
        return self._file.load(node)

    def extents(self, stored: KeyPath) -> tuple[Extent, ...] | None:
        """Where the bytes of an array are stored in the file."""
        node = self._nodes[stored]
        return None if node in self._outside else self._file.extents(node)

    def files(self) -> Iterator[Path]:
        """The msgpack file, and the files of the arrays beside it."""
        yield self._file.path
        if self._outside:
            yield from files_below(self._beside)

    def defects(self) -> Iterable[Defect]:
        """The files beside the msgpack file that lack chunks of arrays."""
        if self._store is None:
            return ()
        paths = {self._outside[node]: path for path, node in self._nodes.items() if node in self._outside}
        return defects(self._store.shortfalls(dict.fromkeys(paths, False)), paths)

    def location(self, stored: KeyPath) -> Location | None:
        """Where the chunks of an array beside the file are stored."""
        node = self._nodes[stored]
        if self._store is None or node not in self._outside:
            return None
        return self._store.location(self._outside[node], fill_missing=False, key_impl=None)


def _is_flat(file: MappedMsgpack) -> bool:
    """Whether a file is one mapping of names to arrays and other values.

    migrate writes nested mappings, and metadata beside the first array that has elements.
    """
    arrays = (node for node in file.nodes.values() if isinstance(node, ArrayBytes) and node.nbytes)
    flat = not file.containers and all(len(path) == 1 for path in file.nodes)
    return flat and not file.metadata and any(arrays)


def _separator(file: MappedMsgpack) -> str:
    """Returns the separator that most names of a flat mapping have, if some share a node; otherwise ""."""
    names = [path[0] for path in file.nodes]
    separator = separator_of(names)
    split = [name.split(separator) for name in names]
    nodes = Counter(path[0] for path in split if len(path) > 1)
    clear = 2 * nodes.total() > len(names) and len(nodes) < nodes.total() and all(all(path) for path in split)
    return separator if clear and forms_tree(names, separator) else ""


def _paths(file: MappedMsgpack, separator: str | None) -> dict[KeyPath, KeyPath]:
    """Returns the key path in the file by the key path of each leaf; they differ where flat names are split."""
    if not separator or not _is_flat(file):
        return {path: path for path in file.nodes}
    split = split_names([path[0] for path in file.nodes], separator)
    return {split[path[0]]: path for path in file.nodes}


def _outside(file: MappedMsgpack) -> dict[KeyPath, str]:
    """Returns the folders of the arrays beside the file, by key path."""
    return {
        path: node.removeprefix(OUTSIDE)
        for path, node in file.nodes.items()
        if isinstance(node, str) and node.startswith(OUTSIDE)
    }
