"""Scores a suggestion leaf by leaf against rules that the models' outputs confirm.

The truth of a case is a hand-written rule file; it is right because the NNX model that it fills computes the same as
the Linen module. All leaves of the source are random, so a leaf of the target is right if and only if its values are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx, serialization

import migrate
from migrate.engine.streaming.evaluate import evaluate
from migrate.planning.model import Plan
from migrate.planning.suggest.pipeline import Suggestion
from migrate.planning.suggest.values import Doubt
from migrate.rules.loader import parse_rules
from migrate.tree import KeyPath, format_path
from tests.planning.suggest.models import convolutional, recurrent, transformers
from tests.planning.suggest.models.case import Case
from tests.planning.suggest.models.eras import EraCase

CASES = (*convolutional.CASES, *transformers.CASES, *recurrent.CASES)


@dataclass(frozen=True)
class Score:
    """The target leaves that the truth fills from the source, by result.

    Attributes:
      right: moved correctly and not in doubt.
      doubted: marked as unproved and moved correctly.
      alternative: marked as unproved and moved elsewhere, with the right target among the alternatives.
      wrong: moved elsewhere, without a mark or without the right alternative.
      unplaced: listed as not placed.
    """

    right: int = 0
    doubted: int = 0
    alternative: int = 0
    wrong: tuple[str, ...] = ()
    unplaced: int = 0

    @property
    def leaves(self) -> int:
        """The number of all leaves."""
        return self.right + self.doubted + self.alternative + len(self.wrong) + self.unplaced


def write_source(case: Case, path: Path) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """Writes a checkpoint of the case's Linen module with random values; returns its variables and an input."""
    rng = np.random.default_rng(0)
    inputs = case.inputs(rng)
    shapes = jax.eval_shape(lambda: case.linen.init(jax.random.key(0), *inputs))
    variables = jax.tree_util.tree_map_with_path(lambda p, leaf: _random(p, leaf, rng, case.zero), shapes)
    path.write_bytes(serialization.to_bytes(variables))
    return variables, inputs


def _random(path: tuple[Any, ...], leaf: Any, rng: np.random.Generator, zero: tuple[tuple[str, str], ...]) -> Any:
    names = tuple(str(key.key) for key in path)
    if names[-2:] in zero:
        return np.zeros(leaf.shape, leaf.dtype)
    values = rng.normal(size=leaf.shape).astype(leaf.dtype) * 0.3
    return np.abs(values) + 0.5 if names[-1] == "var" else values


def truth_plan(case: Case | EraCase, checkpoint: migrate.Checkpoint, template: Any) -> Plan:
    """Returns the plan of the rules that are known to be right."""
    lines = [line.strip() for line in case.truth.splitlines() if line.strip()]
    rules = "\n".join(f"  {line}" if line.startswith("- ") else f"    {line}" for line in lines)
    text = f'migrate: 1\ntarget: {{template: "{case.template}"}}\nrules:\n{rules}\n'
    return migrate.plan(checkpoint, parse_rules(text, f"{case.name}.yaml"), template)


def values_of(plan: Plan, checkpoint: migrate.Checkpoint) -> dict[KeyPath, Any]:
    """Returns the value of every target leaf that comes from the source."""
    found: dict[KeyPath, Any] = {}
    for task in plan.tasks:
        found.update(evaluate(task, checkpoint.reader, plan.target))
    return found


def filled(spec: str, values: Mapping[KeyPath, Any]) -> Any:
    """Returns the NNX model with these values; random streams keep their own."""
    module, name = spec.split(":")
    make = getattr({m.__name__: m for m in (convolutional, recurrent, transformers)}[module], name)
    graphdef, state = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    if any(tuple(map(str, path)) not in values for path, _ in nnx.to_flat_state(state)):
        graphdef, state = nnx.split(make(nnx.Rngs(0)))
    flat = [
        (path, variable.replace(values[tuple(map(str, path))]) if tuple(map(str, path)) in values else variable)
        for path, variable in nnx.to_flat_state(state)
    ]
    return nnx.merge(graphdef, nnx.from_flat_state(flat))


@nnx.jit
def outputs(model: Any, *inputs: Any) -> Any:
    """Returns the outputs of an NNX model: one program compiles faster than one for each of its operations."""
    return model(*inputs)


def score(suggestion: Suggestion, truth: Plan, checkpoint: migrate.Checkpoint) -> Score:
    """Compares a suggestion with the truth by the values that both produce."""
    wanted, found = values_of(truth, checkpoint), values_of(suggestion.plan, checkpoint)
    origin = {path: task for task in suggestion.plan.tasks for path in task.targets}
    tally = {"right": 0, "doubted": 0, "alternative": 0, "unplaced": 0}
    wrong: list[str] = []
    for path, value in wanted.items():
        if path not in found:
            tally["unplaced"] += 1
            continue
        doubts = suggestion.doubts_of(origin[path])
        if np.array_equal(found[path], value):
            tally["doubted" if doubts else "right"] += 1
        elif _has_right_alternative(suggestion, truth, path, doubts, checkpoint, value):
            tally["alternative"] += 1
        else:
            wrong.append(format_path(path))
    return Score(**tally, wrong=tuple(wrong))


def _has_right_alternative(
    suggestion: Suggestion,
    truth: Plan,
    path: KeyPath,
    doubts: tuple[Doubt, ...],
    checkpoint: migrate.Checkpoint,
    wanted: Any,
) -> bool:
    """Whether the leaf's true source lists this target as an alternative, or the alternatives have the right ops."""
    true = next(task for task in truth.tasks if path in task.targets)
    if any(np.array_equal(value, wanted) for value in _other_ways(suggestion, doubts, checkpoint, path)):
        return True
    others = [doubt.others for source in true.sources for doubt in suggestion.doubts.get(source, ())]
    return bool(doubts) and any(path in targets for targets in others)


def _other_ways(
    suggestion: Suggestion, doubts: tuple[Doubt, ...], checkpoint: migrate.Checkpoint, path: KeyPath
) -> Iterator[Any]:
    """Yields the leaf's values with the ops of each alternative in place of the suggested ones."""
    mine = next(task for task in suggestion.plan.tasks if path in task.targets)
    draft = next(draft for draft in suggestion.drafts if (mine.follows or mine.sources[0]) in draft.claims)
    for way in (way for doubt in doubts for way in doubt.alternatives if way.ops):
        plan = suggestion.composition.plan([replace(draft, ops=way.ops)])
        task = next(task for task in plan.tasks if path in task.targets)
        yield evaluate(task, checkpoint.reader, plan.target)[path]
