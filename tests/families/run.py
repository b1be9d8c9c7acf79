"""Runs one row: the original model, the way to the other library, its logits, and the way back."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tests.bundled.migrating import leaves
from tests.families import golden, huggingface, maxtext_trees, sides, trained, ways
from tests.families.check import Figures, deviation, differing, digests, relative
from tests.families.rows import Row

VERSIONS = ("transformers", "torch", "google-tunix", "jax", "flax", "orbax-checkpoint")


def run(row: Row, folder: Path, *, keep: bool = False) -> Figures:
    """Measures a row in an empty folder; `keep` writes its golden values, too."""
    return _trained(row, folder, keep=keep) if row.trained else _untrained(row, folder, keep=keep)


def _untrained(row: Row, folder: Path, *, keep: bool) -> Figures:
    source = huggingface.save(row, folder / "old")
    inputs, expected = huggingface.inputs(row), huggingface.outputs(row, source.parent)
    tree = ways.record_tree(f"{sides.MODULES[row.other]}:make", row, folder / ways.TREE)
    new = ways.there(row, source, folder, tree)
    config = source.with_name(golden.CONFIG)
    file = ways.back(row, new, folder, config)
    huggingface.copy_config(source.parent, file.parent)
    _, loading = huggingface.load(row, file.parent)
    if keep:
        golden.write(row, source, tree, digests(leaves(new)), _arrays(inputs, expected), versions())
        shutil.copyfile(config, golden.FOLDER / row.name / golden.CONFIG)
    figures = _figures(row, expected, sides.logits(row, new, inputs), new, differing(source, file))
    return replace(figures, loading=loading, rounded=deviation(source, file) if row.rounds else 0.0)


def _trained(row: Row, folder: Path, *, keep: bool) -> Figures:
    source = trained.save_state(row, folder / "old")
    inputs = trained.inputs()
    expected = np.asarray(maxtext_trees.logits(trained.state(row), **inputs, config=row.config))
    tree = ways.record_tree(f"{sides.MODULES[row.other]}:make", row, folder / ways.TREE)
    new = ways.there(row, source, folder, tree)
    state = ways.back(row, new, folder)
    if keep:
        golden.write(row, None, tree, digests(leaves(new)), _arrays(inputs, expected), versions())
    figures = _figures(row, expected, sides.logits(row, new, inputs), new, trained.differing(source, state))
    return replace(figures, rounded=trained.deviation(source, state) if row.rounds else 0.0)


def _figures(
    row: Row,
    expected: np.ndarray[Any, Any],
    actual: np.ndarray[Any, Any],
    new: Path,
    changed: tuple[str, ...],
) -> Figures:
    lines, count = golden.rule_lines(row.rules), len(leaves(new))
    return Figures(row, relative(expected, actual), lines, count, changed)


def _arrays(inputs: Mapping[str, Any], expected: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Returns inputs and outputs by their names in `golden.npz`."""
    return {f"in_{name}": array for name, array in inputs.items()} | {"out": expected}


def versions() -> dict[str, str]:
    """Returns the versions of the libraries."""
    return {name: version(name) for name in VERSIONS}
