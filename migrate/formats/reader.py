"""The one reader: items under canonical key paths, with what their step and root say about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from migrate.formats.base import AbstractCheckpoint, Reader, Value
from migrate.formats.canonical import Unbox, canonical
from migrate.metadata import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from migrate.errors import Diagnostic
    from migrate.formats.item import Extent, Item, Location
    from migrate.tree import AbstractTree, KeyPath


@dataclass(frozen=True)
class Surroundings:
    """What lies around the items: the step that was chosen, JSON items, metadata from above, and notes."""

    step: int | None = None
    steps: tuple[int, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()


class CheckpointReader(Reader):
    """Reads the items of one checkpoint; made by `migrate.formats.detect.open_reader`."""

    format = "checkpoint"

    def __init__(
        self, path: Path, items: Mapping[str, Item], around: Surroundings | None = None, unbox: Unbox = "auto"
    ) -> None:
        self._items = dict(items)
        trees: dict[str, AbstractTree] = {}
        self._origin: dict[KeyPath, tuple[Item, KeyPath]] = {}
        for name, item in self._items.items():
            trees[name], stored = canonical(item.info.tree, unbox)
            prefix = (name,) if len(self._items) > 1 else ()
            self._origin.update({prefix + leaf: (item, place) for leaf, place in stored.items()})
        self._abstract = _describe(path, self._items, trees, around or Surroundings())

    def abstract(self) -> AbstractCheckpoint:
        """Everything but the values."""
        return self._abstract

    def read(self, path: KeyPath) -> Value:
        """One leaf's value, by its key path in `abstract().tree`."""
        item, stored = self._origin[path]
        return item.load(stored)

    def location(self, path: KeyPath) -> Location | None:
        """Where the chunks of an array lie; None where the leaf is not stored as zarr chunks.

        Raises:
          KeyError: there is no such leaf.
        """
        item, stored = self._origin[path]
        return item.location(stored)

    def extents(self, path: KeyPath) -> tuple[Extent, ...] | None:
        """Where the bytes of an array lie as they are; None where they are encoded in any way.

        Raises:
          KeyError: there is no such leaf.
        """
        item, stored = self._origin[path]
        return item.extents(stored)

    def release(self) -> None:
        """Let go of memory that holds what can be read again: pages of mapped files."""
        for item in self._items.values():
            item.release()

    def close(self) -> None:
        """Release files."""
        for item in self._items.values():
            item.close()


def _without_record(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """An item's metadata without what it records of itself, which does not hold for the step that it is a part of."""
    return {key: value for key, value in metadata.items() if key != KEY}


def _describe(
    path: Path, items: Mapping[str, Item], trees: Mapping[str, AbstractTree], around: Surroundings
) -> AbstractCheckpoint:
    infos = [item.info for item in items.values()]
    metadata = dict(around.metadata)
    for info in infos:
        metadata.update(info.metadata if len(infos) == 1 else _without_record(info.metadata))
    return AbstractCheckpoint(
        path=path,
        format=", ".join(dict.fromkeys(info.format for info in infos)),
        items=dict(trees),
        era=", ".join(dict.fromkeys(info.era for info in infos if info.era)),
        step=around.step,
        steps=around.steps,
        extras=around.extras,
        metadata=metadata,
        zarr3=any(info.zarr3 for info in infos),
        notes=(*around.notes, *(note for info in infos for note in info.notes)),
    )
