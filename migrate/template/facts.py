"""The facts about a model that its checkpoint records beside the tree: its graph, code, hyperparameters, optimizer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from migrate.template.flatten import flatten
from migrate.template.optimizers import transforms_in, transforms_of
from migrate.template.parts import modules_in, states_of
from migrate.template.source_digests import is_own_class, source_digests
from migrate.tree import AbstractTree

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_OF_TRACING = frozenset({"eager_sharding", "mesh"})
"""Metadata of Variables that depends on how the model was built."""
_OF_MODES = frozenset({"deterministic", "use_running_average", "decode"})
"""Attributes that `Module.train` and `Module.eval` change."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known about a model beside its tree; all values are plain JSON.

    Attributes:
      graph_digest: of the graph definition: types, static attributes and shared parts; None without NNX modules.
      code_digests: of the model's classes and of what they use of their package, by module.
      hyperparameters: the plain attributes that have one value in the whole model.
      attributes: every value that a plain attribute has in the model.
      transforms: the optax names of the transforms of its optimizers.
    """

    graph_digest: str | None = None
    code_digests: Mapping[str, str] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    transforms: tuple[str, ...] = ()

    @property
    def recorded(self) -> dict[str, Any]:
        """The fields of a checkpoint's record that it fills, by their names there."""
        return {
            "graph_digest": self.graph_digest,
            "code_digests": dict(self.code_digests),
            "hyperparameters": dict(self.hyperparameters),
            "transforms": self.transforms,
        }


def facts_of(result: Any) -> ModelFacts:
    """Returns the facts about a model, or about a container of modules and pytrees; reads no array.

    Args:
      result: the model, with arrays or with tracers.
    """
    roots = [module for _, module in modules_in(result)]
    modules = list(_modules(roots))
    transforms = transforms_in(roots) or transforms_of(_optimizers(result))
    own, everywhere = _attributes(modules)
    return ModelFacts(
        graph_digest=_graph_digest(roots) if roots else None,
        code_digests=source_digests({type(module) for module in (*modules, *_linen_module(result))}),
        hyperparameters={name: values[0] for name, values in own.items() if len(everywhere[name]) == 1},
        attributes={name: tuple(values) for name, values in everywhere.items()},
        transforms=tuple(sorted(transforms)),
    )


def tree_of(result: Any) -> AbstractTree:
    """Returns the tree that Orbax saves of a model, or of a container of modules and pytrees."""
    return flatten(states_of(result), boxed=True).tree


def plain(value: Any) -> Any:
    """Returns a value as plain JSON: tuples as lists, NumPy's numbers as Python's, dataclasses as mappings.

    Raises:
      TypeError: it, or a part of it, has no such form.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: plain(item) for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, bool | int | float | str) or (hasattr(value, "item") and getattr(value, "shape", None) == ()):
        number = value.item() if hasattr(value, "item") else value
        base = next(kind for kind in (bool, int, float, str) if isinstance(number, kind))
        return base(number)
    name = getattr(value, "__name__", None) if isinstance(value, type) else getattr(value, "name", None)
    if isinstance(name, str) and (hasattr(value, "itemsize") or hasattr(value, "dtype")):
        return name
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def _modules(roots: Iterable[Any]) -> Iterator[Any]:
    """Yields every module, each once."""
    roots = list(roots)
    if not roots:
        return
    from flax import nnx

    for _, node in nnx.iter_graph(roots):
        if isinstance(node, nnx.Module):
            yield node


def _optimizers(result: Any) -> list[Any]:
    """Returns the optax transforms of training states that are no NNX modules, such as Flax's `TrainState`."""
    return [result.tx] if hasattr(result, "tx") else []


def _linen_module(result: Any) -> list[Any]:
    """Returns the Linen module whose `apply` a training state has."""
    module = getattr(getattr(result, "apply_fn", None), "__self__", None)
    return [] if module is None else [module]


def _attributes(modules: Iterable[Any]) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Returns the values of plain attributes that are hyperparameters, and of all plain attributes, by name."""
    own: dict[str, list[Any]] = {}
    everywhere: dict[str, list[Any]] = {}
    for module in modules:
        mine = is_own_class(type(module))
        for name, value in _plain_attributes(module):
            _add(everywhere, name, value)
            if mine or _is_hidden_by_shapes(name, value):
                _add(own, name, value)
    return own, everywhere


def _is_hidden_by_shapes(name: str, value: Any) -> bool:
    """Whether an attribute of Flax's layers decides what arrays mean; the sizes of layers show in their shapes."""
    return type(value) is int and (name.startswith("num_") or name == "head_dim")


def _add(found: dict[str, list[Any]], name: str, value: Any) -> None:
    values = found.setdefault(name, [])
    if value not in values:
        values.append(value)


def _plain_attributes(module: Any) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if name.startswith("_") or name in _OF_MODES:
            continue
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
            yield from ((inner, plain(given)) for inner, given in fields if _is_plain(given))
        elif _is_plain(value):
            yield name, plain(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(_is_plain(item) for item in value)
    return type(value) in (bool, int, float, str)


def _graph_digest(roots: list[Any]) -> str | None:
    from flax import nnx

    graph = nnx.split(dict(enumerate(roots)))[0]
    if not hasattr(graph, "nodes") or not hasattr(graph, "attributes"):
        return None
    nodes = [[_type(node), node.index, _metadata(node)] for node in graph.nodes]
    attributes = [
        [_static(name), _static(getattr(attribute, "value", None))]
        for name, attribute in graph.attributes
        if not str(name).startswith("_pytree__")
    ]
    text = json.dumps([nodes, attributes], separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _type(node: Any) -> str:
    kind = getattr(node, "type", None)
    return str(getattr(kind, "__qualname__", kind if kind is not None else type(node).__name__))


def _metadata(node: Any) -> Any:
    metadata = getattr(node, "metadata", None)
    if isinstance(metadata, Mapping):
        return _static({name: value for name, value in metadata.items() if name not in _OF_TRACING})
    return _static(metadata)


def _static(value: Any) -> Any:
    """Returns a static value as JSON that is the same in every process."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return sorted(([str(name), _static(item)] for name, item in value.items()), key=lambda pair: str(pair[0]))
    if isinstance(value, list | tuple):
        return [_static(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, map(_static, value)))
    if hasattr(value, "__qualname__"):
        return str(value.__qualname__)
    if hasattr(value, "func") and hasattr(value, "args"):
        return [_static(value.func), _static(value.args), _static(value.keywords)]
    return _ADDRESS.sub("", repr(value))
