"""The picture of a plan: source and target tree, and what happens to every leaf."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from migrate.errors import Span
from migrate.planning.losses import unrestored
from migrate.planning.model import Created, Dropped, Plan, Task
from migrate.planning.proof import unseen_order
from migrate.planning.rule_text.ops import op_text
from migrate.report.of_coverage import initial
from migrate.report.of_statistics import joined_statistics
from migrate.report.picture import Kind, LeafLink, Picture, PictureLeaf, PictureTree, RuleText
from migrate.report.view import TextOf, no_text
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath

if TYPE_CHECKING:
    from migrate.engine.verification.run_statistics import RunStatistics
    from migrate.engine.verification.value_statistics import ValueStatistics

LABELS: dict[Kind, str] = {
    "kept": "kept",
    "renamed": "renamed",
    "restructured": "restructured",
    "computed": "computed",
    "cast": "cast",
    "created": "created",
    "dropped": "dropped",
}


def plan_picture(
    plan: Plan, destination: str, text_of: TextOf = no_text, measured: RunStatistics | None = None
) -> Picture:
    """Returns the picture of a plan.

    Args:
      plan: the plan.
      destination: DST as the user wrote it.
      text_of: returns the text of a rule file, for the rule beside what it did.
      measured: the statistics of leaves, after a run.
    """
    source, target = plan.source.tree, plan.target
    at_source, at_target = _numbers(source), _numbers(target)
    rules = _Rules(text_of)
    of_param = {path: number for number, task in enumerate(plan.tasks) for path in task.sources if not task.follows}
    links = [_task_link(task, at_source, at_target, rules.number(task.rule), of_param) for task in plan.tasks]
    if measured:
        links = [_with_statistics(link, task, measured) for link, task in zip(links, plan.tasks, strict=True)]
    links += [_dropped_link(drop, at_source, rules.number(drop.rule)) for drop in plan.dropped]
    links += [_created_link(creation, at_target, rules.number(creation.rule)) for creation in plan.created]
    used = {link.kind for link in links}
    before, after = (measured.before, measured.after) if measured else ({}, {})
    return Picture(
        (picture_tree(str(plan.source.path), source, before), picture_tree(destination, target, after)),
        tuple(links),
        {kind: label for kind, label in LABELS.items() if kind in used},
        tuple(rules.texts),
    )


def picture_tree(
    label: str, tree: AbstractTree, statistics: Mapping[KeyPath, ValueStatistics] = MappingProxyType({})
) -> PictureTree:
    """Returns a tree of a picture, with the statistics of its leaves as far as they are known."""
    return PictureTree(label, tuple(_leaf(path, leaf, statistics.get(path)) for path, leaf in tree.leaves.items()))


def _leaf(path: KeyPath, leaf: AbstractLeaf, statistics: ValueStatistics | None) -> PictureLeaf:
    return PictureLeaf(path, str(leaf), leaf.nbytes, statistics)


def _numbers(tree: AbstractTree) -> Mapping[KeyPath, int]:
    return {path: number for number, path in enumerate(tree.leaves)}


def _known(paths: Iterable[KeyPath], numbers: Mapping[KeyPath, int]) -> tuple[int, ...]:
    """The numbers of leaves; a plan that cannot be applied may name leaves that a tree lacks."""
    return tuple(numbers[path] for path in paths if path in numbers)


def _task_link(
    task: Task,
    at_source: Mapping[KeyPath, int],
    at_target: Mapping[KeyPath, int],
    rule: int | None,
    of_param: Mapping[KeyPath, int],
) -> LeafLink:
    return LeafLink(
        kind_of(task),
        task.verb,
        _known(task.sources, at_source),
        _known(task.targets, at_target),
        tuple(_facts(task)),
        "" if all(aval is None for aval in task.in_avals) else task.proved,
        rule,
        of_param.get(task.follows) if task.follows else None,
    )


def _with_statistics(link: LeafLink, task: Task, measured: RunStatistics) -> LeafLink:
    """The link with the statistics of each side that has several leaves."""
    before, after = joined_statistics(task, measured)
    return replace(
        link, before=before if len(task.sources) > 1 else None, after=after if len(task.targets) > 1 else None
    )


def kind_of(task: Task) -> Kind:
    """What happens to the leaves of a task: the strongest of its ops."""
    ops = [op for step in task.steps for op in step.ops]
    if not ops:
        return "kept" if task.verb == "keep" else "renamed"
    if any(not op.structural and not op.only_casts for op in ops):
        return "computed"
    return "cast" if all(op.only_casts for op in ops) else "restructured"


def _facts(task: Task) -> Iterable[tuple[str, str]]:
    ops = ", ".join(op_text(op) for step in task.steps for op in step.ops)
    if ops:
        yield "ops", ops
    yield "how", {"relink": "linked, not read", "copy": "copied as encoded", "stream": "read and written"}[task.mode]
    if not task.exact:
        yield "exact", f"no{''.join(f'; {lost}' for lost in unrestored(task))}"
    if order := unseen_order(task):
        yield "order", f"{order}, which no shape shows"
    if task.state:
        yield "state", task.state


def _dropped_link(drop: Dropped, at_source: Mapping[KeyPath, int], rule: int | None) -> LeafLink:
    checked = "is zero" if drop.assert_zero else "equals another leaf" if drop.equal else ""
    facts = (("asserted", checked),) if checked else ()
    return LeafLink("dropped", "drop", _known([drop.source], at_source), facts=facts, rule=rule)


def _created_link(creation: Created, at_target: Mapping[KeyPath, int], rule: int | None) -> LeafLink:
    facts = (("value", value),) if (value := initial(creation)) else ()
    return LeafLink("created", "create", targets=_known([creation.target], at_target), facts=facts, rule=rule)


class _Rules:
    """The rules of a plan as text, each once."""

    def __init__(self, text_of: TextOf) -> None:
        self._text_of: Callable[[str], str | None] = text_of
        self._numbers: dict[Span, int] = {}
        self.texts: list[RuleText] = []

    def number(self, span: Span | None) -> int | None:
        """The number of the rule at this place; None without a rule."""
        if span is None:
            return None
        if span not in self._numbers:
            self._numbers[span] = len(self.texts)
            self.texts.append(RuleText(f"{span.file}:{span.line}", self._text(span)))
        return self._numbers[span]

    def _text(self, span: Span) -> str:
        lines = (self._text_of(span.file) or "").splitlines()
        return "\n".join(lines[span.line - 1 : max(span.end_line, span.line)])
