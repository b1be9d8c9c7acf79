"""The template: the user's model as an abstract tree, exactly as Orbax would save its state.

The callable runs under abstract evaluation: its arrays are tracers, so a model of any size costs nothing. What it
returns is looked at while it is being traced, because there everything can still be told apart: a Python number from an
array, a bare array from a Variable. `nnx.eval_shape` shows less: it makes arrays of numbers and leaves bare arrays out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.codes import InvalidTemplate, UntracedArrays
from migrate.errors import CheckpointError, Diagnostic
from migrate.template.flatten import FlattenedPytree, flatten
from migrate.template.optimizers import transforms_in
from migrate.template.parts import Layout, as_abstract, item_parts, modules_in, parts_of, saved_pytree, states_of
from migrate.template.tracing import faithful, maker, traced
from migrate.template.user_code import running
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path

if TYPE_CHECKING:
    import numpy as np

_LISTED = 5
"""How many key paths a note names."""

_LONE_HELP = "return an NNX module or a dict; a single number or array needs a dict around it"


@dataclass(frozen=True)
class Template:
    """What the new model expects.

    Attributes:
      spec: how the user named it, `module:callable`.
      tree: what Orbax would save, under canonical key paths; shardings are the model's annotations and name no mesh.
      parts: the keys of the dict, or the indices of the list, that the callable returned; empty for one thing alone.
      variables: the name of the Variable type of each leaf that belongs to one, such as `Param` or `RngKey`.
      notes: what the user should know about it.
      transforms: optax's names of the transforms of its optimizers; None where it has no `nnx.Optimizer`.
    """

    spec: str
    tree: AbstractTree
    parts: tuple[str, ...] = ()
    variables: Mapping[KeyPath, str] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()
    transforms: frozenset[str] | None = None


def abstract_template(spec: str, args: Mapping[str, Any] | None = None, layout: Layout = "state") -> Template:
    """The tree that the new model expects; allocates no array.

    Args:
      spec: `module:callable`. It takes no argument, `args`, or a lone `rngs` (which gets `nnx.Rngs(0)`), and returns an
        NNX module, an optimizer, a pytree, or a dict or list of them.
      args: keyword arguments.
      layout: `state` for what Orbax saves of `nnx.state`, `pure_dict` for `nnx.to_pure_dict` of it, `items` for one
        item per top-level part.

    Raises:
      CheckpointError: it cannot be imported or called, or returns what no checkpoint can hold (M408).
    """
    make = maker(spec, args)

    def look(made: Any) -> tuple[FlattenedPytree, tuple[str, ...], list[str], frozenset[str] | None]:
        transforms = transforms_in(module for _, module in modules_in(made))
        return _flatten_parts(made, layout), tuple(parts_of(made)), _bare_arrays(made), transforms

    flat, parts, bare, transforms = traced(spec, make, look)
    if flat.unsupported or flat.lone:
        raise CheckpointError(*_unusable(spec, flat))
    variables = {
        path: type(entry.variable).__name__ for path, entry in flat.entries.items() if entry.variable is not None
    }
    return Template(spec, flat.tree, parts, variables, tuple(_notes(bare)), transforms)


def restore_target(spec: str, args: Mapping[str, Any] | None = None, layout: Layout = "state") -> Any:
    """The abstract pytree with which `StandardCheckpointer.restore` restores what was saved for this template.

    Arrays are `jax.ShapeDtypeStruct`s without a sharding. With `layout="items"` it is a dict of one pytree per item.

    Raises:
      CheckpointError: as `abstract_template` (M408).
    """
    import jax

    def look(made: Any) -> tuple[list[Any], Any]:
        leaves, treedef = jax.tree.flatten(saved_pytree(made, layout))
        return [as_abstract(leaf) for leaf in leaves], treedef

    leaves, treedef = traced(spec, maker(spec, args), look)
    return jax.tree.unflatten(treedef, leaves)


def initial_values(
    spec: str, args: Mapping[str, Any] | None, paths: Collection[KeyPath], layout: Layout = "state"
) -> dict[KeyPath, np.ndarray[Any, Any]]:
    """The values that the model's own initialiser gives to some leaves.

    The initialiser is compiled with these leaves as its only results, so that the others are never computed. Typed PRNG
    keys come as the structured dtype of `migrate.dtypes`.

    Raises:
      CheckpointError: as `abstract_template` (M408).
      KeyError: the template has no such leaf with data.
    """
    import jax

    make = maker(spec, args)
    constants: dict[KeyPath, Any] = {}
    traced: list[KeyPath] = []

    def compute() -> list[Any]:
        with faithful():
            flat = _flatten_parts(make(), layout)
        values = {path: flat.entries[path].value for path in paths if path in flat.entries}
        traced[:] = [path for path, value in values.items() if isinstance(value, jax.core.Tracer)]
        constants.update((path, value) for path, value in values.items() if path not in traced)
        return [values[path] for path in traced]

    with running(spec):
        results = jax.jit(compute)()
    unknown = [format_path(path) for path in paths if path not in constants and path not in traced]
    if unknown:
        raise KeyError(f"the template has no {', '.join(unknown)}")
    return {path: _as_numpy(value) for path, value in (*zip(traced, results, strict=True), *constants.items())}


def rng_value(leaf: AbstractLeaf, path: KeyPath, seed: int) -> np.ndarray[Any, Any]:
    """The value of a leaf of an RNG stream: a key that depends on the seed and the key path alone, or a count of zero.

    Raises:
      ValueError: it is neither a typed key nor a `count` of uint32.
    """
    import jax
    import numpy as np

    impl = dtypes.key_impl(leaf.aval.dtype) if leaf.aval else None
    if leaf.aval is not None and impl is not None:
        key = jax.random.key(0, impl=dtypes.KEY_IMPLS[impl])
        for word in np.frombuffer(hashlib.sha256(f"{seed}/{format_path(path)}".encode()).digest()[:16], "<u4"):
            key = jax.random.fold_in(key, word)
        return _as_numpy(jax.random.split(key, leaf.aval.shape) if leaf.aval.shape else key)
    if leaf.aval is not None and leaf.aval.dtype == "uint32" and path[-1:] == ("count",):
        return np.zeros(leaf.aval.shape, np.uint32)
    raise ValueError(f"`{format_path(path)}` ({leaf}) is neither the key nor the count of an RNG stream")


def _flatten_parts(made: Any, layout: Layout) -> FlattenedPytree:
    """Everything that will be saved; each item of its own is flattened by itself, as it is saved by itself."""
    if layout != "items":
        return flatten(states_of(made), boxed=layout == "state")
    parts = item_parts(made)
    return FlattenedPytree.joined({name: flatten(states_of(part), boxed=True) for name, part in parts.items()})


def _as_numpy(value: Any) -> np.ndarray[Any, Any]:
    import jax
    import numpy as np

    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        words = np.ascontiguousarray(jax.random.key_data(value))
        keys: np.ndarray[Any, Any] = words.view(dtypes.to_numpy(str(value.dtype)))[..., 0]
        return keys
    return np.asarray(value)


def _unusable(spec: str, flat: FlattenedPytree) -> Iterator[Diagnostic]:
    for path, what in flat.unsupported.items():
        yield InvalidTemplate.at(
            f"`{spec}` has {what} at `{format_path(path)}`, which no checkpoint can hold", paths=[format_path(path)]
        )
    for path in flat.lone:
        part = f"the item `{format_path(path)}` of `{spec}`" if path else f"what `{spec}` returned"
        yield InvalidTemplate.at(f"{part} is no pytree with leaves", paths=[format_path(path)], help=_LONE_HELP)


def _notes(bare: Sequence[str]) -> Iterator[Diagnostic]:
    """Says which leaves the usual template of `nnx.eval_shape` may lack."""
    if bare:
        named = ", ".join(f"`{path}`" for path in bare[:_LISTED])
        more = f" and {len(bare) - _LISTED} more" if len(bare) > _LISTED else ""
        yield UntracedArrays.at(
            f"`nnx.eval_shape` may leave out arrays that are not Variables: {named}{more}",
            paths=bare,
            help="restore with the abstract state of a real model, or make them Variables",
        )


def _bare_arrays(made: Any) -> list[str]:
    """Key paths of arrays that modules hold without a Variable."""
    from flax import nnx

    modules = list(modules_in(made))
    if not modules:
        return []
    flat = flatten(nnx.state({index: module for index, (_, module) in enumerate(modules)}), boxed=True)
    paths = [p for p, leaf in flat.tree.leaves.items() if leaf.kind == "array" and flat.entries[p].variable is None]
    return [format_path((*modules[int(path[0])][0], *path[1:])) for path in paths]
