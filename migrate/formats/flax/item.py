"""Flax checkpoint files, under any name: those of `flax.serialization.to_bytes` and `flax.training.checkpoints`.

Arrays that were spread over several processes are stored beside the file, in `<file>_gda/<key path>/` as zarr; the file
has a placeholder for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.formats.ambiguities import losses
from migrate.formats.base import Extent, Item, ItemInfo, Location
from migrate.formats.files import files_below, is_dir, lost_values, missing
from migrate.formats.flax.msgpack import OUTSIDE, MappedMsgpack
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


class FlaxItem(Item):
    """A msgpack file that is a whole checkpoint, with the folder of arrays beside it where there is one."""

    def __init__(self, path: Path) -> None:
        refuse_lone_part(path)
        self._file = MappedMsgpack(path)
        beside = path.with_name(f"{path.name}{BESIDE}")
        self._outside = _outside(self._file)
        if self._outside and not is_dir(beside):
            names = [format_path(leaf) for leaf in self._outside]
            raise missing(path, f"`{beside.name}`, which holds its arrays, is not beside it", paths=tuple(names))
        self._beside = beside
        self._store = ZarrStore(beside) if self._outside else None
        arrays = self._read_array_metadata(beside)
        tree = AbstractTree.build(
            ((stored, self._leaf(stored, arrays)) for stored in self._file.nodes), self._file.containers
        )
        name = "flax msgpack stream" if self._file.is_stream else "flax msgpack"
        name += " and zarr" if self._outside else ""
        era = "flax 0.5.3 or later" if self._outside else self._file.era
        notes = (*self._file.notes, *losses(tree))
        self.info = ItemInfo(name, tree, era=era, metadata=self._file.metadata, notes=notes)

    def _read_array_metadata(self, beside: Path) -> Mapping[str, ArrayMetadata]:
        arrays = self._store.metadata(list(self._outside.values())) if self._store else {}
        lost = [path for path, name in self._outside.items() if name not in arrays]
        if lost:
            folders = [name for path in lost if is_dir(beside / (name := self._outside[path]))]
            raise lost_values(beside, lost, folders)
        return arrays

    def _leaf(self, stored: KeyPath, arrays: Mapping[str, ArrayMetadata]) -> AbstractLeaf:
        if stored not in self._outside:
            return self._file.leaf(stored)
        array = arrays[self._outside[stored]]
        return AbstractLeaf("array", array.aval, storage=Storage(array.driver, array.chunks, array.codec))

    def load(self, stored: KeyPath) -> Value:
        """Returns one leaf's value; a missing chunk never means zeros, since Flax stored every chunk."""
        if self._store and stored in self._outside:
            return self._store.read(self._outside[stored], fill_missing=False)
        return self._file.load(stored)

    def extents(self, stored: KeyPath) -> tuple[Extent, ...] | None:
        """Where the bytes of an array are stored in the file."""
        return None if stored in self._outside else self._file.extents(stored)

    def files(self) -> Iterator[Path]:
        """The msgpack file, and the files of the arrays beside it."""
        yield self._file.path
        if self._outside:
            yield from files_below(self._beside)

    def defects(self) -> Iterable[Defect]:
        """The files beside the msgpack file that lack chunks of arrays."""
        if self._store is None:
            return ()
        paths = {name: path for path, name in self._outside.items()}
        return defects(self._store.shortfalls(dict.fromkeys(paths, False)), paths)

    def release(self) -> None:
        """Releases the pages of the mapped file."""
        self._file.release()

    def location(self, stored: KeyPath) -> Location | None:
        """Where the chunks of an array beside the file are stored."""
        if self._store is None or stored not in self._outside:
            return None
        return self._store.location(self._outside[stored], fill_missing=False, key_impl=None)


def _outside(file: MappedMsgpack) -> dict[KeyPath, str]:
    """Returns the folders of the arrays beside the file, by key path."""
    return {
        path: node.removeprefix(OUTSIDE)
        for path, node in file.nodes.items()
        if isinstance(node, str) and node.startswith(OUTSIDE)
    }
