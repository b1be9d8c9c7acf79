"""A tree in several msgpack files, as `FlaxPreTrainedModel.save_pretrained` of Hugging Face writes large models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.codes import AmbiguousItem
from migrate.errors import CheckpointError, Diagnostic, listed
from migrate.formats.ambiguities import losses
from migrate.formats.base import Extent, Item, ItemInfo
from migrate.formats.files import children, is_dir, is_file, missing
from migrate.formats.flax.msgpack import MappedMsgpack, looks_like_msgpack
from migrate.formats.parts import (
    NAMED,
    find_index,
    is_index,
    is_part,
    parts_beside,
    read_index,
    refuse_missing_parts,
    stray_notes,
)
from migrate.tree import AbstractTree, Container, KeyPath, format_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from migrate.formats.base import Value
    from migrate.formats.parts import PartIndex

_SUFFIX = ".msgpack"


def is_sharded_msgpack(path: Path) -> bool:
    """Whether a path is an index of msgpack files, or a directory that holds one or numbered parts."""
    if is_file(path):
        return is_index(path, _SUFFIX)
    return is_dir(path) and any(
        is_index(child, _SUFFIX) or (is_part(child, _SUFFIX) and looks_like_msgpack(child)) for child in children(path)
    )


def msgpack_files_beside(path: Path) -> list[Path]:
    """Returns the files beside an index that can be parts of its checkpoint; none for other paths."""
    return parts_beside(path, _SUFFIX)


class ShardedFlaxItem(Item):
    """Msgpack files that are one pytree: every leaf is in one of them."""

    def __init__(self, path: Path) -> None:
        """Opens an index, or a directory with one or with all parts.

        Raises:
          CheckpointError: parts or leaves of the index are missing (`MissingPart`), several parts hold one leaf
            (`AmbiguousItem`), or a part is damaged.
        """
        self._index, files, strays = _find_files(path)
        self._parts = [MappedMsgpack(file) for file in files]
        self._owners = self._find_owners()
        if self._index:
            self._refuse_lost(self._index)
        containers: dict[KeyPath, Container] = {}
        for part in self._parts:
            containers.update(part.containers)
        tree = AbstractTree.build(((leaf, part.leaf(leaf)) for leaf, part in self._owners.items()), containers)
        self.info = ItemInfo(
            f"flax msgpack, {len(self._parts)} files",
            tree,
            era=next((part.era for part in self._parts), ""),
            notes=(*strays, *(note for part in self._parts for note in part.notes), *losses(tree)),
        )

    def _find_owners(self) -> dict[KeyPath, MappedMsgpack]:
        owners: dict[KeyPath, MappedMsgpack] = {}
        for part in self._parts:
            for leaf, node in part.nodes.items():
                if leaf == () and node == {}:
                    continue  # a part without leaves
                if leaf in owners:
                    _refuse_twice(leaf, owners[leaf].path, part.path)
                owners[leaf] = part
        for leaf, part in owners.items():
            above = next((leaf[:depth] for depth in range(len(leaf)) if leaf[:depth] in owners), None)
            if above is not None:
                _refuse_twice(above, owners[above].path, part.path)
        return owners

    def _refuse_lost(self, index: PartIndex) -> None:
        """Refuses leaves of the index that are not in the file that it names."""
        stored: Mapping[str, set[str]] = {
            part.path.name: {separator.join(leaf) for leaf in part.nodes for separator in ("/", ".")}
            for part in self._parts
        }
        lost = [name for name, file in index.names.items() if name not in stored[file]]
        if lost:
            message = f"{listed(lost, NAMED)} of its index are not in the files that it names"
            raise missing(index.path, message, paths=tuple(lost))

    def load(self, stored: KeyPath) -> Value:
        """Returns one leaf's value; arrays are read-only views of the files."""
        return self._owners[stored].load(stored)

    def extents(self, stored: KeyPath) -> tuple[Extent, ...] | None:
        """Where the bytes of an array are stored."""
        return self._owners[stored].extents(stored)

    def files(self) -> tuple[Path, ...]:
        """The index, where there is one, and the msgpack files."""
        return (*([self._index.path] if self._index else []), *(part.path for part in self._parts))


def _find_files(path: Path) -> tuple[PartIndex | None, tuple[Path, ...], list[Diagnostic]]:
    """Returns the index of an index file or a directory, the parts, and a note about what is ignored."""
    if not is_dir(path):
        index = read_index(path)
        return index, index.files, []
    found = find_index(path, _SUFFIX, "msgpack files")
    files = found.files if found else tuple(child for child in children(path) if is_part(child, _SUFFIX))
    refuse_missing_parts(path, files)
    return found, files, stray_notes(path, [*files, *([found.path] if found else [])])


def _refuse_twice(leaf: KeyPath, first: Path, second: Path) -> None:
    name = format_path(leaf)
    message = f"`{first.name}` and `{second.name}` both hold `{name}`"
    raise CheckpointError(AmbiguousItem.at(message, paths=(name,), help="keep the parts of one save only"))
