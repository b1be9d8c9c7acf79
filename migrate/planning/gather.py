"""Makes tasks from the claims of one rule: which arrays are combined, in which order, and where the results go.

A rule's ops run over a list of arrays. Each array carries tags: the captures of its key path, the index of its `from:`
pattern, and later the index of its `to:` pattern. `concat` and `stack` remove a tag, `split` and `unstack` add one.
Arrays whose filled right-hand sides agree belong to one task. A finished task has no tags, only positions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from migrate.codes import IndexGap, OpMismatch, UncomputableIndex, UnreducedArrays
from migrate.errors import Diagnostic
from migrate.ops.base import Op, OpError
from migrate.ops.keep import Keep
from migrate.planning.claims import Claim
from migrate.planning.combine import combined_calls
from migrate.planning.elements import Element, GatherError, aval_of, extended, joined, reduction_key
from migrate.planning.model import Step, Task
from migrate.planning.op_binding import bound
from migrate.planning.template_captures import TemplateCaptures
from migrate.rules.model import Move, RuleOp
from migrate.rules.pattern import Bindings, PatternError
from migrate.tree import AbstractArray, AbstractTree, KeyPath, format_path, natural_key

_MOST_AXES = 3
"""The number of axes that a help offers; where more fit, the axis is not the mistake."""

Place = Callable[[KeyPath], KeyPath]
"""Maps a rule's filled right-hand side to its key path in the target: itself, or for a moment the slot's copy of it."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """The tasks of one rule.

    Attributes:
      failed: sources of tasks that could not be made; a diagnostic gives the reason.
    """

    tasks: tuple[Task, ...]
    failed: tuple[KeyPath, ...]
    diagnostics: tuple[Diagnostic, ...]


def gather(
    rule: Move, claims: Sequence[Claim], template: AbstractTree | None, place: Place = lambda path: path
) -> Gathered:
    """Returns the tasks of one rule.

    Args:
      rule: the rule.
      claims: the leaves that it claims, in list order.
      template: the target's tree, for `reshape: template` and similar ops.
      place: maps filled right-hand sides to key paths in the target.
    """
    tasks: list[Task] = []
    failed: list[KeyPath] = []
    diagnostics: list[Diagnostic] = []
    shared: dict[object, Any] = {}
    captures = TemplateCaptures(rule.targets, template)
    for filled, group in _groups(rule, claims):
        moved = None if rule.ops or len(group) > 1 else _moved(rule, group[0], filled, place)
        try:
            tasks.append(_sharing(moved or _TaskBuilder(rule, group, captures, place, filled).task(), shared))
        except GatherError as error:
            failed += [claim.path for claim in group]
            diagnostics.append(_advised(error.diagnostic, rule, group, template, place))
    return Gathered(tuple(tasks), tuple(failed), tuple(diagnostics))


def _sharing(task: Task, shared: dict[object, Any]) -> Task:
    """Returns a task whose steps and shapes are the objects of an earlier one where they are equal."""
    values = task.outputs, task.steps, task.in_avals, task.out_avals
    outputs, steps, ins, outs = (shared.setdefault(value, value) for value in values)
    return Task(task.sources, task.targets, outputs, steps, ins, outs, task.mode, task.proved, task.rule)


def _advised(
    diagnostic: Diagnostic, rule: Move, group: Sequence[Claim], template: AbstractTree | None, place: Place
) -> Diagnostic:
    """Returns the diagnostic with the axis that fits, where an op fails because of its axis."""
    if diagnostic.code != OpMismatch.number or diagnostic.help is not None:
        return diagnostic
    return replace(diagnostic, help=fitting_axis(rule, group, template, place))


def fitting_axis(
    rule: Move, claims: Sequence[Claim], template: AbstractTree | None, place: Place = lambda path: path
) -> str | None:
    """Returns the edit of one op's `axis` with which a rule fits the template, or None.

    Args:
      rule: the rule.
      claims: the leaves of one task.
      template: the target's tree; without one, an axis fits with which the ops can be carried out.
      place: as for `gather`.
    """
    rank = max((len(claim.leaf.aval.shape) for claim in claims if claim.leaf.aval), default=0) + len(rule.ops)
    for at, rule_op in enumerate(rule.ops):
        written = getattr(rule_op.op, "axis", None)
        if not isinstance(written, int):
            continue
        others = [replace(rule_op, op=replace(rule_op.op, axis=axis)) for axis in range(rank) if axis != written]  # type: ignore[type-var]
        rules = [replace(rule, ops=(*rule.ops[:at], other, *rule.ops[at + 1 :])) for other in others]
        fitting = [f"`axis: {one.ops[at].op.axis}`" for one in rules if _fits(one, claims, template, place)]  # type: ignore[attr-defined]
        if 0 < len(fitting) <= _MOST_AXES:
            return f"write {' or '.join(fitting)} in `{rule_op.op.name}`, which fits" + (
                " the template" if template else ""
            )
    return None


def _fits(rule: Move, claims: Sequence[Claim], template: AbstractTree | None, place: Place) -> bool:
    """Whether the claims are one task, whose targets have the shapes of the template."""
    captures = TemplateCaptures(rule.targets, template)
    try:
        (task,) = [_TaskBuilder(rule, group, captures, place, filled).task() for filled, group in _groups(rule, claims)]
    except (GatherError, ValueError):
        return False
    if template is None:
        return True
    wanted = [template.leaves.get(path) for path in task.targets]
    pairs = zip(wanted, task.out_avals, strict=True)
    return all(leaf and leaf.aval and aval and leaf.aval.shape == aval.shape for leaf, aval in pairs)


_Filled = tuple[tuple[object, ...], ...]
"""The right-hand sides of a task as far as the left-hand side fills them; empty where they cannot be filled."""


def _groups(rule: Move, claims: Sequence[Claim]) -> list[tuple[_Filled, list[Claim]]]:
    """Returns the claims by task: their right-hand sides agree as far as the left-hand side fills them."""
    groups: defaultdict[tuple[_Filled, KeyPath], list[Claim]] = defaultdict(list)
    for claim in claims:
        try:
            filled: _Filled = tuple(target.key(claim.bindings) for target in rule.targets)
        except PatternError:
            filled = ()
        groups[filled, () if filled else claim.path].append(claim)
    return [(filled, group) for (filled, _), group in groups.items()]


def _moved(rule: Move, claim: Claim, filled: _Filled, place: Place) -> Task | None:
    """Returns the task of a leaf that no op changes, or None if its captures leave a target open or make two equal."""
    if not filled or not all(isinstance(segment, str) for target in filled for segment in target):
        return None
    targets = tuple([place(tuple(map(str, target))) for target in filled])
    if len(targets) > 1 and len({*targets}) < len(targets):
        return None
    avals = (claim.leaf.aval,)
    return Task((claim.path,), targets, (0,) * len(targets), (), avals, avals * len(targets), rule=rule.span)


class _TaskBuilder:
    """Runs the ops of a rule on the abstract arrays of one group."""

    def __init__(
        self, rule: Move, group: Sequence[Claim], captures: TemplateCaptures, place: Place, filled: _Filled
    ) -> None:
        self.filled = filled
        self.rule = rule
        self.group = group
        self.captures = captures
        self.template = captures.template
        self.place = place
        self.steps: list[Step] = []
        names = rule.bound
        self.elements = [Element(c.leaf.aval, c.bindings, c.origin, names[c.origin], c.path) for c in group]

    def task(self) -> Task:
        for position, rule_op in enumerate(self.rule.ops):
            try:
                self._step(position, rule_op)
            except OpError as error:
                raise self._misfit(rule_op, error) from None
        targets, outputs = self._targets()
        return Task(
            sources=tuple(claim.path for claim in self.group),
            targets=targets,
            outputs=outputs,
            steps=tuple(self.steps),
            in_avals=tuple(claim.leaf.aval for claim in self.group),
            out_avals=tuple(self.elements[index].aval for index in outputs),
            rule=self.rule.span,
        )

    def _step(self, position: int, rule_op: RuleOp) -> None:
        if rule_op.op.combines:
            self._combine(position, rule_op)
            return
        match rule_op.op.role:
            case "map":
                self._map(position, rule_op)
            case "reduce":
                self._reduce(position, rule_op)
            case "extend":
                self._extend(rule_op)

    def _map(self, position: int, rule_op: RuleOp) -> None:
        whole = [(rule_op.op.called_with(()) if self._concerns(rule_op, e) else Keep(), (e,)) for e in self.elements]
        self._call(position, rule_op, [(op, (index,), members) for index, (op, members) in enumerate(whole)])

    def _concerns(self, rule_op: RuleOp, element: Element) -> bool:
        """Whether an op of one array applies to this one: to all of them, or to those of the name in `of`."""
        named = rule_op.op.names or ((rule_op.of,) if rule_op.of else ())
        return not named or element.name in named

    def _combine(self, position: int, rule_op: RuleOp) -> None:
        calls = combined_calls(self.rule, rule_op, self.elements)
        used = {index for _, group in calls for index in group}
        calls += [(Keep(), (index,)) for index in range(len(self.elements)) if index not in used]
        ordered = sorted(calls, key=lambda call: call[1][0])
        self._call(position, rule_op, [(op, group, tuple(self.elements[i] for i in group)) for op, group in ordered])

    def _call(
        self, position: int, rule_op: RuleOp, calls: Sequence[tuple[Op, tuple[int, ...], tuple[Element, ...]]]
    ) -> None:
        """Adds the step of these calls of ops that make one array each; none where all arrays are kept."""
        if all(isinstance(op, Keep) for op, _, _ in calls):
            return
        made = [
            (op, group, _result(op, members, place))
            for written, group, members in calls
            for op, place in self._bound(position, written, members)
        ]
        self._record([op for op, _, _ in made], [group for _, group, _ in made], rule_op)
        self.elements = [element for _, _, element in made]

    def _bound(self, position: int, op: Op, members: Sequence[Element]) -> list[tuple[Op, Element]]:
        """Returns the op for some arrays: one for each target where the template's leaves bind it differently."""
        element = members[0]
        rest = [one for one in self.rule.ops[position + 1 :] if one.op.combines or self._concerns(one, element)]
        later = any(one.op.role == "extend" and one.over is None for one in rest)
        fixed = later or element.destination is not None
        places = [element] if fixed else [replace(element, destination=at) for at in range(len(self.rule.targets))]
        wanted = [self._target_aval(place) for place in places]
        inputs = tuple(map(aval_of, members))
        ops = [bound(op, inputs, aval or wanted[0], rest) for aval in wanted]
        alike = all(op == ops[0] for op in ops)
        return [(ops[0], element)] if alike else list(zip(ops, places, strict=True))

    def _reduce(self, position: int, rule_op: RuleOp) -> None:
        kept = self._kept(position)
        parts: defaultdict[Hashable, list[int]] = defaultdict(list)
        for index, element in enumerate(self.elements):
            parts[reduction_key(element, rule_op.over, kept, named=bool(self.rule.names))].append(index)
        members = [self._ordered(part, rule_op) for part in parts.values()]
        self._record([rule_op.op] * len(members), members, rule_op)
        self.elements = [self._reduced(rule_op, part) for part in members]

    def _kept(self, position: int) -> set[str]:
        """Captures that the arrays keep when the op at this position reduces the whole list: those that later ops
        reduce, and those that an earlier op made and the targets use.
        """
        later = {op.over for op in self.rule.ops[position + 1 :] if op.op.role == "reduce" and op.over}
        made = {op.over for op in self.rule.ops[:position] if op.op.role == "extend" and op.over}
        return later | {name for name in made if any(name in target.names for target in self.rule.targets)}

    def _reduced(self, rule_op: RuleOp, part: tuple[int, ...]) -> Element:
        members = [self.elements[index] for index in part]
        return joined(members, rule_op.op.infer(*map(aval_of, members))[0])

    def _ordered(self, part: Sequence[int], rule_op: RuleOp) -> tuple[int, ...]:
        if rule_op.over is None:
            return tuple(part)
        values = {i: str(self.elements[i].captures[rule_op.over]) for i in part}
        ordered = sorted(part, key=lambda i: natural_key((values[i],)))
        self._refuse_gap([values[i] for i in ordered], self.elements[part[0]].captures, rule_op)
        return tuple(ordered)

    def _refuse_gap(self, values: Sequence[str], captures: Bindings, rule_op: RuleOp) -> None:
        """Refuses a missing number; numbers that the right-hand side assigns to other targets are not missing."""
        if not all(value.isdecimal() for value in values):
            return
        numbers = [int(value) for value in values]
        absent = sorted(set(range(min(*numbers, 1), max(numbers) + 1)) - set(numbers))
        missing = [n for n in absent if self._joins({**captures, str(rule_op.over): str(n)})]
        if missing:
            raise GatherError(
                IndexGap.at(
                    f"`{{{rule_op.over}}}` has a gap: {_first_few(missing)} of 0..{max(numbers)} is not in the source",
                    span=rule_op.span,
                    paths=[format_path(claim.path) for claim in self.group],
                    help="a missing layer would shift all later ones; restore it, or renumber the others with rules",
                )
            )

    def _joins(self, captures: Bindings) -> bool:
        """Whether an array with these captures would belong to this task."""
        if not any(pattern.admits(captures) for pattern in self.rule.sources):
            return False
        try:
            return not self.filled or self.filled == tuple(target.key(captures) for target in self.rule.targets)
        except PatternError:
            return False

    def _extend(self, rule_op: RuleOp) -> None:
        over, known = rule_op.over, self.elements[0].captures
        count = len(self.rule.targets) if over is None else self.captures.count(over, known)
        bound, elements = [], []
        for element in self.elements:
            op = rule_op.op.bind((aval_of(element),), self._target_aval(element), count)
            bound.append(op)
            for index, aval in enumerate(op.infer(aval_of(element))):
                elements.append(extended(element, aval, rule_op.over, index))
        self._record(bound, [(i,) for i in range(len(bound))], rule_op)
        self.elements = elements

    def _record(self, ops: Sequence[Op], groups: Sequence[tuple[int, ...]], rule_op: RuleOp) -> None:
        """Adds a step, with the op of each group where `template` or an open count resolves to different ones."""
        alike = all(op == ops[0] for op in ops)
        main = next((op for op in ops if not isinstance(op, Keep)), ops[0])
        self.steps.append(Step(main, tuple(groups), rule_op.over, () if alike else tuple(ops)))

    def _target_aval(self, element: Element) -> AbstractArray | None:
        """Returns the template's leaf for this array; the first one, where a later op still spreads the array."""
        if self.template is None:
            return None
        spread: dict[str, str] = {op.over: "0" for op in self.rule.ops if op.op.role == "extend" and op.over}
        pattern = self.rule.targets[element.destination or 0]
        try:
            path = self.place(pattern.fill({**spread, **element.captures}))
        except (PatternError, KeyError):
            return None
        leaf = self.template.leaves.get(path)
        return leaf.aval if leaf else None

    def _targets(self) -> tuple[tuple[KeyPath, ...], tuple[int, ...]]:
        """Returns the target of every array: one key path each, or all of `to:` for a tied leaf."""
        ends: defaultdict[KeyPath, list[int]] = defaultdict(list)
        for index, element in enumerate(self.elements):
            wanted = range(len(self.rule.targets)) if element.destination is None else (element.destination,)
            for destination in wanted:
                ends[self._fill(destination, element.captures)].append(index)
        for path, indices in ends.items():
            if len(indices) > 1:
                raise self._unreduced(path, len(indices))
        return tuple(ends), tuple(indices[0] for indices in ends.values())

    def _fill(self, destination: int, captures: Bindings) -> KeyPath:
        pattern = self.rule.targets[destination]
        known = self.filled[destination] if self.filled else ()
        if known and all(isinstance(segment, str) for segment in known):
            return self.place(tuple(map(str, known)))
        try:
            return self.place(pattern.fill(captures))
        except PatternError as error:
            raise GatherError(
                UncomputableIndex.at(
                    f"`{pattern}` cannot be filled: {error}",
                    span=self.rule.span,
                    paths=[format_path(claim.path) for claim in self.group],
                )
            ) from None

    def _unreduced(self, path: KeyPath, count: int) -> GatherError:
        return GatherError(
            UnreducedArrays.at(
                f"{count} arrays end at `{format_path(path)}` and no op reduces them",
                span=self.rule.span,
                paths=[format_path(claim.path) for claim in self.group],
                help="add `concat` or `stack`, with `over:` for a captured index, or give each its own target",
            )
        )

    def _misfit(self, rule_op: RuleOp, error: OpError) -> GatherError:
        shapes = " and ".join(dict.fromkeys(str(e.aval) for e in self.elements))
        return GatherError(
            error.code.at(
                f"`{rule_op.op.name}` does not fit {shapes}: {error}",
                span=rule_op.span,
                paths=[format_path(claim.path) for claim in self.group],
                help=error.help,
            )
        )


def _result(op: Op, members: Sequence[Element], place: Element) -> Element:
    """Returns the only result of an op, which stands where the first of its arrays stood."""
    made = joined(members, op.infer(*map(aval_of, members))[0])
    return replace(made, origin=place.origin, destination=place.destination)


def _first_few(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return f"{shown}, …" if len(numbers) > 5 else shown
