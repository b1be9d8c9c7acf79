"""The commit: Orbax itself saves a tree of lazy leaves, each of which links what was staged instead of copying it.

So `_METADATA`, `array_metadatas`, the merge of the databases, the commit marker and the rename are Orbax's own, and
whatever restores with Orbax restores what is written here. This is the only module that touches Orbax's private
surface; `tests/engine/test_orbax_surface.py` fails loudly when that surface moves.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import future as orbax_future
from orbax.checkpoint import type_handlers
from orbax.checkpoint._src.metadata import array_metadata, array_metadata_store

from migrate.engine.staging import StagedArray
from migrate.sharding import PORTABLE, to_orbax_json
from migrate.tree import AbstractTree, KeyPath

DATABASE = "ocdbt.process_staged"
"""What the staging store is called inside the checkpoint; Orbax merges every `ocdbt.process_*`."""

WIDE = ("int64", "uint64", "float64", "complex128")
"""Dtypes that JAX narrows in silence unless x64 is on; stored as NumPy arrays, Orbax restores them exactly."""


@dataclass(frozen=True, slots=True)
class Item:
    """One pytree to save: its tree, the arrays that were staged for it, the store, and all other values by key path."""

    tree: AbstractTree
    arrays: Mapping[KeyPath, StagedArray]
    store: Path
    values: Mapping[KeyPath, Any]


def commit_item(destination: Path, item: Item, metadata: Mapping[str, Any], *, zarr3: bool) -> None:
    """Saves one pytree as a checkpoint of its own, the way `StandardCheckpointer` does."""
    with ocp.Checkpointer(_handler(item, zarr3=zarr3)) as checkpointer:
        args = ocp.args.PyTreeSave(pytree(item), custom_metadata=dict(metadata))
        checkpointer.save(destination.absolute(), args=args, custom_metadata=dict(metadata))


def commit_step(
    destination: Path, items: Mapping[str, Item], extras: Mapping[str, Any], metadata: Mapping[str, Any], *, zarr3: bool
) -> None:
    """Saves several items as one step, the way `CheckpointManager` does; `extras` are its JSON items."""
    handlers: dict[str, Any] = {name: _handler(item, zarr3=zarr3) for name, item in items.items()}
    handlers |= {name: ocp.JsonCheckpointHandler(_json_file(name)) for name in extras}
    args = {name: ocp.args.PyTreeSave(pytree(item)) for name, item in items.items()}
    args |= {name: ocp.args.JsonSave(content) for name, content in extras.items()}
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler(**handlers)) as checkpointer:
        checkpointer.save(destination.absolute(), args=ocp.args.Composite(**args), custom_metadata=dict(metadata))


def _json_file(name: str) -> str:
    """`CheckpointManager` keeps metrics in a file of that name; every other JSON item is a file named `metadata`."""
    return "metrics" if name == "metrics" else "metadata"


def pytree(item: Item) -> Any:
    """The tree that Orbax is handed: nested containers with lazy leaves and plain values."""
    root: dict[str, Any] = {}
    for path, leaf in item.tree.leaves.items():
        value = _lazy(item.arrays[path]) if path in item.arrays else item.values[path]
        node = root
        keys = ("", *path, leaf.box) if leaf.box else ("", *path)
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = value
    return _shaped(root[""], (), item.tree)


def _shaped(node: Any, path: KeyPath, tree: AbstractTree) -> Any:
    if not isinstance(node, dict) or (path in tree.leaves and not tree.leaves[path].box):
        return node
    children = {key: _shaped(child, (*path, key), tree) for key, child in node.items()}
    kind = tree.container(path)
    if kind == "dict" or path in tree.leaves:
        return children
    ordered = [children[key] for key in sorted(children, key=int)]
    return ordered if kind == "list" else tuple(ordered)


class _LazyArray:
    """A leaf that knows everything about its array but the bytes."""

    def __init__(self, staged: StagedArray) -> None:
        self.staged = staged
        self.shape = staged.shape
        self.dtype = staged.dtype
        self.ndim = len(staged.shape)
        self.size = int(np.prod(staged.shape, dtype=object))
        self.nbytes = self.size * staged.dtype.itemsize


class _LazyJaxArray(_LazyArray):
    """Restored as a `jax.Array`."""


class _LazyNumpyArray(_LazyArray):
    """Restored as a NumPy array."""


def _lazy(staged: StagedArray) -> _LazyArray:
    return _LazyNumpyArray(staged) if staged.dtype.name in WIDE else _LazyJaxArray(staged)


class _Linker:
    """Links the staging store and writes the shardings, once per save, whichever handler comes first."""

    def __init__(self, item: Item) -> None:
        self._item = item
        self._lock = threading.Lock()
        self._done = False

    def link(self, directory: Path) -> None:
        with self._lock:
            if not self._done:
                _link_tree(self._item.store, directory / DATABASE)
                _write_shardings(directory / "_sharding", self._item.arrays.values())
                self._done = True


def _link_tree(source: Path, target: Path) -> None:
    for folder, _, files in os.walk(source):
        here = target / Path(folder).relative_to(source)
        here.mkdir(parents=True, exist_ok=True)
        for name in files:
            os.link(Path(folder) / name, here / name)


def _write_shardings(path: Path, arrays: Iterable[StagedArray]) -> None:
    shardings = {_encoded(staged.name): to_orbax_json(staged.sharding or PORTABLE) for staged in arrays}
    path.write_text(json.dumps(shardings))


def _encoded(name: str) -> str:
    """A stored name as Orbax writes it into `_sharding`."""
    return base64.urlsafe_b64encode(name.encode()).decode()


class _LinkingJaxHandler(type_handlers.ArrayHandler):  # type: ignore[misc]  # Orbax has no types
    """Orbax's handler of `jax.Array` leaves, whose `serialize` links."""

    def __init__(self, linker: _Linker, *, zarr3: bool) -> None:
        super().__init__(array_metadata_store=array_metadata_store.Store())
        self._linker = linker
        self._zarr3 = zarr3

    async def serialize(self, values: Sequence[_LazyArray], infos: Sequence[Any], args: Any = None) -> Sequence[Any]:
        del args
        return [orbax_future.CommitFutureAwaitingContractedSignals(self._link(values, infos), name="link")]

    async def _link(self, values: Sequence[_LazyArray], infos: Sequence[Any]) -> None:
        directory = await _directory(infos)
        self._linker.link(directory)
        metadatas = [self._metadata(value.staged) for value in values]
        await self._array_metadata_store.write(
            checkpoint_dir=infos[0].parent_dir, array_metadatas=metadatas, process_index=jax.process_index()
        )

    def _metadata(self, staged: StagedArray) -> Any:
        return array_metadata.ArrayMetadata(
            param_name=staged.name,
            shape=staged.shape,
            dtype=staged.dtype,
            write_shape=staged.write_shape,
            chunk_shape=staged.chunk_shape,
            use_ocdbt=True,
            use_zarr3=self._zarr3,
            ext_metadata={"random_key_impl": staged.key_impl} if staged.key_impl else None,
        )


class _LinkingNumpyHandler(type_handlers.NumpyHandler):  # type: ignore[misc]  # Orbax has no types
    """Orbax's handler of NumPy leaves, whose `serialize` links."""

    def __init__(self, linker: _Linker) -> None:
        super().__init__()
        self._linker = linker

    async def serialize(self, values: Sequence[_LazyArray], infos: Sequence[Any], args: Any = None) -> Sequence[Any]:
        del values, args
        return [orbax_future.CommitFutureAwaitingContractedSignals(self._link(infos), name="link")]

    async def _link(self, infos: Sequence[Any]) -> None:
        self._linker.link(await _directory(infos))


async def _directory(infos: Sequence[Any]) -> Path:
    """The directory that Orbax is filling, once it exists."""
    for info in infos:
        await info.await_path_creation()
    return Path(str(infos[0].parent_dir))


def _handler(item: Item, *, zarr3: bool) -> Any:
    linker = _Linker(item)
    jax_handler = _LinkingJaxHandler(linker, zarr3=zarr3)
    registry = type_handlers.create_type_handler_registry(
        (_LazyJaxArray, jax_handler),
        (jax.Array, jax_handler),
        (_LazyNumpyArray, _LinkingNumpyHandler(linker)),
        *((kind, type_handlers.ScalarHandler()) for kind in (int, float, np.number)),
        (str, type_handlers.StringHandler()),
    )
    # Orbax's check after the merge takes an array of no elements, which has no chunk, for a lost one.
    complete = all(0 not in staged.shape for staged in item.arrays.values())
    saver = ocp.BasePyTreeCheckpointHandler(
        type_handler_registry=registry, use_zarr3=zarr3, enable_post_merge_validation=complete
    )
    return ocp.PyTreeCheckpointHandler(type_handler_registry=registry, use_zarr3=zarr3, handler_impl=saver)
