"""What a plan proves about itself, from metadata alone: by name, by shape, or not at all.

A leaf that keeps key path, shape and dtype is proved by name. A leaf that moves is proved by shape when no other leaf
that moves has its shape and dtype, and its own axes could not be exchanged unseen. Everything else rests on the rule
file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from migrate.planning.model import Task
from migrate.tree import AbstractArray


def prove(tasks: Iterable[Task]) -> tuple[Task, ...]:
    """The tasks with `proved` filled in."""
    tasks = tuple(tasks)
    moved = [task for task in tasks if not _kept(task)]
    sources = Counter(aval for task in moved for aval in task.in_avals)
    targets = Counter(aval for task in moved for aval in task.out_avals)
    return tuple(_proved(task, sources, targets) for task in tasks)


def _kept(task: Task) -> bool:
    return not task.steps and task.sources == task.targets


def _proved(task: Task, sources: Counter[AbstractArray | None], targets: Counter[AbstractArray | None]) -> Task:
    if _kept(task):
        return replace(task, proved="name")
    avals = (*task.in_avals, *task.out_avals)
    unique = all(sources[a] == 1 for a in task.in_avals) and all(targets[a] == 1 for a in task.out_avals)
    return replace(task, proved="shape" if unique and not any(map(_symmetric, avals)) else "none")


def _symmetric(aval: AbstractArray | None) -> bool:
    """Whether two axes of this array could change places without a trace in its shape."""
    if aval is None:
        return False
    wide = [size for size in aval.shape if size > 1]
    return len(set(wide)) < len(wide)
