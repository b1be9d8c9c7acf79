"""Finds an extra leading axis of one size in every leaf: replicas of `pmap`, or seeds under `vmap`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from migrate.planning.model import Task
from migrate.planning.rule_text.rule_drafts import RuleDraft, text_of
from migrate.planning.suggest.layout import ClassifiedLeaf, ClassifiedTree
from migrate.tree import AbstractArray

UNREPLICATE = "unreplicate: {axis: 0}"
"""The op that removes the axis of replicas."""


def replica_count(mine: ClassifiedTree, theirs: ClassifiedTree) -> int | None:
    """Returns the size of an axis that every leaf of the source has in addition; None if there is none.

    Random keys may lack it. The arrays without the axis must fit the template better than the arrays as they are.
    """
    state = [leaf.aval.shape for leaf in mine.of("model", "optimizer", "step", "metrics")]
    sizes = {shape[0] if shape else 0 for shape in state}
    if len(sizes) != 1 or min(sizes) < 2 or len(state) < 2:
        return None
    wanted = Counter(_size(leaf.aval.shape) for leaf in theirs.of("model"))
    model = [leaf.aval.shape for leaf in mine.of("model")]
    whole, parts = Counter(map(_size, model)), Counter(_size(shape[1:]) for shape in model)
    common = (parts & wanted).total()
    total = sum(size * count for size, count in wanted.items())
    fits_whole = (whole & wanted).total() >= common or total > 1.5 * sum(_size(shape[1:]) for shape in model)
    return None if fits_whole or 2 * common < len(model) else min(sizes)


def _size(shape: Sequence[int]) -> int:
    return math.prod(shape)


def without_replicas(side: ClassifiedTree) -> ClassifiedTree:
    """Returns the leaves without their leading axis; random keys keep theirs."""
    return ClassifiedTree(tuple(_bare(leaf) for leaf in side.leaves), side.name)


def _bare(leaf: ClassifiedLeaf) -> ClassifiedLeaf:
    if leaf.role == "rng":
        return leaf
    shape = leaf.aval.shape[1:]
    is_step = leaf.path[-1] == "step" and shape == ()
    return replace(leaf, aval=AbstractArray(shape, leaf.aval.dtype), role="step" if is_step else leaf.role)


def unreplicated(drafts: Iterable[RuleDraft]) -> list[RuleDraft]:
    """Returns the drafts with the op that removes the axis of replicas before all others."""
    return [replace(draft, ops=(UNREPLICATE, *draft.ops)) for draft in drafts]


def unreplicated_state(tasks: Iterable[Task]) -> list[RuleDraft]:
    """Returns drafts for the counts of the optimizer, which no rule for a param moves.

    Args:
      tasks: the tasks of the rules for the params.
    """
    return [
        RuleDraft(
            (text_of(task.sources[0]),),
            (text_of(task.targets[0]),),
            (UNREPLICATE,),
            frozenset(task.sources),
            frozenset(task.targets),
            ("the same part of the training state",),
        )
        for task in tasks
        if task.rule is None and not task.follows and len(task.sources) == len(task.targets) == 1
    ]


def replicas_note(count: int) -> str:
    """Returns the comment about the axis, for the top of the rule file."""
    return (
        f"Every leaf has a leading axis of size {count} that the template lacks. `unreplicate` refuses parts that are "
        "not replicas, such as seeds: `slice` and `squeeze` select one of them."
    )
