"""How the tests of bundled rule files save, migrate and restore: with plain Orbax and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from click.testing import CliRunner, Result
from flax import nnx

from migrate.cli.main import migrate
from migrate.formats.detect import open_reader
from migrate.template import restore_target
from migrate.template.user_code import load

Tree = Mapping[str, Any]


def save(path: Path, tree: Any) -> Path:
    """A checkpoint of a pytree, as Orbax writes it."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree)
    return path


def run(*arguments: str | Path) -> Result:
    """The command, whatever it answers."""
    return CliRunner().invoke(migrate, [str(argument) for argument in arguments])


def apply(rules: str | Path, source: Path, destination: Path, *more: str) -> Path:
    """A migration that has to succeed."""
    result = run("apply", rules, source, destination, *more)
    assert 0 == result.exit_code, result.output
    return destination


def leaves(path: Path) -> dict[str, np.ndarray]:
    """Every array of a checkpoint by its key path."""
    with open_reader(path) as reader:
        return {
            "/".join(key): np.asarray(reader.read(key))
            for key, leaf in reader.abstract().tree.leaves.items()
            if leaf.has_data
        }


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings by key path."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    return {k: v for key, below in tree.items() for k, v in flat(below, f"{prefix}/{key}" if prefix else key).items()}


def nested(arrays: Tree, separator: str = "/") -> dict[str, Any]:
    """The nested mapping of such leaves."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *above, last = name.split(separator)
        node = tree
        for part in above:
            node = node.setdefault(part, {})
        node[last] = array
    return tree


def same(expected: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray]) -> None:
    """Two sets of leaves have the same names, dtypes, shapes and bits."""
    assert sorted(expected) == sorted(actual)
    for name, value in expected.items():
        one, other = np.asarray(value), actual[name]
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()), name


def restored(path: Path, spec: str) -> Any:
    """What plain Orbax restores, merged into what the template makes: a module, or a dict of modules and optimizers."""
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(path, restore_target(spec, {}, "state"))
    make = load(spec)
    made = nnx.eval_shape(lambda: make(nnx.Rngs(0)) if make.__code__.co_argcount else make())
    if isinstance(made, dict):
        return {name: nnx.merge(nnx.graphdef(part), state[name]) for name, part in made.items()}
    return nnx.merge(nnx.graphdef(made), state)


@nnx.jit
def outputs(model: Any, *inputs: Any) -> Any:
    """The outputs of a model: one program compiles faster than one for each of its operations."""
    return model(*inputs)


def close(expected: Any, actual: Any) -> None:
    """Outputs agree to 1e-5."""
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(actual), strict=True):
        np.testing.assert_allclose(np.asarray(other), np.asarray(one), rtol=1e-5, atol=1e-5)
