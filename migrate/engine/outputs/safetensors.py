"""Safetensors files, byte for byte as the format's own library writes them.

Names are key paths joined with `.`. The metadata record whatever names cannot express, so that migrate reads the same
tree back (`migrate.formats.safetensors.tree`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from migrate import dtypes
from migrate.engine.options import DEFAULT_SHARD
from migrate.engine.outputs.file import FileOutput
from migrate.engine.outputs.file_layout import (
    FileFormat,
    FileLayout,
    FileRegion,
    Texts,
    cannot_hold,
    kept_elsewhere,
    unsharded,
)
from migrate.errors import Diagnostic
from migrate.formats.safetensors.header import DTYPES, METADATA, file_order, write_header
from migrate.formats.safetensors.item import looks_like_safetensors
from migrate.formats.safetensors.tree import TREE_KEY, names_of, record_of
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath

FORMAT = {"format": "pt"}
"""An entry without which `transformers` refuses a file that has metadata; `pt` leaves the tensors unchanged."""

_HELD = frozenset(DTYPES.values())


class SafetensorsFile(FileFormat):
    """The format of `.safetensors` files."""

    name = "safetensors"

    def recognizes(self, file: Path) -> bool:
        return looks_like_safetensors(file)

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
        del boxes  # only Flax knows them
        return unsharded(tree, boxes=False)

    def stored_names(self, tree: AbstractTree) -> Mapping[KeyPath, str]:
        return tensor_names(tree)

    def layout(
        self, tree: AbstractTree, metadata: Mapping[str, Any], texts: Texts, shard_bytes: int = DEFAULT_SHARD
    ) -> FileLayout:
        del texts, shard_bytes
        names = tensor_names(tree)
        return FileLayout.of(file_parts(tree, names, header_metadata(tree, names, metadata)))


OUTPUT = FileOutput(SafetensorsFile())


def header_metadata(tree: AbstractTree, names: Mapping[KeyPath, str], metadata: Mapping[str, Any]) -> dict[str, str]:
    """Returns the metadata of a header: format, custom metadata, and what the names of a tree do not express."""
    record = record_of(tree, names).to_text()
    texts = {key: value if isinstance(value, str) else _json(value) for key, value in metadata.items()}
    return {**FORMAT, **texts, **({TREE_KEY: record} if record else {})}


def file_parts(
    tree: AbstractTree, names: Mapping[KeyPath, str], metadata: Mapping[str, str]
) -> list[bytes | FileRegion]:
    """Returns the header of a file and the regions of its tensors.

    Args:
      tree: the tree.
      names: the names of the leaves in this file, by key path.
      metadata: the metadata of its header.
    """
    avals = {name: aval for path, name in names.items() if (aval := tree.leaves[path].aval)}
    header = write_header({name: (aval.dtype, aval.shape) for name, aval in avals.items()}, metadata)
    paths = {name: path for path, name in names.items()}
    ordered = file_order({name: aval.dtype for name, aval in avals.items()})
    return [header, *(FileRegion(paths[name], avals[name].nbytes) for name in ordered)]


def tensor_names(tree: AbstractTree) -> dict[KeyPath, str]:
    """Returns the names of the tensors of a tree, by key path."""
    return names_of(path for path, leaf in tree.leaves.items() if leaf.has_data)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _refused(path: KeyPath, leaf: AbstractLeaf) -> tuple[str, str] | None:
    """Returns why the format cannot hold a leaf, and the cure; None if it can."""
    if leaf.kind == "string":
        return "it is a string", "`drop:` it"
    if path in ((METADATA,), ()):
        return "it has no name that a tensor can have", "give it one with a rule"
    if leaf.aval is None or leaf.aval.dtype in _HELD:
        return None
    if dtypes.key_impl(leaf.aval.dtype):
        return f"it is a typed PRNG key ({leaf.aval.dtype})", "write its words with the op `key_data`, or `drop:` it"
    return f"the format has no dtype {leaf.aval.dtype}", "`cast:` it to a dtype that it has, or `drop:` it"
