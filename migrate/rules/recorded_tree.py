"""The abstract tree of one version of a model as a file, `N.tree.json`.

It stands for a template whose code exists no longer: key paths, shapes, dtypes, kinds of containers, and the names of
the optimizer's transforms. It is read without JAX and without the model's code.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrate.codes import InvalidRecordedTree
from migrate.errors import RuleFileError
from migrate.tree import (
    AbstractArray,
    AbstractLeaf,
    AbstractTree,
    KeyPath,
    Sharding,
    format_path,
    natural_key,
    parse_path,
)

SUFFIX = ".tree.json"
"""The end of the file's name; the version is before it."""

_FORMAT = 1
_KINDS = ("array", "scalar", "string", "none", "empty")
_CONTAINERS = ("dict", "list", "tuple")

_SortedPath = tuple[Any, KeyPath]
"""A key path after its sort key in natural order."""


@dataclass(frozen=True, slots=True)
class RecordedTree:
    """The tree of one version; serves as the target of a plan.

    Attributes:
      spec: the file, or the template that it was recorded from.
      model: the model's name.
      version: its version.
      tree: the tree of the template, with the level that Flax adds on disk and the annotated shardings.
      transforms: optax's names of the transforms of its optimizers; None where they are unknown.
      x64: whether its dtypes of 64 bits are intended.
    """

    spec: str
    model: str | None
    version: int | str
    tree: AbstractTree
    transforms: frozenset[str] | None = None
    x64: bool = True

    @property
    def file(self) -> Path:
        """Its path, where `spec` is a file."""
        return Path(self.spec)


def tree_text(recorded: RecordedTree) -> str:
    """Returns the content of the file: JSON with one line for each leaf, the same bytes for equal trees."""
    head = {
        "migrate": _FORMAT,
        "model": recorded.model,
        "version": recorded.version,
        "structure": recorded.tree.structure_hash,
        "transforms": None if recorded.transforms is None else sorted(recorded.transforms),
        "x64": recorded.x64,
        "containers": {format_path(path): kind for path, kind in sorted(recorded.tree.containers.items())},
    }
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()]
    leaves = [
        f"    {json.dumps(format_path(path))}: {json.dumps(_leaf_data(leaf))}"
        for path, leaf in recorded.tree.leaves.items()
    ]
    body = ",\n".join(leaves)
    return "\n".join(["{", *lines, f'  "leaves": {{\n{body}\n  }}' if leaves else '  "leaves": {}', "}", ""])


class TreeReader:
    """Reads recorded trees. Those of one folder share their key paths and leaves, most of which are equal."""

    def __init__(self) -> None:
        self._paths: dict[str, _SortedPath] = {}
        self._leaves: dict[Hashable, AbstractLeaf] = {}
        self._arrays: dict[tuple[tuple[int, ...], str], AbstractArray] = {}

    def read(self, file: Path) -> RecordedTree:
        """Returns the tree that a file records.

        Raises:
          RuleFileError: the file cannot be read or is invalid (`InvalidRecordedTree`).
        """
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise _invalid(file, f"cannot be read: {error}") from None
        if not isinstance(data, Mapping) or data.get("migrate") != _FORMAT:
            raise _invalid(file, f"has no field `migrate` with the value {_FORMAT}")
        try:
            made = RecordedTree(
                str(file),
                _typed(data, "model", (str, type(None))),
                _typed(data, "version", (int, str)),
                self._tree(_typed(data, "leaves", (dict,)), data.get("containers", {})),
                None if data.get("transforms") is None else frozenset(map(str, data["transforms"])),
                bool(data.get("x64", True)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _invalid(file, f"has an invalid field: {error}") from None
        if made.tree.structure_hash != data.get("structure"):
            raise _invalid(file, "was edited: its leaves do not have the structure hash that it records")
        return made

    def _tree(self, leaves: Mapping[str, Any], containers: Mapping[str, Any]) -> AbstractTree:
        known = self._paths
        rows = [(known.get(text) or self._path(text), self._leaf(leaf)) for text, leaf in leaves.items()]
        rows.sort(key=lambda row: row[0][0])
        kinds = {parse_path(path): _one_of(kind, _CONTAINERS) for path, kind in containers.items()}
        return AbstractTree({path: leaf for (_, path), leaf in rows}, kinds)

    def _path(self, text: str) -> _SortedPath:
        path = parse_path(text)
        return self._paths.setdefault(text, (natural_key(path), path))

    def _leaf(self, data: Mapping[str, Any]) -> AbstractLeaf:
        shape = tuple(data["shape"]) if "shape" in data else None
        others = data.get("container"), data.get("box"), str(data.get("spec"))
        key = data["kind"], shape, data.get("dtype"), *others
        found = self._leaves.get(key)
        return found or self._leaves.setdefault(key, self._made(data))

    def _made(self, data: Mapping[str, Any]) -> AbstractLeaf:
        """Returns a leaf that no file had before."""
        aval = self._array(tuple(map(int, data["shape"])), str(data["dtype"])) if "shape" in data else None
        spec = data.get("spec")
        axes = None if spec is None else tuple(tuple(axes) if axes else None for axes in spec)
        kind, container = _one_of(data["kind"], _KINDS), _one_of(data.get("container", "dict"), _CONTAINERS)
        sharding = None if axes is None else Sharding((), axes)
        return AbstractLeaf(kind, aval, container=container, box=data.get("box"), sharding=sharding)

    def _array(self, shape: tuple[int, ...], dtype: str) -> AbstractArray:
        return self._arrays.setdefault((shape, dtype), AbstractArray(shape, dtype))


def read_tree(file: Path) -> RecordedTree:
    """Returns the tree that a file records; see `TreeReader`, which reads several."""
    return TreeReader().read(file)


def _typed(data: Mapping[str, Any], name: str, types: tuple[type, ...]) -> Any:
    value = data[name]
    if not isinstance(value, types) or isinstance(value, bool):
        raise TypeError(f"`{name}` is {value!r}")
    return value


def _one_of(value: Any, known: Iterable[str]) -> Any:
    if value not in known:
        raise ValueError(f"`{value}` is none of {', '.join(known)}")
    return value


def _leaf_data(leaf: AbstractLeaf) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": leaf.kind}
    if leaf.aval is not None:
        data |= {"dtype": leaf.aval.dtype, "shape": list(leaf.aval.shape)}
    if leaf.kind == "empty":
        data["container"] = leaf.container
    if leaf.box:
        data["box"] = leaf.box
    if leaf.sharding is not None:
        data["spec"] = [list(axes) if axes else None for axes in leaf.sharding.spec]
    return data


def _invalid(file: Path, what: str) -> RuleFileError:
    return RuleFileError(
        InvalidRecordedTree.at(
            f"the recorded tree {file} {what}",
            help="restore it from version control, or write it again with `migrate new`",
        )
    )
