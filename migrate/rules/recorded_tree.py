"""The abstract tree of a model as a file, `N.tree.json` for one version or `NAME.tree.json` of `migrate template`.

It stands for a template whose code exists no longer, or is not to be traced again: key paths, shapes, dtypes, kinds of
containers, and the names of the optimizer's transforms. It is read without JAX and without the model's code.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from migrate.codes import InvalidRecordedTree, ModelNeeded
from migrate.errors import RuleFileError, UsageError
from migrate.template.facts import ModelFacts
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
"""The end of the file's name; of a version's tree, the version is before it."""

_FORMAT = 1
_KINDS = ("array", "scalar", "string", "none", "empty")
_CONTAINERS = ("dict", "list", "tuple")

_SortedPath = tuple[Any, KeyPath]
"""A key path after its sort key in natural order."""

LAYOUTS = ("state", "pure_dict", "items")
"""The layouts in which the tree of a template can be recorded."""


@dataclass(frozen=True, slots=True)
class TracedCall:
    """The call of a template that `migrate template` recorded.

    Attributes:
      template: the callable, as `module:callable`.
      args: its keyword arguments.
      layout: the layout of the tree.
      facts: what a checkpoint of the model records beside its tree.
      variables: the Variable type of each leaf that belongs to a Variable, such as `Param` or `RngKey`.
    """

    template: str
    args: Mapping[str, Any] = field(default_factory=dict)
    layout: str = "state"
    facts: ModelFacts = field(default_factory=ModelFacts)
    variables: Mapping[KeyPath, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedTree:
    """The tree of a model; serves as the target of a plan.

    Attributes:
      spec: the file, or the template that it was recorded from.
      model: the model's name.
      version: its version; None where the file is that of no version.
      tree: the tree of the template, with the level that Flax adds on disk and the annotated shardings.
      transforms: optax's names of the transforms of its optimizers; None where they are unknown.
      x64: whether its dtypes of 64 bits are intended.
      call: the call that made the tree; None where only the tree is known.
    """

    spec: str
    model: str | None
    version: int | str | None
    tree: AbstractTree
    transforms: frozenset[str] | None = None
    x64: bool = True
    call: TracedCall | None = None

    @property
    def file(self) -> Path:
        """Its path, where `spec` is a file."""
        return Path(self.spec)


def is_recorded_tree(template: str | None) -> bool:
    """Returns whether a template is named by the file of its recorded tree instead of `module:callable`."""
    return template is not None and template.endswith(SUFFIX)


def require_callable(template: str, need: str) -> None:
    """Refuses a recorded tree where the code of the model is needed.

    Args:
      template: the template as it was named.
      need: what needs the code, as the beginning of a sentence.

    Raises:
      UsageError: it is a recorded tree (`ModelNeeded`).
      RuleFileError: its file cannot be read (`InvalidRecordedTree`).
    """
    if not is_recorded_tree(template):
        return
    call = read_tree(Path(template)).call
    advice = f"name the model: `--template {call.template if call else 'module:callable'}`"
    raise UsageError(ModelNeeded.at(f"{need} the model, and {template} records only its tree", help=advice))


def tree_text(recorded: RecordedTree) -> str:
    """Returns the content of the file: JSON with one line for each leaf, the same bytes for equal trees."""
    head = {
        "migrate": _FORMAT,
        "model": recorded.model,
        **({} if recorded.version is None else {"version": recorded.version}),
        **({} if recorded.call is None else _call_data(recorded.call)),
        "structure": recorded.tree.structure_hash,
        "transforms": None if recorded.transforms is None else sorted(recorded.transforms),
        "x64": recorded.x64,
        "containers": {format_path(path): kind for path, kind in sorted(recorded.tree.containers.items())},
    }
    variables = recorded.call.variables if recorded.call else {}
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()]
    leaves = [
        f"    {json.dumps(format_path(path))}: {json.dumps(_leaf_data(leaf, variables.get(path)))}"
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
                _typed(data, "version", (int, str)) if "version" in data or "template" not in data else None,
                self._tree(_typed(data, "leaves", (dict,)), data.get("containers", {})),
                None if data.get("transforms") is None else frozenset(map(str, data["transforms"])),
                bool(data.get("x64", True)),
                _call(data) if "template" in data else None,
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


def _call(data: Mapping[str, Any]) -> TracedCall:
    facts = _typed(data, "facts", (dict,))
    return TracedCall(
        _typed(data, "template", (str,)),
        _typed(data, "args", (dict,)),
        _one_of(data["layout"], LAYOUTS),
        ModelFacts(
            _typed(facts, "graph_digest", (str, type(None))),
            _typed(facts, "code_digests", (dict,)),
            _typed(facts, "hyperparameters", (dict,)),
            {name: tuple(values) for name, values in _typed(facts, "attributes", (dict,)).items()},
            tuple(map(str, _typed(facts, "transforms", (list,)))),
        ),
        {parse_path(path): str(leaf["variable"]) for path, leaf in data["leaves"].items() if "variable" in leaf},
    )


def _one_of(value: Any, known: Iterable[str]) -> Any:
    if value not in known:
        raise ValueError(f"`{value}` is none of {', '.join(known)}")
    return value


def _call_data(call: TracedCall) -> dict[str, Any]:
    return {"template": call.template, "args": call.args, "layout": call.layout, "facts": asdict(call.facts)}


def _leaf_data(leaf: AbstractLeaf, variable: str | None) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": leaf.kind}
    if leaf.aval is not None:
        data |= {"dtype": leaf.aval.dtype, "shape": list(leaf.aval.shape)}
    if leaf.kind == "empty":
        data["container"] = leaf.container
    if leaf.box:
        data["box"] = leaf.box
    if leaf.sharding is not None:
        data["spec"] = [list(axes) if axes else None for axes in leaf.sharding.spec]
    if variable is not None:
        data["variable"] = variable
    return data


def _invalid(file: Path, what: str) -> RuleFileError:
    return RuleFileError(
        InvalidRecordedTree.at(
            f"the recorded tree {file} {what}",
            help="restore it from version control, or write it again with `migrate new` or `migrate template`",
        )
    )
