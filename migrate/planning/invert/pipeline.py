"""From a plan to its inverse file: generates rules, writes them, plans them against the target and compares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from migrate.codes import InternalError
from migrate.errors import MigrateError, PlanError, Span
from migrate.formats.reader import AbstractCheckpoint
from migrate.metadata import Metadata, kept_items, merge, with_items
from migrate.ops.base import NotInvertible
from migrate.planning.invert.config import invert_config, restores_config
from migrate.planning.invert.expressions import Expression, expressions
from migrate.planning.invert.model import Inversion, LeftBehind, Lost
from migrate.planning.invert.notes import structure_notes
from migrate.planning.invert.readback import as_read
from migrate.planning.invert.rule_inverter import InverseRule, RuleInverter
from migrate.planning.invert.task_inverse import TaskInverse, Tie, invert_task
from migrate.planning.invert.text import FileHeader, inverse_file
from migrate.planning.model import Dropped, Plan, Step, Task
from migrate.planning.model_fields import custom_metadata, model_fields
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from migrate.rules.model import Layout, Move
from migrate.source_names import source_of
from migrate.tree import AbstractLeaf, KeyPath, format_path

_OF_OTHERS = "leaves of the source `{name}` are in it, and the inverse leads back to the main source"

UNWRITTEN = "the inverse"
"""The name of an unwritten inverse file in diagnostics."""


def invert(plan: Plan) -> Inversion:
    """Returns the rule file that leads from a plan's target back to its source, and what it does not restore.

    Args:
      plan: an applicable plan.

    Raises:
      PlanError: the plan is not applicable.
      MigrateError: the generated file does not do what it should, which is a bug (`InternalError`).
    """
    if not plan.applicable:
        raise PlanError(*(one for one in plan.diagnostics if one.is_error))
    draft = _Inverter(plan)
    for attempt in (_Attempt(follow=True), _Attempt(follow=False), _Attempt(follow=False, spelled_out=True)):
        found = draft.finished(attempt)
        if found is not None:
            return found
    raise MigrateError(InternalError.at("the generated inverse of this plan does not restore its source"))


@dataclass(frozen=True, slots=True)
class _Attempt:
    """How a file is generated: whether moments follow their params, and whether every task has its own rule."""

    follow: bool
    spelled_out: bool = False


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules of one attempt, and the tasks that they do not cover."""

    rules: tuple[InverseRule, ...]
    failed: tuple[TaskInverse, ...]


class _Inverter:
    """Generates inverse files for one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tree, self.names = as_read(plan.target)
        self.inverter = RuleInverter(self.tree)
        self.config = invert_config(plan)
        self.inverses: list[TaskInverse] = []
        self.blocked: list[tuple[Task, str]] = []
        for task in plan.tasks:
            inverse = invert_task(task, self.names)
            others = dict.fromkeys(filter(None, map(source_of, task.sources)))
            if others and not isinstance(inverse, NotInvertible):
                inverse = NotInvertible(_OF_OTHERS.format(name=next(iter(others))))
            if isinstance(inverse, NotInvertible):
                self.blocked.append((task, inverse.reason))
            else:
                self.inverses.append(inverse)
        self.copies = [found for drop in plan.dropped if (found := self._copy(drop)) is not None]

    def _copy(self, drop: Dropped) -> TaskInverse | None:
        """Returns how a leaf is restored that was dropped as equal to another one: from the target of that one."""
        task = next((one for one in self.plan.tasks if one.sources == (drop.equal,)), None)
        if (
            task is None
            or drop.equal is None
            or any(map(source_of, (drop.source, drop.equal)))
            or any(step.bound for step in task.steps)
        ):
            return None
        steps = (*(Step(op, ((0,),)) for op in drop.ops), *task.steps)
        twin = replace(task, sources=(drop.source,), steps=steps, in_avals=(drop.leaf.aval,), rule=drop.rule)
        inverse = invert_task(twin, self.names)
        return None if isinstance(inverse, NotInvertible) else replace(inverse, ties=())

    def finished(self, attempt: _Attempt) -> Inversion | None:
        """Returns the inversion if its file applies and restores exactly what it should."""
        made = self._rules(attempt)
        lost, left = tuple(self._lost(made.failed)), tuple(self._left(made.failed))
        header = FileHeader(self.plan, _layout(self.plan, self.tree.leaves.values()), attempt.follow)
        text = inverse_file(header, made.rules, lost, left, self.tree, self.plan.source.tree, self.config)
        rules = parse_rules(text, UNWRITTEN)
        back = make_plan(self.target, rules, None, link=False)
        failed = {id(inverse) for inverse in made.failed}
        known = (*self.inverses, *self.copies)
        expected = {p: e for inverse in known if id(inverse) not in failed for p, e in inverse.expected.items()}
        if not back.applicable or not _does(back, expected, self.plan):
            return None
        if not restores_config(back, self.target, self.plan, self.config):
            return None
        leaves = sum(leaf.has_data for leaf in self.plan.source.tree.leaves.values())
        notes = structure_notes(self.plan, back, lost)
        return Inversion(text, back, lost, left, notes, rules.count, leaves, self.config.lost)

    @cached_property
    def target(self) -> AbstractCheckpoint:
        """The plan's target as an abstract checkpoint."""
        source = self.plan.source
        fields = model_fields(self.plan, Metadata.from_json(source.metadata) or Metadata())
        record = Metadata(hyperparameters=fields["hyperparameters"])
        return AbstractCheckpoint(
            source.path,
            "orbax",
            {"": self.tree},
            extras=self.plan.json_items,
            metadata=merge(with_items({}, kept_items(custom_metadata(self.plan))), record),
            knows_config=source.knows_config,
        )

    def _rules(self, attempt: _Attempt) -> _Rules:
        named, silent = self._by_rule(follow=attempt.follow)
        found: list[tuple[list[InverseRule], list[TaskInverse]]] = []
        if attempt.spelled_out:
            found.append(
                self.inverter.of_paths(
                    [inverse for inverses in named for inverse in inverses] + silent, generalize=False
                )
            )
        else:
            found += [self._of_rule(inverses) for inverses in named]
            found.append(self.inverter.of_paths(silent))
        copied, _ = self.inverter.of_paths(self.copies)
        found.append(([replace(rule, copy=True) for rule in copied], []))
        return _Rules(
            tuple(rule for rules, _ in found for rule in rules),
            tuple(inverse for _, failed in found for inverse in failed),
        )

    def _of_rule(self, inverses: Sequence[TaskInverse]) -> tuple[list[InverseRule], list[TaskInverse]]:
        rule = self._rule_at[inverses[0].task.rule]
        if all(_stays(inverse) for inverse in inverses):
            return [], []
        return self.inverter.of_rule(rule, inverses)

    @cached_property
    def _rule_at(self) -> Mapping[Span | None, Move]:
        return {rule.span: rule for rule in self.plan.rules.rules if isinstance(rule, Move)}

    def _by_rule(self, *, follow: bool) -> tuple[list[list[TaskInverse]], list[TaskInverse]]:
        """Returns the tasks of each rule, and the tasks without a rule that need one in the inverse file."""
        named: defaultdict[int, list[TaskInverse]] = defaultdict(list)
        order = {rule.span: at for at, rule in enumerate(self.plan.rules.rules)}
        silent: list[TaskInverse] = []
        for inverse in self.inverses:
            task = inverse.task
            if task.rule is not None and not _follows(task):
                named[order[task.rule]].append(inverse)
            elif not _stays(inverse) and not (follow and _follows(task)):
                silent.append(inverse)
        return [named[at] for at in sorted(named)], silent

    def _lost(self, failed: Iterable[TaskInverse]) -> Iterator[Lost]:
        leaves = self.plan.source.tree.leaves
        for task, reason in self.blocked:
            yield from (Lost(path, "no inverse", reason, task.rule) for path in task.sources)
        for inverse in failed:
            reason = "its arrays need different inverse ops, which one rule cannot hold"
            yield from (Lost(path, "not expressible", reason, inverse.task.rule) for path in inverse.task.sources)
        gone = {id(inverse) for inverse in failed}
        for inverse in self.inverses:
            if inverse.rounded and id(inverse) not in gone:
                yield from (Lost(path, "rounded", inverse.rounded, inverse.task.rule) for path in inverse.task.sources)
        copied = {path for inverse in self.copies for path in inverse.task.sources}
        for drop in self.plan.dropped:
            if leaves[drop.source].has_data and drop.source not in copied:
                yield Lost(drop.source, "dropped", _why_dropped(drop), drop.rule)
        for name in sorted(self.plan.source.extras.keys() - set(self.plan.extras)):
            yield Lost((name,), "dropped", "the rules drop this item")

    def _left(self, failed: Iterable[TaskInverse]) -> Iterator[LeftBehind]:
        kept = {path for path, leaf in self.plan.source.tree.leaves.items() if not leaf.has_data}
        for creation in self.plan.created:
            path = self.names[creation.target]
            same = path in kept and str(self.plan.source.tree.leaves[path]) == str(creation.leaf)
            if path in self.tree.leaves and not same:
                yield LeftBehind(path, "created", "the rules created it", creation.rule)
        for inverse in self.inverses:
            yield from (_left_tie(tie, inverse.task) for tie in inverse.ties)
        for task in (*(task for task, _ in self.blocked), *(inverse.task for inverse in failed)):
            tied = {tie.path for inverse in failed for tie in inverse.ties}
            reason = "its sources cannot be restored"
            yield from (
                LeftBehind(self.names[path], "unused", reason, task.rule)
                for path in task.targets
                if self.names[path] not in tied
            )


def _left_tie(tie: Tie, task: Task) -> LeftBehind:
    """Returns a tied leaf; moments of tied params are assumed to be equal, and those of others have to be."""
    if tie.ops is None or _follows(task) or not all(task.in_avals):
        return LeftBehind(tie.path, "tied", f"it is assumed to equal `{format_path(tie.twin)}`", task.rule)
    reason = f"it has to equal `{format_path(tie.twin)}`"
    return LeftBehind(tie.path, "tied", reason, task.rule, tie.twin, tie.ops)


def _follows(task: Task) -> bool:
    return bool(task.follows or task.state)


def _stays(inverse: TaskInverse) -> bool:
    """Whether a leaf keeps its key path and needs no rule."""
    return not inverse.steps and inverse.origins == inverse.task.sources and not inverse.ties


def _why_dropped(drop: Dropped) -> str:
    if drop.assert_zero:
        return "the rules drop it, and assert that it is zero"
    return "the rules drop it" if drop.rule else "`unmatched: {source: drop}` drops it"


def _layout(plan: Plan, leaves: Iterable[AbstractLeaf]) -> Layout | None:
    """Returns the `layout` of the inverse file. Flax's level `value`, which is part of stored key paths, takes
    precedence over the items of the source.
    """
    mine = [leaf for leaf in plan.source.tree.leaves.values() if leaf.has_data]
    if not any(leaf.box for leaf in mine) and any(leaf.box for leaf in leaves):
        return "pure_dict"
    if len(plan.source.items) > 1:
        return "items"
    return "state" if plan.rules.target.layout == "items" else None


def _does(back: Plan, expected: Mapping[KeyPath, Expression], plan: Plan) -> bool:
    """Whether a plan computes the expected leaves and no others, in the shapes and dtypes of the source."""
    if expressions(back.tasks) != expected:
        return False
    leaves = plan.source.tree.leaves
    return all(back.target.leaves[path].aval == leaves[path].aval for path in expected)
