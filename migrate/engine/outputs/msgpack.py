"""Msgpack files as `flax.serialization.to_bytes` writes them, for `msgpack_restore` and `from_bytes`.

Lists and tuples are mappings with the keys 0, 1, … as in Flax's state dicts. An array of more than 2^30 bytes is a
mapping with flat pieces, as Flax writes it. Flax reads three entries of such a mapping and ignores all others; so the
first array is always written in this form, and the metadata are a fourth entry of its mapping.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

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
from migrate.formats.flax.msgpack import CHUNKED, METADATA
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, KeyPath, stored_path

CHUNK_BYTES = 1 << 30
"""The largest array that Flax writes as one msgpack value."""

_NUMBERS = {"bool": 1, "int64": 9, "float64": 9, "complex128": 22}
"""Encoded bytes of each Python number; other scalars are arrays without dimensions."""

_ARRAY, _COMPLEX = 1, 2
"""Flax's msgpack extension types."""


class MsgpackFile(FileFormat):
    """The format of `.msgpack` files."""

    name = "msgpack"

    def recognizes(self, file: Path) -> bool:
        del file  # no signature: any file that no other format recognizes
        return True

    def problems(self, tree: AbstractTree) -> Iterator[Diagnostic]:
        for path, leaf in tree.leaves.items():
            if leaf.aval and dtypes.key_impl(leaf.aval.dtype):
                cure = "write its words with the op `key_data`, or `drop:` it"
                yield cannot_hold(self.name, path, f"it is a typed PRNG key ({leaf.aval.dtype})", cure)
        ordered = [path for path, kind in tree.containers.items() if kind != "dict"]
        ordered += [path for path, leaf in tree.leaves.items() if leaf.kind == "empty" and leaf.container != "dict"]
        if ordered:
            what = f"lists and tuples: {len(ordered):,}"
            message = f"{what}; Flax's state dicts have mappings with the keys 0, 1, … in their place"
            yield kept_elsewhere(message, ordered)
        if _carrier(tree) is None:
            yield kept_elsewhere("the tree has no array, so the file cannot hold metadata or digests", ())

    def held(self, tree: AbstractTree, *, boxes: bool) -> AbstractTree:
        plain = unsharded(tree, boxes=boxes)
        return AbstractTree({path: _held(leaf) for path, leaf in plain.leaves.items()})

    def stored_names(self, tree: AbstractTree) -> Mapping[KeyPath, str] | None:
        if _carrier(tree) is None:
            return None
        return {path: "/".join(stored_path(path, leaf)) for path, leaf in tree.leaves.items()}

    def layout(
        self, tree: AbstractTree, metadata: Mapping[str, Any], texts: Texts, shard_bytes: int = DEFAULT_SHARD
    ) -> FileLayout:
        del shard_bytes
        root: dict[str, Any] = {}
        for path, leaf in tree.leaves.items():
            node = root
            *above, last = ("", *path, *([leaf.box] if leaf.box else []))
            for key in above:
                node = node.setdefault(key, {})
            node[last] = path
        return FileLayout.of(_Parts(tree, texts, metadata).of(root[""] if root else {}))

    def encoded(self, leaf: AbstractLeaf, array: np.ndarray[Any, Any]) -> memoryview:
        if leaf.kind != "scalar":
            return super().encoded(leaf, array)
        value = array.item()
        if isinstance(value, complex):
            parts = _packed((value.real, value.imag))
            return memoryview(_extension(_COMPLEX, len(parts)) + parts)
        is_int = isinstance(value, int) and not isinstance(value, bool)
        return memoryview(b"\xd3" + value.to_bytes(8, "big", signed=True) if is_int else _packed(value))


OUTPUT = FileOutput(MsgpackFile())


def _held(leaf: AbstractLeaf) -> AbstractLeaf:
    if leaf.kind == "empty":
        return AbstractLeaf("empty", box=leaf.box)
    if leaf.kind == "scalar" and leaf.aval and leaf.aval.dtype not in _NUMBERS:
        return AbstractLeaf("array", leaf.aval, box=leaf.box)
    return leaf


def _carrier(tree: AbstractTree) -> KeyPath | None:
    """Returns the array whose mapping also holds the metadata: the first that has elements."""
    arrays = (path for path, leaf in tree.leaves.items() if leaf.kind == "array" and leaf.aval and leaf.aval.size)
    return next(arrays, None)


class _Parts:
    """The parts of a tree as msgpack, with regions for its values."""

    def __init__(self, tree: AbstractTree, texts: Texts, metadata: Mapping[str, Any]) -> None:
        self._tree = tree
        self._texts = texts
        self._metadata = json.dumps(metadata, separators=(",", ":"), ensure_ascii=False)
        self._carrier = _carrier(tree)
        self._names = cache(_packed)
        self._heads = cache(_head)

    def of(self, node: Any) -> Iterator[bytes | FileRegion]:
        """Yields the parts of a node: a mapping of children, or the key path of a leaf."""
        if not isinstance(node, dict):
            yield from self._leaf(node, self._tree.leaves[node])
            return
        yield _mapping(len(node))
        open_nodes = [iter(node.items())]  # from the root down: a part passes through no generator but this one
        while open_nodes:
            for key, child in open_nodes[-1]:
                yield self._names(key)
                if isinstance(child, dict):
                    yield _mapping(len(child))
                    open_nodes.append(iter(child.items()))
                    break
                yield from self._leaf(child, self._tree.leaves[child])
            else:
                open_nodes.pop()

    def _leaf(self, path: KeyPath, leaf: AbstractLeaf) -> Iterator[bytes | FileRegion]:
        if leaf.kind == "array" and leaf.aval is not None:
            yield from self._array(path, leaf.aval)
        elif leaf.kind == "scalar" and leaf.aval is not None:
            yield FileRegion(path, _NUMBERS[leaf.aval.dtype])
        elif leaf.kind == "string":
            yield _packed(self._texts[path])
        else:
            yield _packed({} if leaf.kind == "empty" else None)

    def _array(self, path: KeyPath, aval: AbstractArray) -> Iterator[bytes | FileRegion]:
        carries = path == self._carrier
        if aval.nbytes <= CHUNK_BYTES and not carries:
            yield self._heads(aval)
            yield FileRegion(path, aval.nbytes)
            return
        yield _mapping(4 if carries else 3)
        yield _packed(CHUNKED) + _packed(True)
        yield _packed("shape") + _packed({str(axis): size for axis, size in enumerate(aval.shape)})
        if carries:
            yield _packed(METADATA) + _packed(self._metadata)
        itemsize = dtypes.item_bytes(aval.dtype)
        step = max(1, CHUNK_BYTES // itemsize)
        sizes = [min(step, aval.size - start) for start in range(0, aval.size, step)]
        yield _packed("chunks") + _mapping(len(sizes))
        for number, size in enumerate(sizes):
            yield _packed(str(number))
            piece = AbstractArray((size,), aval.dtype)
            yield self._heads(piece)
            yield FileRegion(path, piece.nbytes)


def _head(aval: AbstractArray) -> bytes:
    """Returns what precedes the bytes of an array in one msgpack value: shape, dtype and lengths."""
    head = b"\x93" + _packed(aval.shape) + _packed(aval.dtype) + _binary(aval.nbytes)
    return _extension(_ARRAY, len(head) + aval.nbytes) + head


def _packed(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


def _mapping(count: int) -> bytes:
    head: bytes = msgpack.Packer().pack_map_header(count)
    return head


def _binary(nbytes: int) -> bytes:
    return _sized(nbytes, (0xC4, 0xC5, 0xC6))


def _extension(code: int, nbytes: int) -> bytes:
    fixed = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}.get(nbytes)
    head = bytes([fixed]) if fixed else _sized(nbytes, (0xC7, 0xC8, 0xC9))
    return head + bytes([code])


def _sized(nbytes: int, tags: tuple[int, int, int]) -> bytes:
    """Returns a tag and a length of one, two or four bytes."""
    width = 1 if nbytes < 1 << 8 else 2 if nbytes < 1 << 16 else 4
    return bytes([tags[width // 2]]) + nbytes.to_bytes(width, "big")
