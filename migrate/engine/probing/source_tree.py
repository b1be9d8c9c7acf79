"""A whole checkpoint in memory, as the program that wrote it would have it back: for probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.engine.streaming.evaluate import EMPTY
from migrate.formats.base import Value
from migrate.formats.reader import Reader
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath

if TYPE_CHECKING:
    import numpy as np


def whole_tree(reader: Reader) -> Any:
    """Returns the checkpoint's tree as nested dicts, lists and tuples under canonical key paths.

    Arrays are NumPy arrays, typed keys are JAX arrays. Flax's boxes are removed, so that `apply` of a Linen module
    takes the collections directly.

    Raises:
      CheckpointError: a leaf cannot be read.
    """
    tree = reader.abstract().tree
    nested: Any = {}
    for path, leaf in tree.leaves.items():
        if not path:
            return _value(reader, path, leaf)
        node = nested
        for segment in path[:-1]:
            node = node.setdefault(segment, {})
        node[path[-1]] = _value(reader, path, leaf)
    return _with_sequences(nested, (), tree)


def _value(reader: Reader, path: KeyPath, leaf: AbstractLeaf) -> Value:
    if not leaf.has_data or not leaf.is_readable:
        return EMPTY[leaf.container] if leaf.kind == "empty" else None
    value = reader.read(path)
    impl = dtypes.key_impl(leaf.aval.dtype) if leaf.aval else None
    return _keys(value, impl) if impl else value


def _keys(structured: np.ndarray[Any, Any], impl: str) -> Any:
    import jax

    return jax.random.wrap_key_data(structured[impl], impl=dtypes.KEY_IMPLS[impl])


def _with_sequences(node: Any, path: KeyPath, tree: AbstractTree) -> Any:
    """Returns the node with dicts by index turned back into lists and tuples."""
    if not isinstance(node, Mapping) or not node:
        return node
    inner = {name: _with_sequences(child, (*path, name), tree) for name, child in node.items()}
    kind = tree.container(path)
    if kind == "dict" or inner.keys() != {str(index) for index in range(len(inner))}:
        return inner
    ordered = [inner[str(index)] for index in range(len(inner))]
    return ordered if kind == "list" else tuple(ordered)
