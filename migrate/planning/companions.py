"""Quantized weights whose companions, the scales and zero points beside them, are left behind."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

from migrate.codes import UnscaledWeight
from migrate.dtypes import item_bytes, kind
from migrate.errors import Diagnostic, Span, listed
from migrate.planning.model import Task
from migrate.rules.model import Move, Rule
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path

_WORDS = ("scale", "scales", "scale_inv", "inv", "inv_scale", "zero", "zeros", "qzeros", "zero_point", "absmax", "SCB")
"""Names of companions, alone or after the name of the weight and `_`."""


def left_companions(tasks: Iterable[Task], tree: AbstractTree) -> Mapping[KeyPath, Sequence[KeyPath]]:
    """Returns the companions that no task uses, by the quantized weight that a task does use."""
    quantized = {path for path, leaf in tree.leaves.items() if _is_quantized(path, leaf)}
    used = {path for task in tasks for path in task.sources} if quantized else set()
    weights = used & quantized
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
    aval = leaf.aval
    return aval is not None and (_is_small(aval.dtype) or path[-1:] == ("qweight",)) and bool(path and aval.shape)


@cache
def _is_small(dtype: str) -> bool:
    return kind(dtype) in ("int", "uint", "float") and item_bytes(dtype) == 1


def _is_companion(name: str, weight: str) -> bool:
    return name in _WORDS or any(name == f"{weight}{join}{word}" for join in "_." for word in _WORDS)


def unscaled_weights(
    tasks: Iterable[Task], left: Mapping[KeyPath, Sequence[KeyPath]], rules: Sequence[Rule] = ()
) -> Iterator[Diagnostic]:
    """Yields one `UnscaledWeight` for each rule that uses weights without their companions."""
    groups: defaultdict[Span | None, list[tuple[KeyPath, Task]]] = defaultdict(list)
    for task in tasks if left else ():
        for path in task.sources:
            if path in left:
                groups[task.rule].append((path, task))
    for span, members in groups.items():
        (path, task), *more = members
        scales = left[path]
        rule = next((one for one in rules if isinstance(one, Move) and one.span == span), None)
        named = listed(list(map(format_path, scales)), 3)
        others = f", and {len(more)} more like it" if more else ""
        yield UnscaledWeight.at(
            f"`{format_path(path)}` ({task.in_avals[task.sources.index(path)]}) is used without {named}, which "
            f"{'is' if len(scales) == 1 else 'are'} left behind{others}",
            span=span,
            paths=[format_path(one) for one, _ in members],
            help="replace the rules of both by one that multiplies them, with a function of your own: "
            f"`{_joining_rule(path, scales, task, rule)}`",
            severity="warning",
        )


def _joining_rule(path: KeyPath, scales: Sequence[KeyPath], task: Task, rule: Move | None) -> str:
    """Returns a rule for the weight and its companions, with the patterns of the weight's own rule if it has one."""
    sources, target = [format_path(one) for one in (path, *scales)], format_path(task.targets[0])
    name = format_path(path[-1:])
    if rule is not None and len(rule.sources) == len(rule.targets) == 1 and rule.sources[0].text.endswith(f"/{name}"):
        place = rule.sources[0].text.removesuffix(name)
        sources, target = [f"{place}{format_path(one[-1:])}" for one in (path, *scales)], rule.targets[0].text
    ops = (
        "[{cast: float32}, {reshape: [-1]}, {concat: {axis: 0}}, "
        '{call: {function: "my_module:dequantize", shape: template, dtype: template}}]'
    )
    texts = (json.dumps(sources, ensure_ascii=False), json.dumps(target, ensure_ascii=False))
    return f"- {{from: {texts[0]}, to: {texts[1]}, ops: {ops}}}"
