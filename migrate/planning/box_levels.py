"""Where the template decides whether a level `value` is a box's or a parameter's name.

A module whose one parameter is called `value` looks on disk like a Variable or a box, and its key path loses the level
(`migrate.formats.canonical`). The template knows: where it has no leaf at the path that a rule leads to, and has one a
level below, the level was a name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from migrate.planning.model import Task
from migrate.tree import AbstractTree, KeyPath


def restore_levels(tasks: Iterable[Task], source: AbstractTree, target: AbstractTree | None) -> tuple[Task, ...]:
    """The tasks, with the level restored in targets of which the template says so."""
    if target is None:
        return tuple(tasks)
    return tuple(_restore_level(task, source, target) for task in tasks)


def template_path(path: KeyPath, level: str | None, target: AbstractTree) -> KeyPath:
    """The template's leaf at a path, or one level below it if the level was taken off the source; else the path."""
    if level is None or path in target.leaves:
        return path
    below = (*path, level)
    return below if below in target.leaves else path


def with_template_paths(source: AbstractTree, target: AbstractTree) -> AbstractTree:
    """The source, with the level restored in key paths of which the target says so."""
    places = {path: template_path(path, leaf.box, target) for path, leaf in source.leaves.items()}
    if all(path == place for path, place in places.items()):
        return source
    leaves = [
        (place, source.leaves[path] if path == place else replace(source.leaves[path], box=None))
        for path, place in places.items()
    ]
    return AbstractTree.build(leaves, source.containers)


def _restore_level(task: Task, source: AbstractTree, target: AbstractTree) -> Task:
    levels = {source.leaves[path].box for path in task.sources}
    level = levels.pop() if len(levels) == 1 else None
    targets = tuple(template_path(path, level, target) for path in task.targets)
    return task if targets == task.targets else replace(task, targets=targets)
