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
from migrate.planning.rule_text.ops import op_text
from migrate.rules.model import Move, Rule
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path

_SCALES = ("scale", "scales", "scale_inv")
_ZEROS = ("zero", "zeros", "zero_point")
_WORDS = (*_SCALES, *_ZEROS, "inv", "inv_scale", "qzeros", "absmax", "SCB")
"""Names of companions, alone or after the name of the weight and `_`."""

_PACKED = "_blocks"
"""The end of the name of a weight whose companion has the same name with `_scales` instead."""


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
    return _word(name, weight) is not None


def _word(name: str, weight: str) -> str | None:
    """Returns the word of `_WORDS` that a companion of a weight has in its name; None for other leaves."""
    stems = ("", *(f"{weight}{join}" for join in "_."))
    if weight.endswith(_PACKED):
        stems = (*stems, f"{weight.removesuffix(_PACKED)}_")
    return next((word for stem in stems for word in _WORDS if name == f"{stem}{word}"), None)


def unscaled_weights(
    tasks: Iterable[Task],
    left: Mapping[KeyPath, Sequence[KeyPath]],
    rules: Sequence[Rule] = (),
    tree: AbstractTree | None = None,
    *,
    templated: bool = False,
) -> Iterator[Diagnostic]:
    """Yields one `UnscaledWeight` for each rule that uses weights without their companions.

    Args:
      tasks: the tasks of the plan.
      left: the companions that no task uses, by weight.
      rules: the rules.
      tree: the source's tree.
      templated: whether there is a template, whose dtype the proposed rule takes.
    """
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
        proposed, remark = _joining_rule(path, scales, task, rule, tree, templated=templated)
        yield UnscaledWeight.at(
            f"`{format_path(path)}` ({task.in_avals[task.sources.index(path)]}) is used without {named}, which "
            f"{'is' if len(scales) == 1 else 'are'} left behind{others}",
            span=span,
            paths=[format_path(one) for one, _ in members],
            help=f"replace the rules of both by one that combines them{remark}: `{proposed}`",
        )


def _joining_rule(
    path: KeyPath,
    scales: Sequence[KeyPath],
    task: Task,
    rule: Move | None,
    tree: AbstractTree | None,
    *,
    templated: bool,
) -> tuple[str, str]:
    """Returns a rule for the weight and its companions, with the patterns of the weight's own rule if it has one, and
    a remark about it.
    """
    sources, target = [format_path(one) for one in (path, *scales)], format_path(task.targets[0])
    name = format_path(path[-1:])
    if rule is not None and len(rule.sources) == len(rule.targets) == 1 and rule.sources[0].text.endswith(f"/{name}"):
        place = rule.sources[0].text.removesuffix(name)
        sources, target = [f"{place}{format_path(one[-1:])}" for one in (path, *scales)], rule.targets[0].text
    names, ops, remark = _combination(path, scales, tree, templated=templated)
    ops += [op_text(one.op, one.over) for one in (rule.ops if rule else ()) if not one.op.only_casts]
    bound = ", ".join(
        f"{one}: {json.dumps(text, ensure_ascii=False)}" for one, text in zip(names, sources, strict=True)
    )
    steps = ", ".join(f"{{{op}}}" for op in ops)
    return f"- {{from: {{{bound}}}, to: {json.dumps(target, ensure_ascii=False)}, ops: [{steps}]}}", remark


def _combination(
    path: KeyPath, scales: Sequence[KeyPath], tree: AbstractTree | None, *, templated: bool
) -> tuple[list[str], list[str], str]:
    """Returns the names for the weight and its companions, the ops that combine them, and a remark."""
    words = [_word(one[-1], path[-1]) for one in scales]
    to = "to: template" if templated else ""
    if path[-1].endswith(_PACKED) and words == ["scales"]:
        return ["blocks", "scales"], [f"mxfp4: {{{to}}}"], ""
    roles = ["scale" if word in _SCALES else "zero_point" if word in _ZEROS else None for word in words]
    if None not in roles and "scale" in roles and len({*roles}) == len(roles):
        expanded = [_expanded(str(role), one, path, tree) for role, one in zip(roles, scales, strict=True)]
        steps = [step for step, _ in expanded if step]
        remark = "".join(dict.fromkeys(remark for _, remark in expanded))
        return ["value", *map(str, roles)], [*steps, f"dequantize: {{{to}}}"], remark
    names = ["value", *(str(word) for word in words)]
    call = f'call: {{function: "my_module:dequantize", of: [{", ".join(names)}]'
    more = ", shape: template, dtype: template" if templated else ", dtype: float32"
    return names, [f"{call}{more}}}"], ", with a function of your own"


def _expanded(role: str, path: KeyPath, weight: KeyPath, tree: AbstractTree | None) -> tuple[str, str]:
    """Returns the op that gives a vector of scales of a matrix the axis that it lacks, and a remark; empty texts where
    it lacks none.
    """
    value, scale = (tree.leaves[one].aval if tree is not None else None for one in (weight, path))
    if value is None or scale is None or (len(value.shape), len(scale.shape)) != (2, 1):
        return "", ""
    axis = 1 if scale.shape[0] == value.shape[0] else 0
    square = value.shape[0] == value.shape[1] == scale.shape[0]
    return f"expand_dims: {{axis: {axis}, of: {role}}}", " (`axis: 0` if it belongs to the last axis)" if square else ""
