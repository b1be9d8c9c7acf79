"""Key paths and abstract trees: the description of a checkpoint without its data, shared by all packages above.

The terms are JAX's: a pytree has containers and leaves, a key path leads from the root to a leaf, an abstract array is
a shape and a dtype. Key paths are tuples of strings, as Orbax stores them; `AbstractTree.containers` records which
nodes are lists, tuples or dicts.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal, TypeVar

from migrate import dtypes
from migrate.printable import read_escape
from migrate.source_names import source_of

KeyPath = tuple[str, ...]
T = TypeVar("T")
Kind = Literal["array", "scalar", "string", "none", "empty", "opaque"]
Container = Literal["dict", "list", "tuple"]

_SPECIAL = re.compile(r"([\\/{}*])")
_ESCAPED = re.compile(r"[\\{}*]")
EMPTY = r"\e"
"""An empty segment where empty text does not stand for one: a key path that consists of it alone."""
_ALONE = {"": EMPTY, ".": r"\."}
_NUMBER = re.compile(r"(\d+)")
_WITH_DATA: frozenset[Kind] = frozenset({"array", "scalar", "string", "opaque"})


def format_path(path: KeyPath) -> str:
    r"""Returns a key path as text: segments joined by `/`, with `\` before characters that are special in patterns.

    The text can be pasted into a rule file. The root is `.`. An empty segment is empty text (`a//b`, `/a`); the key
    path of one empty segment is `\e`, and that of one segment `.` is `\.`.
    """
    text = "/".join(path)
    if len(path) > 1 and not _ESCAPED.search(text) and text.count("/") == len(path) - 1:
        return text  # the fast way, right for nearly every path
    return join_segments([format_segment(segment) for segment in path])


def format_segment(segment: str) -> str:
    r"""Returns one segment as text, with `\` before characters that are special in patterns."""
    return segment if segment.isidentifier() else _SPECIAL.sub(r"\\\1", segment)


def join_segments(texts: Sequence[str]) -> str:
    """Returns the text of a key path or a pattern from the texts of its segments."""
    return _ALONE.get(texts[0], texts[0]) if len(texts) == 1 else "/".join(texts) or "."


def parse_path(text: str) -> KeyPath:
    r"""Returns the key path of a text from `format_path`; escapes of `migrate.printable`, as `\x1b`, are undone."""
    if text in (".", ""):
        return ()
    if "\\" not in text:
        return tuple(text.split("/"))
    segments = [""]
    at = 0
    while at < len(text):
        char, after = text[at], at + 1
        if char == "\\":
            char, after = read_escape(text, at) or (text[at + 1 : at + 2], at + 2)
            char = "" if text[at:after] == EMPTY else char
        elif char == "/":
            segments.append("")
            char = ""
        segments[-1] += char
        at = after
    return tuple(segments)


def is_below(path: KeyPath, node: KeyPath) -> bool:
    """Whether `path` equals `node` or passes through it."""
    return path[: len(node)] == node


def natural_key(path: KeyPath) -> tuple[tuple[tuple[int, int, str], ...], ...]:
    """Returns a sort key that orders integers numerically: `layer_2` before `layer_10`, `2` before `10`."""
    return tuple(map(_segment_key, path))


@lru_cache(maxsize=1 << 16)  # a checkpoint has few distinct segments and many paths
def _segment_key(segment: str) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in _NUMBER.split(segment))


@dataclass(frozen=True, slots=True)
class AbstractArray:
    """A shape and the name of a dtype (see `migrate.dtypes`)."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The size of the dense array in host memory, in bytes."""
        return self.size * dtypes.item_bytes(self.dtype)

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Storage:
    """How a leaf is stored on disk.

    Attributes:
      driver: `zarr2`, `zarr3`, `msgpack`, …
      chunks: the shape of one chunk; None for leaves without chunks.
      codec: the compression, such as `zstd:1`.
      nbytes: the stored size in bytes; None if the format records it only in the data.
      inner: the shape of the inner chunks of each chunk (zarr 3 shards), or None.
      encoding: everything besides the shape that determines the meaning of a chunk's bytes, as text; chunks of two
        arrays with the same encoding and shape are interchangeable. None if chunks cannot be linked.
      database: whether the chunks are entries of an OCDBT database, which can be referenced, and not files.
    """

    driver: str
    chunks: tuple[int, ...] | None = None
    codec: str | None = None
    nbytes: int | None = None
    inner: tuple[int, ...] | None = None
    encoding: str | None = None
    database: bool = False


@dataclass(frozen=True, slots=True)
class Sharding:
    """A named sharding without devices: mesh axes with their sizes (one may be -1, all remaining devices), and a spec.

    `spec` has one entry per array dimension: the mesh axes over which it is split, or None. Missing entries are None.
    """

    mesh: tuple[tuple[str, int], ...]
    spec: tuple[tuple[str, ...] | None, ...] = ()

    @property
    def placed(self) -> bool:
        """Whether it has a mesh; the annotations of a template are specs without one."""
        return bool(self.mesh)

    def shard_shape(self, shape: tuple[int, ...], *, uneven: bool = False) -> tuple[int, ...]:
        """Returns the shape of one device's shard; axes of size -1 count as 1.

        Args:
          shape: the shape of the array.
          uneven: whether a dimension may be divided unevenly; the result is then the shape of the largest shard.

        Raises:
          ValueError: a dimension is not divisible, or the spec names an axis that the mesh lacks or has more entries
            than the shape.
        """
        sizes = dict(self.mesh)
        if len(self.spec) > len(shape):
            raise ValueError(f"the spec has {len(self.spec)} entries for {len(shape)} dimensions")
        parts = list(shape)
        for dim, axes in enumerate(self.spec):
            for axis in axes or ():
                if axis not in sizes:
                    raise ValueError(f"the mesh has no axis `{axis}`")
                count = max(sizes[axis], 1)
                if parts[dim] % count and not uneven:
                    raise ValueError(f"dimension {dim} of {shape} is not divisible by {count} (`{axis}`)")
                parts[dim] = -(-parts[dim] // count)
        return tuple(parts)

    def __str__(self) -> str:
        mesh = ",".join(f"{name}={size}" for name, size in self.mesh)
        spec = ",".join("+".join(axes) if axes else "-" for axes in self.spec)
        return f"{mesh}({spec})"


@dataclass(frozen=True, slots=True)
class ChunkShapes:
    """The chunks in which an array is to be written.

    Attributes:
      outer: the shape of what is stored as one value: a chunk, or a shard of zarr 3.
      inner: the shape of what is encoded and decoded at once; only in zarr 3 it may be smaller than `outer`.
    """

    outer: tuple[int, ...]
    inner: tuple[int, ...]

    def __str__(self) -> str:
        return f"{list(self.inner)} in {list(self.outer)}" if self.inner != self.outer else str(list(self.inner))


@dataclass(frozen=True, slots=True)
class AbstractLeaf:
    """A leaf without its value.

    Attributes:
      kind: `array` and `scalar` (a Python number) have an `aval`; `string`, `none`, `empty` and
        `opaque` (data that no array of JAX can hold, such as an array of text) have none.
      aval: shape and dtype; a Python `int` is `int64[]`, a `float` is `float64[]`, a `bool` is `bool[]`.
      container: the kind of the empty container, for `empty`.
      box: the level that Flax adds on disk below the canonical path (`value` or `raw_value`), or None.
      storage: how the leaf is stored on disk; None in a template.
      sharding: the saved sharding, or the one that the template requests.
      content: the type of the data of an `opaque` leaf, such as `text[2]`.
      chunks: in a target, the chunks that suit the loads to come; None where the sharding decides.
    """

    kind: Kind
    aval: AbstractArray | None = None
    container: Container = "dict"
    box: str | None = None
    storage: Storage | None = None
    sharding: Sharding | None = None
    content: str = ""
    chunks: ChunkShapes | None = None

    @property
    def has_data(self) -> bool:
        """Whether it has a value that could be lost: true for arrays, scalars, strings and opaque leaves."""
        return self.kind in _WITH_DATA

    @property
    def is_readable(self) -> bool:
        """Whether its value can be read: false for opaque leaves."""
        return self.kind != "opaque"

    @property
    def is_numeric(self) -> bool:
        """Whether it is stored as an array: true for arrays and scalars."""
        return self.kind in ("array", "scalar")

    @property
    def nbytes(self) -> int:
        """The size in host memory in bytes; 0 for leaves that are not arrays or scalars."""
        return self.aval.nbytes if self.aval else 0

    def __str__(self) -> str:
        if self.aval is not None:
            return str(self.aval) if self.kind == "array" else f"{self.aval.dtype} scalar"
        if self.kind == "opaque":
            return self.content
        return f"empty {self.container}" if self.kind == "empty" else self.kind


def stored_path(path: KeyPath, leaf: AbstractLeaf) -> KeyPath:
    """Returns the key path of a leaf on disk: the canonical path, plus the level that Flax adds below it, if any."""
    return (*path, leaf.box) if leaf.box else path


@dataclass(frozen=True)
class AbstractTree:
    """A pytree of abstract leaves.

    Attributes:
      leaves: all leaves by canonical key path, in natural order.
      containers: the kinds of inner nodes; nodes that are not listed are dicts.
    """

    leaves: Mapping[KeyPath, AbstractLeaf]
    containers: Mapping[KeyPath, Container] = field(default_factory=dict)
    _made: dict[Callable[[AbstractTree], Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def build(
        cls, leaves: Iterable[tuple[KeyPath, AbstractLeaf]], containers: Mapping[KeyPath, Container] | None = None
    ) -> AbstractTree:
        """Returns a tree with the leaves in natural order, whatever order they are passed in."""
        ordered = sorted(leaves, key=lambda pair: natural_key(pair[0]))
        return cls(dict(ordered), dict(containers or {}))

    def once(self, function: Callable[[AbstractTree], T]) -> T:
        """Returns the result of a function of this tree; the function is called only the first time."""
        if function not in self._made:
            self._made[function] = function(self)
        found: T = self._made[function]
        return found

    def container(self, path: KeyPath) -> Container:
        """Returns the kind of the inner node at `path`."""
        return self.containers.get(path, "dict")

    def prefixed(self, prefix: KeyPath) -> AbstractTree:
        """Returns the tree moved below `prefix`."""
        return AbstractTree(
            {prefix + path: leaf for path, leaf in self.leaves.items()},
            {prefix + path: kind for path, kind in self.containers.items()},
        )

    @classmethod
    def joined(cls, trees: Mapping[KeyPath, AbstractTree]) -> AbstractTree:
        """Returns one tree of several, each moved below its key path."""
        moved = [tree.prefixed(prefix) for prefix, tree in trees.items()]
        leaves = (pair for tree in moved for pair in tree.leaves.items())
        return cls.build(leaves, {path: kind for tree in moved for path, kind in tree.containers.items()})

    @cached_property
    def by_source(self) -> Mapping[KeyPath, AbstractTree]:
        """The tree of each source, by the start of its key paths; the main source has none."""
        names = dict.fromkeys(path[:1] for path in self.leaves if source_of(path))
        if not names:
            return {(): self}
        leaves = {path: leaf for path, leaf in self.leaves.items() if not source_of(path)}
        kinds = {path: kind for path, kind in self.containers.items() if path[:1] not in names}
        return {(): AbstractTree(leaves, kinds), **{name: self.below(name) for name in names}}

    def below(self, prefix: KeyPath) -> AbstractTree:
        """Returns the tree below `prefix`."""
        depth = len(prefix)
        return AbstractTree(
            {path[depth:]: leaf for path, leaf in self.leaves.items() if path[:depth] == prefix},
            {path[depth:]: kind for path, kind in self.containers.items() if path[:depth] == prefix},
        )

    @cached_property
    def with_data(self) -> Mapping[KeyPath, AbstractLeaf]:
        """The leaves with data, in natural order."""
        found = {path: leaf for path, leaf in self.leaves.items() if leaf.kind in _WITH_DATA}
        return found if len(found) < len(self.leaves) else self.leaves

    @cached_property
    def ranks(self) -> Mapping[KeyPath, int]:
        """The place of each leaf in natural order, from 0."""
        return {path: rank for rank, path in enumerate(self.leaves)}

    @cached_property
    def nbytes(self) -> int:
        """The size of all arrays in host memory, in bytes."""
        return sum(leaf.nbytes for leaf in self.leaves.values())

    @cached_property
    def signature(self) -> Mapping[str, str]:
        """The description of each leaf by key path, both as text: `{"dense/kernel": "float32[3,4]"}`."""
        return {format_path(path): str(leaf) for path, leaf in self.leaves.items()}

    @cached_property
    def structure_hash(self) -> str:
        """The SHA-256 digest of the canonical JSON of the sorted `[key path, dtype, shape]` of all leaves.

        It starts with `sha256:`. Leaves without data contribute their kind, so that a lost `None` or empty dict changes
        the hash.
        """
        return _hash_of_rows(
            (format_path(path), leaf.aval.dtype if leaf.aval else str(leaf), leaf.aval.shape if leaf.aval else None)
            for path, leaf in self.leaves.items()
        )


def _hash_of_rows(rows: Iterable[tuple[str, str, tuple[int, ...] | None]]) -> str:
    """Returns `sha256:` and the hex digest of the rows as canonical JSON, sorted by their usual JSON.

    Equal to `json.dumps(sorted(rows, key=json.dumps), separators=(",", ":"), ensure_ascii=False)`, which is slow for
    many rows: here all names are encoded at once, and each combination of dtype and shape once. A name ends with its
    quote, so that no name is the start of another, and the order of the names is that of the rows.
    """
    names: list[str] = []
    ends: list[tuple[str, str]] = []
    known: dict[tuple[str, tuple[int, ...] | None], tuple[str, str]] = {}
    for name, dtype, shape in rows:
        end = known.get((dtype, shape))
        if end is None:
            usual = json.dumps([dtype, shape])
            compact = json.dumps([dtype, shape], separators=(",", ":"), ensure_ascii=False)
            end = known[dtype, shape] = usual[1:], compact[1:]
        names.append(name)
        ends.append(end)
    whole, texts = "".join(names), _encoded(names, ensure_ascii=False)
    keys = texts if whole.isascii() and "\x7f" not in whole else _encoded(names, ensure_ascii=True)
    ordered = sorted(zip(keys, ends, texts, strict=True))
    canonical = f"[{','.join([f'[{text},{end}' for _, (_, end), text in ordered])}]"
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _encoded(names: list[str], *, ensure_ascii: bool) -> list[str]:
    """Returns the JSON of each name; no JSON of a string has a line break."""
    text = json.dumps(names, separators=("\n", ":"), ensure_ascii=ensure_ascii)
    return text[1:-1].split("\n") if names else []
