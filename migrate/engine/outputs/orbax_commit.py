"""Commits staged arrays as an Orbax checkpoint: the same files, with the same contents, that Orbax itself saves.

Saving through Orbax would import JAX and Orbax, which takes ten times as long as the rest of a rename, for a few small
JSON files: the arrays are in an OCDBT database already, which only has to be linked into place.
`tests/engine/outputs/test_orbax_commit.py` compares every file with the one that the installed Orbax writes for the
same tree, and fails when Orbax begins to write something else.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrate.engine.linking.fetch import fetch
from migrate.engine.linking.hard_links import link_file
from migrate.engine.outputs import orbax_files
from migrate.engine.staged_array import StagedArray
from migrate.formats.files import files_below
from migrate.formats.item_kinds import PYTREE, ItemKind
from migrate.places.bucket_path import BucketPath
from migrate.places.copies import copy_files
from migrate.places.unfinished import COMMITTED
from migrate.places.writable_path import WritableBucketPath
from migrate.tree import AbstractTree, KeyPath

_MARKER = COMMITTED
"""On file systems without an atomic rename, this file marks a complete checkpoint."""


@dataclass(frozen=True, slots=True)
class CommittedItem:
    """One pytree to save.

    Attributes:
      tree: its abstract tree.
      arrays: the arrays and numbers in the store, by key path.
      store: the directory of the store.
      values: all other values by key path.
      kind: how it is stored.
      zarr3: whether the store's arrays are zarr version 3.
      plain: whether the store is plain zarr rather than an OCDBT database.
    """

    tree: AbstractTree
    arrays: Mapping[KeyPath, StagedArray]
    store: Path
    values: Mapping[KeyPath, Any]
    kind: ItemKind = PYTREE
    zarr3: bool = False
    plain: bool = False


@dataclass(frozen=True, slots=True)
class CopiedItem:
    """An item of another kind, such as the state of a data iterator.

    Attributes:
      folder: its directory in the source.
      handler: the class that saved it, if the source records it.
    """

    folder: Path
    handler: str | None


def commit_item(destination: Path, item: CommittedItem, metadata: Mapping[str, Any]) -> None:
    """Saves one pytree as a checkpoint, as `StandardCheckpointer` does.

    Args:
      destination: a new directory.
      item: the pytree.
      metadata: the checkpoint's custom metadata.

    Raises:
      OSError: a file cannot be written.
    """
    with _checkpoint(destination, item.kind.handler, metadata):
        _write_item(destination, item, metadata)


def commit_step(
    destination: Path,
    items: Mapping[str, CommittedItem],
    extras: Mapping[str, Any],
    metadata: Mapping[str, Any],
    copied: Mapping[str, CopiedItem] | None = None,
) -> None:
    """Saves several items as one step, as `CheckpointManager` does.

    Args:
      destination: a new directory.
      items: the pytrees by item name.
      extras: the contents of JSON items by item name.
      metadata: the step's custom metadata.
      copied: the items of other kinds by item name, which are linked or copied unread.

    Raises:
      OSError: a file cannot be written.
    """
    copied = copied or {}
    handlers = {name: item.kind.handler for name, item in items.items()}
    handlers |= dict.fromkeys(extras, orbax_files.JSON_HANDLER)
    handlers |= {name: other.handler for name, other in copied.items() if other.handler is not None}
    with _checkpoint(destination, handlers, metadata):
        for name, item in items.items():
            with _directory(destination / name):
                _write_named(destination / name, item)
        for name, content in extras.items():
            with _directory(destination / name):
                _write(destination / name / _json_file(name), json.dumps(content))
        for name, other in copied.items():
            _link_files(other.folder, destination / name)


def _json_file(name: str) -> str:
    """Returns the file name of a JSON item: `CheckpointManager` names it `metrics` for metrics, else `metadata`."""
    return "metrics" if name == "metrics" else "metadata"


@contextmanager
def _checkpoint(place: Path, handlers: object, metadata: Mapping[str, Any]) -> Iterator[None]:
    """Creates a directory whose metadata record when and by which handlers it was saved."""
    begun = time.time_ns()
    is_far = isinstance(place, WritableBucketPath)  # whose marker publishes it
    with nullcontext() if is_far else _directory(place):
        yield
        content = orbax_files.checkpoint_metadata(handlers, metadata, begun=begun, committed=time.time_ns())
        _write(place / "_CHECKPOINT_METADATA", content)


@contextmanager
def _directory(place: Path) -> Iterator[None]:
    """Creates a directory, and its marker once the directory is complete."""
    place.mkdir(parents=True)
    yield
    _write(place / _MARKER, f"Checkpoint commit was successful to {place.name}")


def _write_named(place: Path, item: CommittedItem) -> None:
    """Writes an item of a step; the arrays of a random key are in a directory of it, beside JSON about the key."""
    if not item.kind.folder:
        _write_item(place, item, None)
        return
    with _directory(place / item.kind.folder):
        _write_item(place / item.kind.folder, item, None)
    about = place / f"{item.kind.folder}_metadata"
    with _directory(about):
        _write(about / "metadata", json.dumps(item.kind.about))


def _write_item(place: Path, item: CommittedItem, metadata: Mapping[str, Any] | None) -> None:
    _link_tree(item.store, place)
    how = {"zarr3": item.zarr3, "ocdbt": not item.plain, "numpy": item.kind.numpy}
    _write(place / "_METADATA", orbax_files.tree_metadata(item.tree, item.arrays, metadata, **how))
    _write_sidecars(place, item)


def _write_sidecars(place: Path, item: CommittedItem) -> None:
    """Writes the files beside the tree: shardings and shapes of arrays, and strings, each where there are any."""
    arrays = [array for path, array in item.arrays.items() if item.tree.leaves[path].kind == "array"]
    if arrays and not item.kind.numpy:
        _write(place / "_sharding", orbax_files.shardings(arrays))
    if devices := [array for array in arrays if orbax_files.is_jax_array(array) and not item.kind.numpy]:
        (place / "array_metadatas").mkdir()
        _write(place / "array_metadatas" / "process_0", orbax_files.array_metadatas(devices))
    if any(isinstance(value, str) for value in item.values.values()):
        _write(place / "_strings.json", orbax_files.strings(item.tree, item.values))


def _link_tree(source: Path, target: Path) -> None:
    """Links every file of the store, so that the store stays complete until the checkpoint is published.

    In a bucket, the store is the checkpoint's own directory.
    """
    if isinstance(target, WritableBucketPath):
        return
    for folder, _, files in os.walk(source):
        here = target / Path(folder).relative_to(source)
        here.mkdir(exist_ok=True)
        for name in files:
            link_file(Path(folder) / name, here / name)


def _link_files(source: Path, target: Path) -> None:
    """Links every file below a directory of the source, whose entries `Boundary` has checked."""
    if isinstance(target, WritableBucketPath):
        copy_files([(file, target / file.relative_to(source)) for file in files_below(source)])
        return
    target.mkdir()
    for file in files_below(source):
        here = target / file.relative_to(source)
        here.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(file, BucketPath):
            fetch(file, here)
        else:
            link_file(file, here)


def _write(path: Path, text: str) -> None:
    """Writes a file and syncs it to disk; in a bucket, in place of the one that a killed run has left."""
    if isinstance(path, WritableBucketPath):
        path.write_text(text)
        return
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
