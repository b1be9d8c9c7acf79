"""Key paths and abstract trees: what every floor above says about a checkpoint without holding one of its bytes.

The words are JAX's own: a pytree has containers and leaves, a key path leads from the root to a leaf, an abstract
array is a shape and a dtype. Key paths are tuples of strings, as Orbax stores them; whether a node was a list, a tuple
or a dict is kept beside them, in `AbstractTree.containers`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

from migrate import dtypes

KeyPath = tuple[str, ...]
Kind = Literal["array", "scalar", "string", "none", "empty"]
Container = Literal["dict", "list", "tuple"]

_SPECIAL = re.compile(r"([\\/{}*])")
_ESCAPED = re.compile(r"[\\{}*]")
_NUMBER = re.compile(r"(\d+)")


def format_path(path: KeyPath) -> str:
    r"""A key path as people write it: segments joined by `/`, with `\` before a character that patterns treat
    specially.

    What it prints can be pasted into a rule file. The root prints as `.`.
    """
    text = "/".join(path)
    if text and not _ESCAPED.search(text) and text.count("/") == len(path) - 1:
        return text  # nearly every path, and there are many
    return "/".join(_SPECIAL.sub(r"\\\1", segment) for segment in path) or "."


def parse_path(text: str) -> KeyPath:
    """The key path that `format_path` printed."""
    if text in (".", ""):
        return ()
    segments, current, escaped = [], "", False
    for char in text:
        if escaped or char not in "\\/":
            current, escaped = current + char, False
        elif char == "\\":
            escaped = True
        else:
            segments.append(current)
            current = ""
    return (*segments, current)


def is_below(path: KeyPath, node: KeyPath) -> bool:
    """Whether a key path is that of a node or leads through it."""
    return path[: len(node)] == node


def natural_key(path: KeyPath) -> tuple[tuple[tuple[int, int, str], ...], ...]:
    """A sort key under which integers sort as integers: `layer_2` before `layer_10`, `2` before `10`."""
    return tuple(map(_segment_key, path))


@lru_cache(maxsize=1 << 16)  # a checkpoint has few different segments and many paths
def _segment_key(segment: str) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in _NUMBER.split(segment))


@dataclass(frozen=True, slots=True)
class AbstractArray:
    """A shape and the name of a dtype (see `migrate.dtypes`)."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the dense array in host memory."""
        return self.size * dtypes.item_bytes(self.dtype)

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Storage:
    """How a leaf lies on disk.

    Attributes:
      driver: `zarr2`, `zarr3`, `msgpack`, …
      chunks: the shape of one chunk; None where there are none.
      codec: what compresses it, such as `zstd:1`.
      nbytes: stored bytes; None where the format does not say without reading.
      inner: the shape of the parts into which each chunk is divided again (zarr 3 shards), or None.
      encoding: everything that the bytes of a chunk mean beyond its shape, as text; chunks of two arrays with one
        encoding and one shape are interchangeable. None where chunks cannot be taken over as they are.
      database: whether the chunks are entries of an OCDBT database, which can be referred to, and not files.
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
    """A named sharding without devices: mesh axes with their sizes (one may be -1, "as many as there are"), and a spec.

    `spec` has one entry per array dimension (missing ones are None): the mesh axes over which it is split.
    """

    mesh: tuple[tuple[str, int], ...]
    spec: tuple[tuple[str, ...] | None, ...] = ()

    @property
    def placed(self) -> bool:
        """Whether there is a mesh; a template's annotation is a spec without one."""
        return bool(self.mesh)

    def shard_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one device's part; open axes (-1) count as one.

        Raises:
          ValueError: a dimension is not divisible, the spec names an axis that the mesh lacks or is longer than the
            shape.
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
                if parts[dim] % count:
                    raise ValueError(f"dimension {dim} of {shape} is not divisible by {count} (`{axis}`)")
                parts[dim] //= count
        return tuple(parts)

    def __str__(self) -> str:
        mesh = ",".join(f"{name}={size}" for name, size in self.mesh)
        spec = ",".join("+".join(axes) if axes else "-" for axes in self.spec)
        return f"{mesh}({spec})"


@dataclass(frozen=True, slots=True)
class AbstractLeaf:
    """One leaf without its value.

    Attributes:
      kind: `array` and `scalar` (a Python number) have an `aval`; `string`, `none` and `empty` have none.
      aval: shape and dtype; a Python `int` is `int64[]`, a `float` is `float64[]`, a `bool` is `bool[]`.
      container: for `empty`, what kind of empty container it is.
      box: the level that Flax adds on disk below the canonical path (`value` or `raw_value`), if there is one.
      storage: how the leaf lies on disk; None in a template.
      sharding: the sharding that was saved, or that the template asks for.
    """

    kind: Kind
    aval: AbstractArray | None = None
    container: Container = "dict"
    box: str | None = None
    storage: Storage | None = None
    sharding: Sharding | None = None

    @property
    def has_data(self) -> bool:
        """Whether there is a value that could be lost: true for arrays, scalars and strings."""
        return self.kind in ("array", "scalar", "string")

    @property
    def is_numeric(self) -> bool:
        """Whether it is stored as an array: true for arrays and scalars."""
        return self.kind in ("array", "scalar")

    @property
    def nbytes(self) -> int:
        """Bytes in host memory; 0 for what is not an array or scalar."""
        return self.aval.nbytes if self.aval else 0

    def __str__(self) -> str:
        if self.aval is not None:
            return str(self.aval) if self.kind == "array" else f"{self.aval.dtype} scalar"
        return f"empty {self.container}" if self.kind == "empty" else self.kind


def stored_path(path: KeyPath, leaf: AbstractLeaf) -> KeyPath:
    """The key path of a leaf on disk: its canonical one, and Flax's level below it where it has one."""
    return (*path, leaf.box) if leaf.box else path


@dataclass(frozen=True)
class AbstractTree:
    """A pytree of abstract leaves.

    Attributes:
      leaves: every leaf by canonical key path, in natural order.
      containers: the kind of every inner node; a node that is not listed is a dict.
    """

    leaves: Mapping[KeyPath, AbstractLeaf]
    containers: Mapping[KeyPath, Container] = field(default_factory=dict)

    @classmethod
    def build(
        cls, leaves: Iterable[tuple[KeyPath, AbstractLeaf]], containers: Mapping[KeyPath, Container] | None = None
    ) -> AbstractTree:
        """A tree whose leaves are in natural order, whatever the order in which they came."""
        ordered = sorted(leaves, key=lambda pair: natural_key(pair[0]))
        return cls(dict(ordered), dict(containers or {}))

    def container(self, path: KeyPath) -> Container:
        """The kind of the inner node at `path`."""
        return self.containers.get(path, "dict")

    def prefixed(self, prefix: KeyPath) -> AbstractTree:
        """The same tree below `prefix`."""
        return AbstractTree(
            {prefix + path: leaf for path, leaf in self.leaves.items()},
            {prefix + path: kind for path, kind in self.containers.items()},
        )

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all arrays in host memory."""
        return sum(leaf.nbytes for leaf in self.leaves.values())

    @cached_property
    def signature(self) -> Mapping[str, str]:
        """What every leaf is, as text, by key path as text: `{"dense/kernel": "float32[3,4]"}`."""
        return {format_path(path): str(leaf) for path, leaf in self.leaves.items()}

    @cached_property
    def structure_hash(self) -> str:
        """`sha256:` and the digest of the canonical JSON of the sorted `[key path, dtype, shape]` of every leaf.

        Leaves without data take part by their kind, so that a lost `None` or empty dict changes the hash.
        """
        return hash_signature(
            [
                format_path(path),
                leaf.aval.dtype if leaf.aval else str(leaf),
                list(leaf.aval.shape) if leaf.aval else None,
            ]
            for path, leaf in self.leaves.items()
        )


def hash_signature(rows: Iterable[list[object]]) -> str:
    """`sha256:` and the hex digest of rows that were sorted and written as canonical JSON."""
    canonical = json.dumps(sorted(rows, key=json.dumps), separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
