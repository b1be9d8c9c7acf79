"""Quantized weights whose companions, the scales and zero points beside them, are left behind."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from migrate.codes import UnscaledWeight
from migrate.dtypes import item_bytes, kind
from migrate.errors import Diagnostic, listed
from migrate.planning.model import Task
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path

_WORDS = ("scale", "scales", "scale_inv", "inv", "inv_scale", "zero", "zeros", "qzeros", "zero_point", "absmax", "SCB")
"""Names of companions, alone or after the name of the weight and `_`."""


def left_companions(tasks: Iterable[Task], tree: AbstractTree) -> Mapping[KeyPath, Sequence[KeyPath]]:
    """Returns the companions that no task uses, by the quantized weight that a task does use."""
    tasks = tuple(tasks)
    used = {path for task in tasks for path in task.sources}
    weights = [path for path in used if _is_quantized(path, tree.leaves[path])]
    if not weights:
        return {}
    siblings: defaultdict[KeyPath, list[KeyPath]] = defaultdict(list)
    for path, leaf in tree.leaves.items():
        if leaf.has_data and path not in used:
            siblings[path[:-1]].append(path)
    found = {path: [other for other in siblings[path[:-1]] if _is_companion(other[-1], path[-1])] for path in weights}
    return {path: others for path, others in found.items() if others}


def _is_quantized(path: KeyPath, leaf: AbstractLeaf) -> bool:
    """Whether a leaf has elements of at most 8 bits, or the name of a weight that packs them into words."""
    if leaf.aval is None or not leaf.aval.shape:
        return False
    small = kind(leaf.aval.dtype) in ("int", "uint", "float") and item_bytes(leaf.aval.dtype) == 1
    return small or path[-1] == "qweight"


def _is_companion(name: str, weight: str) -> bool:
    return name in _WORDS or any(name == f"{weight}{join}{word}" for join in "_." for word in _WORDS)


def unscaled_weights(tasks: Iterable[Task], left: Mapping[KeyPath, Sequence[KeyPath]]) -> Iterator[Diagnostic]:
    """Yields one `UnscaledWeight` for each rule that uses weights without their companions."""
    groups: defaultdict[object, list[tuple[KeyPath, Task]]] = defaultdict(list)
    for task in tasks:
        for path in task.sources:
            if path in left:
                groups[task.rule].append((path, task))
    for members in groups.values():
        (path, task), *more = members
        scales = [format_path(companion) for companion in left[path]]
        others = f", and {len(more)} more like it" if more else ""
        yield UnscaledWeight.at(
            f"`{format_path(path)}` ({task.in_avals[task.sources.index(path)]}) is used without "
            f"{listed(scales, 3)}, which {'is' if len(scales) == 1 else 'are'} left behind{others}",
            span=task.rule,
            paths=[format_path(one) for one, _ in members],
            help="replace the rules of both by one that multiplies them, with a function of your own: "
            f"`{_rule(path, scales, task)}`",
            severity="warning",
        )


def _rule(path: KeyPath, scales: Sequence[str], task: Task) -> str:
    sources = json.dumps([format_path(path), *scales], ensure_ascii=False)
    target = json.dumps(format_path(task.targets[0]), ensure_ascii=False)
    ops = (
        "[{cast: float32}, {reshape: [-1]}, {concat: {axis: 0}}, "
        '{call: {function: "my_module:dequantize", shape: template, dtype: template}}]'
    )
    return f"- {{from: {sources}, to: {target}, ops: {ops}}}"
