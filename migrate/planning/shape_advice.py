"""The edit that gives a task the shape that the template expects."""

from __future__ import annotations

import json
from itertools import permutations

from migrate.planning.claims import Claim
from migrate.planning.gather import fitting_axis
from migrate.planning.model import Task
from migrate.rules.model import Move, RuleSet
from migrate.tree import AbstractLeaf, AbstractTree, format_path

_PLAIN = "reshape or transpose it with `ops:`"
_MOST_DIMENSIONS = 5


def advise_on_shape(
    task: Task, ours: AbstractLeaf, wanted: AbstractLeaf, rules: RuleSet, source: AbstractTree, template: AbstractTree
) -> str:
    """Returns the help for a target of a task that has another shape than the template's leaf.

    Args:
      task: the task.
      ours: the leaf that the task makes.
      wanted: the template's leaf.
      rules: the rule file, one of whose rules may have made the task.
      source: the source's tree.
      template: the target's tree.
    """
    rule = next((one for one in rules.rules if isinstance(one, Move) and one.span == task.rule), None)
    if rule is not None and rule.ops and not task.follows:
        return fitting_axis(rule, _claims(rule, task, source), template) or _PLAIN
    order = _order(ours, wanted) if not task.steps else None
    if order is None:
        return _PLAIN
    ops = f"ops: [{{transpose: {order}}}]"
    if rule is not None:
        return f"add `{ops}` to the rule, which gives this shape"
    name = json.dumps(format_path(task.sources[0]), ensure_ascii=False)
    return f"`- {{from: {name}, to: {name}, {ops}}}` gives this shape"


def _claims(rule: Move, task: Task, source: AbstractTree) -> list[Claim]:
    return [
        Claim(path, source.leaves[path], origin, bindings)
        for path in task.sources
        for origin, pattern in enumerate(rule.sources)
        if (bindings := pattern.match(path)) is not None
    ]


def _order(ours: AbstractLeaf, wanted: AbstractLeaf) -> list[int] | None:
    """Returns the only order of the axes that gives the wanted shape, if there is one."""
    if ours.aval is None or wanted.aval is None or not 2 <= len(ours.aval.shape) <= _MOST_DIMENSIONS:
        return None
    mine, theirs = ours.aval.shape, wanted.aval.shape
    found = [order for order in permutations(range(len(mine))) if tuple(mine[axis] for axis in order) == theirs]
    return list(found[0]) if len(found) == 1 else None
