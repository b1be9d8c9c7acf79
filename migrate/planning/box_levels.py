"""Restores a level `value` of key paths that the template knows as a parameter's name.

On disk, a module whose only parameter is called `value` looks like a Variable or a box, so reading removes the level
from its key path (`migrate.formats.canonical`). If the template has no leaf at a rule's target path but has one a level
below, the level was a name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from migrate.planning.model import Task
from migrate.tree import AbstractTree, KeyPath


def restore_levels(tasks: Iterable[Task], source: AbstractTree, target: AbstractTree | None) -> tuple[Task, ...]:
    """Returns the tasks, with the level restored in the targets where the template has it."""
    if target is None or not any(leaf.box for leaf in source.leaves.values()):
        return tuple(tasks)
    return tuple(_restore_level(task, source, target) for task in tasks)


def template_path(path: KeyPath, level: str | None, target: AbstractTree) -> KeyPath:
    """Returns the path itself or, where only that is in the template, the path with the level that reading removed."""
    if level is None or path in target.leaves:
        return path
    below = (*path, level)
    return below if below in target.leaves else path


def with_template_paths(source: AbstractTree, target: AbstractTree) -> AbstractTree:
    """Returns the source, with the level restored in the key paths where the target has it."""
    places = {path: template_path(path, leaf.box, target) for path, leaf in source.leaves.items()}
    if all(path == place for path, place in places.items()):
        return source
    leaves = [
        (place, source.leaves[path] if path == place else replace(source.leaves[path], box=None))
        for path, place in places.items()
    ]
    return AbstractTree.build(leaves, source.containers)


def _restore_level(task: Task, source: AbstractTree, target: AbstractTree) -> Task:
    if all(path in target.leaves for path in task.targets):
        return task
    levels = {source.leaves[path].box for path in task.sources}
    level = levels.pop() if len(levels) == 1 else None
    targets = tuple(template_path(path, level, target) for path in task.targets)
    return task if targets == task.targets else replace(task, targets=targets)
