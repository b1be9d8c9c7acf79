"""The template: the user's model as an abstract tree, exactly as Orbax saves its state.

The callable runs under abstract evaluation: its arrays are tracers, so that a model of any size needs no memory. Its
result is examined during tracing, where a Python number still differs from an array and a bare array from a Variable.
`nnx.eval_shape` loses both: it converts numbers to arrays and omits bare arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.codes import InvalidTemplate, UntracedArrays
from migrate.errors import CheckpointError, Diagnostic
from migrate.template.facts import ModelFacts, facts_of
from migrate.template.flatten import FlattenedPytree, flatten
from migrate.template.optimizers import transforms_in
from migrate.template.parts import Layout, as_abstract, item_parts, modules_in, parts_of, saved_pytree, states_of
from migrate.template.tracing import faithful_tracing, template_callable, trace, tracing_advice
from migrate.template.user_code import running
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path

if TYPE_CHECKING:
    import numpy as np

_LISTED = 5
"""The maximum number of key paths in a note."""

_LONE_HELP = "return an NNX module or a dict; put a single number or array in a dict"


@dataclass(frozen=True)
class Template:
    """The tree that the new model expects.

    Attributes:
      spec: the name that the user gave, `module:callable`.
      tree: the tree that Orbax saves, with canonical key paths; shardings are the model's annotations without a mesh.
      parts: the keys of the dict or the indices of the list that the callable returned; empty for other objects.
      variables: the Variable type of each leaf that belongs to a Variable, such as `Param` or `RngKey`.
      notes: notes for the user.
      transforms: the optax names of its optimizers' transforms; None without an `nnx.Optimizer`.
      x64: whether JAX has dtypes of 64 bits; without them, it narrows what the model asks for.
      facts: what a checkpoint of the model records beside its tree.
    """

    spec: str
    tree: AbstractTree
    parts: tuple[str, ...] = ()
    variables: Mapping[KeyPath, str] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()
    transforms: frozenset[str] | None = None
    x64: bool = True
    facts: ModelFacts = field(default_factory=ModelFacts)


def abstract_template(spec: str, args: Mapping[str, Any] | None = None, layout: Layout = "state") -> Template:
    """Returns the template of a callable; allocates no array.

    Args:
      spec: `module:callable`. It takes no arguments, `args`, or a single `rngs` (`nnx.Rngs(0)` is passed), and returns
        an NNX module, an optimizer, a pytree, or a dict or list of them.
      args: keyword arguments.
      layout: `state` for `nnx.state`, `pure_dict` for `nnx.to_pure_dict` of it, `items` for one item per top-level
        part.

    Raises:
      CheckpointError: it cannot be imported or called, or no checkpoint can contain its result (`InvalidTemplate`).
    """
    return trace(spec, template_callable(spec, args), lambda result: described(result, spec, layout))


def described(result: Any, spec: str, layout: Layout = "state") -> Template:
    """Returns the template of an object: of a callable's result, or of a live or abstract model.

    Args:
      result: an NNX module, an optimizer, a pytree, or a dict or list of them; its arrays may be tracers or abstract.
      spec: the name that messages give it.
      layout: as for `abstract_template`.

    Raises:
      CheckpointError: no checkpoint can contain it (`InvalidTemplate`).
    """
    import jax

    flat = _flatten_parts(result, layout)
    if layout == "items":
        flat = replace(flat, lone=tuple(path for path in flat.lone if not _is_key(flat.tree.leaves.get(path))))
    if flat.unsupported or flat.lone:
        raise CheckpointError(*_unusable(spec, flat))
    variables = {
        path: type(entry.variable).__name__ for path, entry in flat.entries.items() if entry.variable is not None
    }
    return Template(
        spec=spec,
        tree=flat.tree,
        parts=tuple(parts_of(result)),
        variables=variables,
        notes=tuple(_notes(_bare_arrays(result))),
        transforms=transforms_in(module for _, module in modules_in(result)),
        x64=jax.config.jax_enable_x64,
        facts=facts_of(result),
    )


def restore_target(spec: str, args: Mapping[str, Any] | None = None, layout: Layout = "state") -> Any:
    """Returns the abstract pytree with which `StandardCheckpointer.restore` restores a checkpoint of this template.

    Arrays are `jax.ShapeDtypeStruct`s without a sharding. With `layout="items"` it is a dict of one pytree per item.

    Raises:
      CheckpointError: as `abstract_template`.
    """
    import jax

    def look(result: Any) -> tuple[list[Any], Any]:
        leaves, treedef = jax.tree.flatten(saved_pytree(result, layout))
        return [as_abstract(leaf) for leaf in leaves], treedef

    leaves, treedef = trace(spec, template_callable(spec, args), look)
    return jax.tree.unflatten(treedef, leaves)


def initial_values(
    spec: str, args: Mapping[str, Any] | None, paths: Collection[KeyPath], layout: Layout = "state"
) -> dict[KeyPath, np.ndarray[Any, Any]]:
    """Returns the values of some leaves from the model's own initializer.

    The initializer is compiled with these leaves as its only results, so that the others are never computed. Typed PRNG
    keys have the structured dtype of `migrate.dtypes`.

    Raises:
      CheckpointError: as `abstract_template`.
      KeyError: the template has no such leaf with data.
    """
    import jax

    make = template_callable(spec, args)
    constants: dict[KeyPath, Any] = {}
    traced: list[KeyPath] = []

    def compute() -> list[Any]:
        with faithful_tracing():
            flat = _flatten_parts(make(), layout)
        values = {path: flat.entries[path].value for path in paths if path in flat.entries}
        traced[:] = [path for path, value in values.items() if isinstance(value, jax.core.Tracer)]
        constants.update((path, value) for path, value in values.items() if path not in traced)
        return [values[path] for path in traced]

    with running(spec, advise=tracing_advice):
        results = jax.jit(compute)()
    unknown = [format_path(path) for path in paths if path not in constants and path not in traced]
    if unknown:
        raise KeyError(f"the template has no {', '.join(unknown)}")
    return {path: _as_numpy(value) for path, value in (*zip(traced, results, strict=True), *constants.items())}


def rng_value(leaf: AbstractLeaf, path: KeyPath, seed: int) -> np.ndarray[Any, Any]:
    """Returns the value of an RNG stream's leaf: a key that depends only on seed and key path, or a count of zero.

    Raises:
      ValueError: the leaf is neither a typed key nor a `count` of uint32.
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


def _flatten_parts(result: Any, layout: Layout) -> FlattenedPytree:
    """Returns the flattened pytree to save; items are flattened separately, as they are saved separately."""
    if layout != "items":
        return flatten(states_of(result), boxed=layout == "state")
    parts = item_parts(result)
    return FlattenedPytree.joined({name: flatten(states_of(part), boxed=True) for name, part in parts.items()})


def _is_key(leaf: AbstractLeaf | None) -> bool:
    """Returns whether a leaf is a random key or its words: Orbax saves it as an item of its own."""
    if leaf is None or leaf.aval is None or leaf.kind != "array":
        return False
    words = leaf.aval.dtype == "uint32" and leaf.aval.shape[-1:] in {(count,) for count in dtypes.KEY_WORDS.values()}
    return words or dtypes.key_impl(leaf.aval.dtype) is not None


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
            f"`{spec}` has {what} at `{format_path(path)}`, which checkpoints cannot contain", paths=[format_path(path)]
        )
    for path in flat.lone:
        part = f"the item `{format_path(path)}` of `{spec}`" if path else f"the result of `{spec}`"
        yield InvalidTemplate.at(
            f"{part} is not a pytree with leaves below its root", paths=[format_path(path)], help=_LONE_HELP
        )


def _notes(bare: Sequence[str]) -> Iterator[Diagnostic]:
    """Yields a note on the leaves that `nnx.eval_shape` may omit."""
    if bare:
        named = ", ".join(f"`{path}`" for path in bare[:_LISTED])
        more = f" and {len(bare) - _LISTED} more" if len(bare) > _LISTED else ""
        yield UntracedArrays.at(
            f"`nnx.eval_shape` may omit arrays that are not Variables: {named}{more}",
            paths=bare,
            help="restore with the abstract state of a real model, or make them Variables",
        )


def _bare_arrays(result: Any) -> list[str]:
    """Returns the key paths of arrays that modules contain outside Variables."""
    modules = list(modules_in(result))
    if not modules:
        return []
    from flax import nnx

    flat = flatten(nnx.state({index: module for index, (_, module) in enumerate(modules)}), boxed=True)
    paths = [p for p, leaf in flat.tree.leaves.items() if leaf.kind == "array" and flat.entries[p].variable is None]
    return [format_path((*modules[int(path[0])][0], *path[1:])) for path in paths]
