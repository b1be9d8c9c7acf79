"""The contents of the files that Orbax keeps beside the arrays of a pytree, as Orbax 0.12.8 writes them.

Each function returns the text of one file. `migrate.formats.orbax.metadata` reads such files, of every era.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from migrate.engine.items import stored_name
from migrate.engine.staged_array import StagedArray
from migrate.sharding import to_orbax_json
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, stored_path

_HANDLERS = "orbax.checkpoint._src.handlers"
JSON_HANDLER = f"{_HANDLERS}.json_checkpoint_handler.JsonCheckpointHandler"
"""The name of the handler that restores a JSON item by default, as a step records it."""

WIDE = ("int64", "uint64", "float64", "complex128")
"""Dtypes that JAX narrows in silence unless x64 is on; Orbax restores them exactly from NumPy arrays."""

_SEQUENCE, _DICT = 1, 2
"""Orbax's codes for the container that a key belongs to."""

_EMPTY = {"dict": "Dict", "list": "List", "tuple": "Tuple"}


def is_jax_array(array: StagedArray) -> bool:
    """Returns whether Orbax restores an array as a `jax.Array` rather than a NumPy array."""
    return array.dtype.name not in WIDE


def checkpoint_metadata(handlers: object, metadata: Mapping[str, Any], *, begun: int, committed: int) -> str:
    """Returns the text of `_CHECKPOINT_METADATA`.

    Args:
      handlers: the handler of the pytree, or those of the items by name.
      metadata: the custom metadata.
      begun: the time at which saving began, in nanoseconds since 1970.
      committed: the time at which it ended.
    """
    return json.dumps(
        {
            "item_handlers": handlers,
            "metrics": {},
            "performance_metrics": {},
            "init_timestamp_nsecs": begun,
            "commit_timestamp_nsecs": committed,
            "custom_metadata": dict(metadata),
        }
    )


def tree_metadata(
    tree: AbstractTree,
    arrays: Mapping[KeyPath, StagedArray],
    metadata: Mapping[str, Any] | None,
    *,
    zarr3: bool,
    ocdbt: bool = True,
    numpy: bool = False,
) -> str:
    """Returns the text of `_METADATA`: every leaf with its keys and its type.

    Args:
      tree: the pytree.
      arrays: its arrays by key path.
      metadata: the custom metadata; None for an item of a step.
      zarr3: whether arrays are stored as zarr version 3.
      ocdbt: whether they are stored in an OCDBT database.
      numpy: whether all of them are NumPy arrays.
    """
    leaves = (
        (str(stored_path(path, leaf)), _leaf(path, leaf, arrays.get(path), tree, numpy=numpy))
        for path, leaf in tree.leaves.items()
    )
    flags = {
        "use_ocdbt": ocdbt,
        "use_zarr3": zarr3,
        "store_array_data_equal_to_fill_value": True,
        "custom_metadata": None if metadata is None else dict(metadata),
    }
    return f'{{"tree_metadata": {_object(leaves)}, {json.dumps(flags)[1:]}'


def _leaf(
    path: KeyPath, leaf: AbstractLeaf, array: StagedArray | None, tree: AbstractTree, *, numpy: bool
) -> dict[str, Any]:
    value = _value_metadata(leaf, array, numpy=numpy)
    return {"key_metadata": list(_keys(path, leaf, tree)), "value_metadata": value}


def _object(members: Iterable[tuple[str, Any]]) -> str:
    """Returns the JSON of an object; each value is encoded before the next one is made, which takes less memory."""
    return f"{{{', '.join([f'{_json(name)}: {_json(value)}' for name, value in members])}}}"


_json = json.JSONEncoder().encode


def _keys(path: KeyPath, leaf: AbstractLeaf, tree: AbstractTree) -> Iterator[dict[str, Any]]:
    for depth, key in enumerate(path):
        kind = _DICT if tree.container(path[:depth]) == "dict" else _SEQUENCE
        yield {"key": key, "key_type": kind}
    if leaf.box:
        yield {"key": leaf.box, "key_type": _DICT}


def _value_metadata(leaf: AbstractLeaf, array: StagedArray | None, *, numpy: bool) -> dict[str, Any]:
    if leaf.kind == "array":
        assert array is not None
        if numpy or not is_jax_array(array):
            return {"value_type": "np.ndarray", "skip_deserialize": False}
        return {"value_type": "jax.Array", "skip_deserialize": False, "write_shape": list(array.write_shape)}
    if leaf.kind == "empty":
        return {"value_type": _EMPTY[leaf.container], "skip_deserialize": True}
    if leaf.kind == "none":
        return {"value_type": "None", "skip_deserialize": True}
    return {"value_type": leaf.kind, "skip_deserialize": False}


def shardings(arrays: Iterable[StagedArray]) -> str:
    """Returns the text of `_sharding`: the default placement of each array.

    Args:
      arrays: all arrays; without an entry, the typed restore of Orbax's v1 API refuses a NumPy array.
    """
    return _object((_encoded(array.name), to_orbax_json(array.sharding)) for array in arrays)


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def array_metadatas(arrays: Iterable[StagedArray]) -> str:
    """Returns the text of `array_metadatas/process_0`: shards, chunks and key implementation of every `jax.Array`."""
    rows = [_json({"array_metadata": _array_metadata(array)}) for array in arrays]
    return f'{{"array_metadatas": [{", ".join(rows)}]}}'


def _array_metadata(array: StagedArray) -> dict[str, Any]:
    return {
        "param_name": array.name,
        "write_shape": list(array.write_shape),
        "chunk_shape": list(array.chunk_shape),
        "ext_metadata": {"random_key_impl": array.key_impl} if array.key_impl else None,
    }


def strings(tree: AbstractTree, values: Mapping[KeyPath, Any]) -> str:
    """Returns the text of `_strings.json`: every string leaf by its stored name."""
    found = {stored_name(path, tree.leaves[path]): value for path, value in values.items() if isinstance(value, str)}
    return json.dumps(found)
