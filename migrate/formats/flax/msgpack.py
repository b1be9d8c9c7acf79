"""Msgpack files as Flax and early Orbax wrote them: leaves and values by stored key path.

A leaf's value is a view of the mapped file: opening reads only the tree, and reading a leaf only its bytes. Flax turned
lists, tuples and named tuples into dicts when it wrote a file, and they are read as dicts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.codes import MissingPart, ReaderAssumption
from migrate.errors import CheckpointError, Diagnostic
from migrate.formats.base import Extent
from migrate.formats.file_view import FileView
from migrate.formats.files import (
    damaged,
    is_file,
    read_head,
    refuse_lfs_pointer,
    unknown_dtype,
)
from migrate.formats.flax.msgpack_index import ArrayBytes, Node, RawBytes
from migrate.formats.flax.msgpack_stream import index_file
from migrate.formats.opaque import opaque_leaf
from migrate.formats.stored_dtype import UnknownDtypeError, stored_dtype
from migrate.tree import AbstractArray, AbstractLeaf, Container, KeyPath, Storage, format_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from migrate.formats.base import Value

CHUNKED = "__msgpack_chunked_array__"
METADATA = "__migrate_metadata__"
"""The entry for custom metadata (JSON) in an array that is written in pieces; Flax ignores it."""
OUTSIDE = "//GDAPlaceholder:"
"""The prefix of what Flax wrote in place of an array that several processes saved; its key path follows."""
PLACEHOLDERS = ("PLACEHOLDER://", "AGGREGATED://")
"""The prefixes of what Orbax wrote in place of an array beside the file; its name follows."""
_NESTED: dict[type, Container] = {dict: "dict", list: "list", tuple: "tuple"}
_PYTHON_DTYPES = {bool: "bool", int: "int64", float: "float64", complex: "complex128"}
_INT64_END = 1 << 63
_CONTAINERS = (0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xDC, 0xDD)
_OTHER_SUFFIXES = (".safetensors", ".npz", ".json")
_KEYS = {bytes([tag]) for tag in (*range(0xA0, 0xC0), 0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB)}


@dataclass(frozen=True, slots=True)
class MsgpackChunks:
    """An array that was too large for one msgpack value: flat pieces, one after another."""

    shape: tuple[int, ...]
    pieces: tuple[ArrayBytes, ...]


def looks_like_msgpack(path: Path) -> bool:
    """Whether a path is a file that begins as a msgpack checkpoint does.

    It begins with a mapping whose first key is text, with a list, or with an extension type.
    """
    head = read_head(path, 6) if is_file(path) else b""
    if not head:
        return False
    tag = head[0]
    key_at = 1 if 0x80 <= tag <= 0x8F else {0xDE: 3, 0xDF: 5}.get(tag)
    if key_at is None:
        return (0x90 <= tag <= 0x9F or tag in _CONTAINERS) and not head.startswith(b"\x93NUMPY")
    if head == b"\x80":  # an empty tree, or all that is left of a file of another format
        return path.suffix not in _OTHER_SUFFIXES
    return head[key_at : key_at + 1] in _KEYS


@dataclass(frozen=True, slots=True)
class SavedSpec:
    """A TensorStore specification in place of an array, which T5X and the first versions of Orbax wrote."""

    folder: str
    dtype: str | None = None


class MappedMsgpack:
    """One mapped msgpack file: its leaves, and their values by stored key path."""

    def __init__(self, path: Path) -> None:
        refuse_lfs_pointer(path)
        self.path = path
        self._data = FileView(path)
        self.nodes: dict[KeyPath, Node] = {}
        self.containers: dict[KeyPath, Container] = {}
        self.metadata: Mapping[str, Any] = {}
        self.notes: list[Diagnostic] = []
        self.named_tuples: list[KeyPath] = []
        tree, self.is_stream = index_file(self._data, path)
        self._flatten((), tree)
        self._note_named_tuples()

    def _note_named_tuples(self) -> None:
        if self.named_tuples:
            message = f"{len(self.named_tuples)} named tuples are stored as names, fields and values"
            names = [format_path(path) for path in self.named_tuples]
            self.notes.append(
                ReaderAssumption.at(f"{message}, as Flax did up to 0.3.4; read as dicts of their fields", paths=names)
            )

    def _flatten(self, path: KeyPath, node: Node) -> None:
        kind = _NESTED.get(type(node))
        if kind == "dict" and CHUNKED in node:
            node, kind = self._chunked(node), None
        elif kind == "dict" and (spec := _saved_spec(node)) is not None:
            node, kind = spec, None
        elif kind == "dict" and (fields := _named_tuple(node)) is not None:
            node = fields
            self.named_tuples.append(path)
        if kind is None or not node:
            self.nodes[path] = node
            return
        if kind != "dict":
            self.containers[path] = kind
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            self._flatten((*path, str(key)), child)

    def _chunked(self, node: dict[str, Node]) -> MsgpackChunks:
        shape, pieces = _in_order(node.get("shape")), _in_order(node.get("chunks"))
        if METADATA in node:
            self.metadata = self._custom_metadata(node[METADATA])
        if not pieces or not all(isinstance(piece, ArrayBytes) for piece in pieces):
            raise damaged(self.path, "the pieces of a large array are missing")
        if not all(type(size) is int and size >= 0 for size in shape):
            raise damaged(self.path, "the shape of a large array is invalid")
        return MsgpackChunks(tuple(shape), tuple(pieces))

    def leaf(self, path: KeyPath) -> AbstractLeaf:
        """Returns the leaf at a stored path; appends assumptions to `notes`.

        Raises:
          CheckpointError: the leaf contradicts itself, or has a dtype that no array of JAX has.
        """
        node = self.nodes[path]
        if isinstance(node, ArrayBytes | MsgpackChunks | RawBytes):
            return self._array_leaf(path, node)
        self._refuse_outside_array(path, node)
        if type(node) in _PYTHON_DTYPES:
            wide = type(node) is int and node >= _INT64_END
            dtype = "uint64" if wide else _PYTHON_DTYPES[type(node)]
            return AbstractLeaf("scalar", AbstractArray((), dtype), storage=Storage("msgpack"))
        if isinstance(node, str):
            return AbstractLeaf("string", storage=Storage("msgpack", nbytes=len(node.encode())))
        if node is None:
            return AbstractLeaf("none")
        return AbstractLeaf("empty", container=_NESTED[type(node)])

    def _refuse_outside_array(self, path: KeyPath, node: Node) -> None:
        """Refuses a placeholder for an array outside the file when the file is opened alone."""
        if isinstance(node, SavedSpec) or (isinstance(node, str) and node.startswith((OUTSIDE, *PLACEHOLDERS))):
            message = f"`{format_path(path)}` of `{self.path}` is a placeholder for an array outside the file"
            cure = f"open the directory `{self.path.parent}`, which the file is a part of"
            raise CheckpointError(MissingPart.at(message, paths=(format_path(path),), help=cure))

    def _array_leaf(self, path: KeyPath, node: ArrayBytes | MsgpackChunks | RawBytes) -> AbstractLeaf:
        pieces = _pieces(node)
        shape = node.shape if isinstance(node, ArrayBytes | MsgpackChunks) else (node.nbytes,)
        try:
            stored = _numpy_dtype(pieces[0].dtype)
        except UnknownDtypeError as error:
            leaf = opaque_leaf(error, shape, Storage("msgpack", nbytes=sum(piece.nbytes for piece in pieces)))
            if leaf is None:
                name = format_path(path)
                raise unknown_dtype(f"`{name}`", error, paths=(name,)) from error
            return leaf
        name = dtypes.from_numpy(stored)
        for piece in pieces:
            if prod(piece.shape) * stored.itemsize != piece.nbytes or piece.dtype != pieces[0].dtype:
                raise damaged(self.path, "an array has more or fewer bytes than its shape", paths=(format_path(path),))
        nbytes = sum(piece.nbytes for piece in pieces)
        if prod(shape) * stored.itemsize != nbytes:
            raise damaged(self.path, "a large array's pieces do not make up its shape", paths=(format_path(path),))
        self._note_assumption(path, node, pieces[0].dtype)
        return AbstractLeaf("array", AbstractArray(shape, name), storage=Storage("msgpack", nbytes=nbytes))

    def _note_assumption(self, path: KeyPath, node: Node, text: str) -> None:
        if isinstance(node, RawBytes):
            message = f"`{format_path(path)}` is bare bytes, for which JAX has no dtype; read as uint8"
        elif text in _ANONYMOUS:
            message = (
                f"`{format_path(path)}` was written without its dtype's name (`{text}`); read as {_ANONYMOUS[text]}"
            )
        else:
            return
        self.notes.append(ReaderAssumption.at(message, paths=(format_path(path),)))

    def _custom_metadata(self, text: Node) -> Mapping[str, Any]:
        try:
            found = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise damaged(self.path, f"its metadata is not JSON ({error})") from error
        if not isinstance(found, dict):
            raise damaged(self.path, "its metadata is not a JSON object")
        return found

    def extents(self, path: KeyPath) -> tuple[Extent, ...] | None:
        """Where an array's bytes are stored, in order; None for other leaves and for bytes not in native order."""
        node = self.nodes[path]
        if not isinstance(node, ArrayBytes | MsgpackChunks | RawBytes) or not _is_native(_pieces(node)[0].dtype):
            return None
        return tuple(Extent(self.path, piece.offset, piece.nbytes) for piece in _pieces(node))

    def load(self, path: KeyPath) -> Value:
        """Returns the value at a stored path."""
        node = self.nodes[path]
        if isinstance(node, ArrayBytes | MsgpackChunks | RawBytes):
            return self._load_array(node)
        return None if isinstance(node, dict | list | tuple) else node

    def _load_array(self, node: ArrayBytes | MsgpackChunks | RawBytes) -> Value:
        import numpy as np

        parts = [
            self._data.array(_numpy_dtype(piece.dtype), prod(piece.shape), piece.offset).reshape(piece.shape)
            for piece in _pieces(node)
        ]
        array = parts[0] if isinstance(node, ArrayBytes | RawBytes) else np.concatenate(parts).reshape(node.shape)
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    @property
    def era(self) -> str:
        """The versions that can have written the file: before Flax 0.3.2 dtypes were `<f4`, since then `float32`."""
        texts = {_pieces(node)[0].dtype for node in self.nodes.values() if isinstance(node, ArrayBytes | MsgpackChunks)}
        if any(text[:1] in "<>|=" for text in texts):
            return "flax before 0.3.2"
        if self.named_tuples:
            return "flax 0.3.2 to 0.3.4"
        return "flax 0.3.2 or later" if texts else "flax"


_ANONYMOUS = {"<V2": "bfloat16", "|V2": "bfloat16", "V2": "bfloat16", "|V1": "uint8", "<V1": "uint8", "<f1": "uint8"}
"""Flax before 0.3.2 wrote a dtype's `.str`, which does not name extension types; only one of them had two bytes."""


@lru_cache(maxsize=256)  # most arrays of a checkpoint have one of a few dtypes
def _numpy_dtype(text: str) -> np.dtype[Any]:
    return stored_dtype(_ANONYMOUS.get(text, text))


def _is_native(text: str) -> bool:
    """Whether elements are stored as JAX holds them in memory."""
    try:
        return _numpy_dtype(text).isnative
    except UnknownDtypeError:
        return False


def _pieces(node: ArrayBytes | MsgpackChunks | RawBytes) -> tuple[ArrayBytes, ...]:
    if isinstance(node, RawBytes):
        return (ArrayBytes((node.nbytes,), "uint8", node.offset, node.nbytes),)
    return node.pieces if isinstance(node, MsgpackChunks) else (node,)


def _in_order(node: Node) -> list[Node]:
    """Returns the elements of a tuple that was written as a dict of digits, or as itself."""
    if isinstance(node, dict):
        return [node.get(str(position)) for position in range(len(node))]
    return list(node) if isinstance(node, list | tuple) else []


def _named_tuple(node: dict[str, Node]) -> dict[str, Node] | None:
    """Returns the fields of a named tuple that Flax up to 0.3.4 wrote, or None."""
    if node.keys() != {"name", "fields", "values"} or not isinstance(node["name"], str):
        return None
    names, values = _in_order(node["fields"]), _in_order(node["values"])
    is_one = len(set(map(str, names))) == len(values) and all(isinstance(name, str) for name in names)
    digits = all(isinstance(node[part], dict) for part in ("fields", "values")) and len(node["fields"]) == len(names)
    return dict(zip(names, values, strict=True)) if is_one and digits else None


def _saved_spec(node: dict[str, Node]) -> SavedSpec | None:
    """Returns a specification, or None; of its absolute, temporary path only the last part has a meaning."""
    kvstore, dtype = node.get("kvstore"), node.get("dtype")
    if "driver" not in node or not isinstance(kvstore, dict):
        return None
    place = kvstore.get("path", node.get("path"))
    if not isinstance(place, str):
        return None
    return SavedSpec(place.rstrip("/").rpartition("/")[2], dtype if isinstance(dtype, str) else None)
