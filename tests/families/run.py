"""Runs one row: the original model, the way to the other library, its logits, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

import migrate
from migrate.rules.loader import parse_rules
from migrate.rules.recorded_tree import tree_text
from tests.bundled.migrating import leaves
from tests.families import golden, huggingface, maxtext_trees, trained, ways
from tests.families.check import Figures, differing, digests, relative
from tests.families.rows import Row

MODULES = {
    "tunix": "tests.families.tunix_models",
    "nnx": "tests.families.nnx_models",
    "maxtext": "tests.families.maxtext_trees",
}
"""The module of the models of each library: `make` returns a row's model, `logits` what it computes."""

VERSIONS = ("transformers", "torch", "google-tunix", "jax", "flax", "orbax-checkpoint")


def run(row: Row, folder: Path, *, keep: bool = False) -> Figures:
    """Measures a row in an empty folder; `keep` writes its golden values, too."""
    return _trained(row, folder, keep=keep) if row.trained else _untrained(row, folder, keep=keep)


def _untrained(row: Row, folder: Path, *, keep: bool) -> Figures:
    source = huggingface.save(row, folder / "old")
    inputs, expected = huggingface.inputs(row), huggingface.outputs(row, source.parent)
    tree = _recorded(row, folder)
    new = ways.there(row, source, folder, tree)
    file = ways.back(row, source, new, folder, tree)
    huggingface.copy_config(source.parent, file.parent)
    _, loading = huggingface.load(row, file.parent)
    if keep:
        golden.write(row, source, tree, digests(leaves(new)), _arrays(inputs, expected), versions())
    return _figures(row, expected, _logits(row, new, inputs), new, differing(source, file), loading)


def _trained(row: Row, folder: Path, *, keep: bool) -> Figures:
    source = trained.save_state(row, folder / "old")
    inputs, expected = trained.inputs(), np.asarray(maxtext_trees.logits(trained.state(row), **trained.inputs()))
    tree = _recorded(row, folder)
    new = ways.there(row, source, folder, tree)
    state = ways.back(row, source, new, folder, tree)
    if keep:
        golden.write(row, None, tree, digests(leaves(new)), _arrays(inputs, expected), versions())
    return _figures(row, expected, _logits(row, new, inputs), new, trained.differing(source, state), {})


def _figures(
    row: Row,
    expected: np.ndarray[Any, Any],
    actual: np.ndarray[Any, Any],
    new: Path,
    changed: tuple[str, ...],
    loading: Mapping[str, list[Any]],
) -> Figures:
    lines, count = golden.rule_lines(row.rules), len(leaves(new))
    return Figures(row, relative(expected, actual), lines, count, changed, loading)


def _arrays(inputs: Mapping[str, Any], expected: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Returns inputs and outputs by their names in `golden.npz`."""
    return {f"in_{name}": array for name, array in inputs.items()} | {"out": expected}


def versions() -> dict[str, str]:
    """Returns the versions of the libraries."""
    return {name: version(name) for name in VERSIONS}


def _recorded(row: Row, folder: Path) -> Path:
    """Records the tree of the other side's model; returns the file."""
    text = f'migrate: 1\ntarget: {{template: "{MODULES[row.other]}:make", args: {{row: {row.name}}}}}\nrules: []\n'
    path = folder / ways.TREE
    path.write_text(tree_text(migrate.record_template(None, parse_rules(text, "row.yaml"), allow_code=True)))
    return path


def _logits(row: Row, new: Path, inputs: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Returns the logits of the migrated checkpoint, restored by plain Orbax into the other side's model."""
    module = import_module(MODULES[row.other])
    if row.other == "maxtext":
        model = _restored(new, jax.eval_shape(lambda: module.make(row.name)))
    else:
        made = nnx.eval_shape(lambda: module.make(row.name))
        parts = made if isinstance(made, dict) else {"": made}
        states = {name: nnx.state(part) for name, part in parts.items()}
        restored = _restored(new, states if isinstance(made, dict) else states[""])
        name = next(iter(parts))
        model = nnx.merge(nnx.graphdef(parts[name]), restored[name] if name else restored)
    with jax.default_matmul_precision("highest"):
        return np.asarray(module.logits(model, **inputs))


def _restored(path: Path, abstract: Any) -> Any:
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path.absolute(), abstract)
