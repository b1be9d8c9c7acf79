"""Safetensors files: what people leave JAX with. Byte for byte what the format's own library writes.

Names are key paths joined with `.`; what names cannot say is recorded in the metadata, so that reading such a file
gives back the tree (`migrate.formats.safetensors.tree`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from migrate import dtypes
from migrate.engine.outputs.file_layout import FileFormat, Layout, Slot, Texts, cannot_hold, kept_elsewhere, unsharded
from migrate.errors import Diagnostic
from migrate.formats.safetensors.header import DTYPES, METADATA, file_order, write_header
from migrate.formats.safetensors.tree import TREE_KEY, names_of, record_of
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath

FORMAT = {"format": "pt"}
"""Without this entry `transformers` refuses a file that has metadata; it says that tensors are to be taken as they
are.
"""

_HELD = frozenset(DTYPES.values())


class SafetensorsFile(FileFormat):
    """One `.safetensors` file."""

    name = "safetensors"
    suffix = ".safetensors"

    def problems(self, tree: AbstractTree) -> Iterator[Diagnostic]:
        for path, leaf in tree.leaves.items():
            refused = _refused(path, leaf)
            if refused:
                yield cannot_hold(self.name, path, *refused)
        nothing = [path for path, leaf in tree.leaves.items() if not leaf.has_data]
        if nothing:
            what = f"leaves without data (`None`, empty containers): {len(nothing):,}"
            message = f"{what}; they are kept in the metadata of the file, where only migrate looks for them"
            yield kept_elsewhere(message, nothing)

    def held(self, tree: AbstractTree, *, boxes: bool) -> AbstractTree:
        del boxes  # nobody outside of Flax knows them
        return unsharded(tree, boxes=False)

    def layout(self, tree: AbstractTree, metadata: Mapping[str, Any], texts: Texts) -> Layout:
        del texts
        names = _names(tree)
        avals = {name: aval for path, name in names.items() if (aval := tree.leaves[path].aval)}
        record = record_of(tree, names).to_text()
        texts_of = {key: value if isinstance(value, str) else _json(value) for key, value in metadata.items()}
        header = write_header(
            {name: (aval.dtype, aval.shape) for name, aval in avals.items()},
            {**FORMAT, **texts_of, **({TREE_KEY: record} if record else {})},
        )
        paths = {name: path for path, name in names.items()}
        ordered = file_order({name: aval.dtype for name, aval in avals.items()})
        return Layout.of([header, *(Slot(paths[name], avals[name].nbytes) for name in ordered)])


def _names(tree: AbstractTree) -> dict[KeyPath, str]:
    return names_of(path for path, leaf in tree.leaves.items() if leaf.has_data)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _refused(path: KeyPath, leaf: AbstractLeaf) -> tuple[str, str] | None:
    """What is wrong with a leaf, and the cure."""
    if leaf.kind == "string":
        return "it is a string", "`drop:` it"
    if path in ((METADATA,), ()):
        return "it has no name that a tensor can have", "give it one with a rule"
    if leaf.aval is None or leaf.aval.dtype in _HELD:
        return None
    if dtypes.key_impl(leaf.aval.dtype):
        return f"it is a typed PRNG key ({leaf.aval.dtype})", "write its words with the op `key_data`, or `drop:` it"
    return f"the format has no dtype {leaf.aval.dtype}", "`cast:` it to a dtype that it has, or `drop:` it"
