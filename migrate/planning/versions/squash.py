"""Squashes a chain of rule files: writes one rule file with the effect of the chain.

The file is planned against the source of the chain and compared with the fused plan before it is returned: it computes
the same expression for every leaf.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from migrate.codes import InexpressibleRules
from migrate.errors import Diagnostic, PlanError, RuleFileError
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.config import configs_of
from migrate.planning.invert.expressions import expressions
from migrate.planning.invert.rule_inverter import InverseRule, RuleInverter
from migrate.planning.invert.spellings import OpUse
from migrate.planning.invert.task_inverse import InverseStep, TaskInverse
from migrate.planning.model import Created, Plan, Step, Task
from migrate.planning.moments import source_slots
from migrate.planning.planner import make_plan
from migrate.planning.rule_text.config import change_fields, config_lines
from migrate.planning.rule_text.cover import patterns_for
from migrate.planning.rule_text.ops import op_text
from migrate.planning.rule_text.write import Word, drop_line, flow, quoted
from migrate.planning.stages import stages
from migrate.planning.versions.chain import ChainStep, plan_steps, result_of
from migrate.planning.versions.fuse import fuse
from migrate.printable import printable
from migrate.rules.editor_line import EDITOR_LINE
from migrate.rules.loader import parse_rules
from migrate.rules.model import Target
from migrate.rules.recorded_tree import is_recorded_tree
from migrate.tree import KeyPath, format_path

UNWRITTEN = "the squashed file"
"""The name of an unwritten file in diagnostics."""


@dataclass(frozen=True)
class Squashed:
    """A rule file with the effect of a chain.

    Attributes:
      text: the file.
      plan: its plan.
      files: the names of the rule files that it replaces.
      rules: the number of its rules.
    """

    text: str
    plan: Plan
    files: tuple[str, ...]
    rules: int


def squash(source: AbstractCheckpoint, steps: Sequence[ChainStep]) -> Squashed:
    """Returns one rule file for a chain.

    Args:
      source: the tree of the first version, of a checkpoint or recorded.
      steps: the rule files in order; at least two.

    Raises:
      PlanError: a step is not applicable, or the chain cannot be written as one rule file (`InexpressibleRules`).
    """
    plans = plan_steps(source, steps, link=False)
    fused = fuse(plans, link=False) if plans[-1].applicable else plans[-1]
    if not fused.applicable:
        raise PlanError(*(one for one in fused.diagnostics if one.is_error))
    writer = _Writer(source, fused, steps)
    for follow in (True, False):
        found = writer.finished(follow=follow)
        if found is not None:
            return found
    raise PlanError(writer.refusal())


class _Writer:
    """Writes rule files with the effect of one fused plan."""

    def __init__(self, source: AbstractCheckpoint, fused: Plan, steps: Sequence[ChainStep]) -> None:
        self.source = source
        self.fused = fused
        self.steps = steps
        self.inverter = RuleInverter(fused.source.tree)
        slots = source_slots(fused.source.tree)
        self.moments = frozenset(path for group in slots.values() for slot in group for path in slot.leaves)
        self.failed: tuple[KeyPath, ...] = ()

    def finished(self, *, follow: bool) -> Squashed | None:
        """Returns the file if it has exactly the effect of the plan."""
        text = self._text(follow=follow)
        last = self.steps[-1]
        try:
            rules = parse_rules(text, UNWRITTEN)
        except RuleFileError:
            return None
        plan = make_plan(self.source, rules, last.template, link=False)
        if not plan.applicable or not _same(plan, self.fused):
            return None
        return Squashed(text, plan, tuple(step.rules.path for step in self.steps), rules.count)

    def refusal(self) -> Diagnostic:
        """Returns the diagnostic of a chain that no rule file expresses."""
        files = f"{self.steps[0].rules.path} to {self.steps[-1].rules.path}"
        if open_rules := self.fused.config.patterns:
            return InexpressibleRules.at(
                f"the chain from {files} has `config` rules whose names depend on the checkpoint",
                span=open_rules[0].span,
                help="name a checkpoint of the first version with `--source SRC`",
            )
        where = f": {', '.join(f'`{format_path(path)}`' for path in self.failed[:5])}" if self.failed else ""
        return InexpressibleRules.at(
            f"the chain from {files} cannot be written as one rule file{where}",
            paths=map(format_path, self.failed),
            help="squash a shorter part of the chain; `upgrade` fuses the rest",
        )

    def _text(self, *, follow: bool) -> str:
        body = [line for rule in self._moves(follow=follow) for line in rule.lines()]
        body += [*self._drops(follow=follow), *self._creations()]
        lines = [*self._head(follow=follow), *(["rules:", *body] if body else ["rules: []"])]
        lines += config_lines([change_fields(change) for change in self.fused.config.changes])
        return "".join(f"{printable(line)}\n" for line in lines)

    def _head(self, *, follow: bool) -> Iterator[str]:
        first, target = self.steps[0].rules.source, self.steps[-1].rules.target
        yield EDITOR_LINE
        yield f"# Squashed: {', '.join(step.rules.path for step in self.steps)}"
        yield "migrate: 1"
        source = {"model": first.model, "version": first.version, "structure": first.structure}
        fields: dict[str, Any] = {
            "model": target.model,
            "version": target.version,
            "template": self._template(),
            "args": dict(target.args) or None,
            "structure": target.structure,
            "layout": _layout(target),
        }
        for name, values in (("source", source), ("target", fields)):
            if given := {key: value for key, value in values.items() if value is not None}:
                yield f"{name}: {flow(given)}"
        if not follow:
            yield "follow: off  # the rules name every moment"

    def _template(self) -> str | None:
        """Returns the template of the last rule file as it is written there; a recorded tree is beside the file."""
        last = self.steps[-1].rules
        name = last.target.template
        return name.removeprefix(last.path[: last.path.rfind("/") + 1]) if name and is_recorded_tree(name) else name

    def _moves(self, *, follow: bool) -> list[InverseRule]:
        tasks = [task for task in self.fused.tasks if not (follow and (task.follows or task.state))]
        drafts: list[TaskInverse] = []
        rules: list[InverseRule] = []
        failed: list[KeyPath] = []
        for task in tasks:
            draft = _as_draft(task)
            if draft is not None:
                drafts.append(draft)
            elif (rule := _tie(task)) is not None:
                rules.append(rule)
            else:
                failed += task.targets
        made, left = self.inverter.of_paths(drafts)
        self.failed = (*failed, *(path for one in left for path in one.task.sources))
        return [*made, *rules]

    def _drops(self, *, follow: bool) -> Iterator[str]:
        universe = list(self.fused.source.tree.leaves)
        for asserted in (False, True):
            paths = [
                drop.source
                for drop in self.fused.dropped
                if drop.assert_zero == asserted
                and drop.equal is None
                and drop.leaf.has_data
                and not (follow and drop.source in self.moments)
            ]
            for text in patterns_for(paths, universe) if paths else ():
                yield drop_line(text, assertion="zero" if asserted else "")
        for drop in self.fused.dropped:
            if drop.equal is not None:
                equal = f"{{equal: {quoted(format_path(drop.equal))}}}"
                yield drop_line(format_path(drop.source), assertion=equal, ops=tuple(map(op_text, drop.ops)))

    def _creations(self) -> Iterator[str]:
        for creation in self.fused.created:
            if creation.init is not None and creation.rule is not None:
                yield f"  - create: {{to: {quoted(format_path(creation.target))}, init: {_init(creation)}}}"


def _init(creation: Created) -> str:
    init = creation.init
    assert init is not None
    if init.kind == "constant":
        return flow({"constant": init.value})
    return f"{{rng: {{seed: {init.value}}}}}" if init.kind == "rng" else init.kind


def _as_draft(task: Task) -> TaskInverse | None:
    """Returns a task in the form from which rules are derived; None where one rule cannot have its effect.

    `RuleInverter` writes the rule that undoes a task from its inverse ops; here the ops are those of the task itself.
    """
    if any(step.bound for step in task.steps):
        return None
    uses: list[InverseStep] = []
    count = len(task.sources)
    for step, arrays in stages(task):
        calls: list[OpUse] = []
        groups: list[tuple[int, ...]] = []
        count = 0
        for group in step.groups:
            given = tuple(arrays[index] for index in group)
            made = len(step.op.infer(*given))
            calls.append(OpUse(step.op, given, made if step.op.role == "extend" else None, step.op))
            groups.append(tuple(range(count, count + made)))
            count += made
        uses.append(InverseStep(tuple(calls), Step(step.op, tuple(groups))))
    if sorted(task.outputs) != list(range(count)):
        return None
    ends = dict(zip(task.outputs, task.targets, strict=True))
    turned = replace(task, sources=tuple(ends[index] for index in range(count)))
    return TaskInverse(turned, task.sources, (), tuple(uses), expressions([task]))


def _tie(task: Task) -> InverseRule | None:
    """Returns the rule of a task that writes one array to several targets."""
    if any(step.bound or step.op.role == "extend" for step in task.steps) or set(task.outputs) != {0}:
        return None
    left, right = (tuple(map(format_path, side)) for side in (task.sources, task.targets))
    return InverseRule(left, right, tuple(op_text(step.op) for step in task.steps))


def _same(plan: Plan, fused: Plan) -> bool:
    """Whether two plans write the same leaves with the same values, and assert the same."""
    return (
        expressions(plan.tasks) == expressions(fused.tasks)
        and _created(plan) == _created(fused)
        and _asserted(plan) == _asserted(fused)
        and _config(plan) == _config(fused)
        and plan.target.leaves == fused.target.leaves
        and plan.target.containers == fused.target.containers
    )


def _config(plan: Plan) -> tuple[Any, ...]:
    """Returns the changes of a plan's configs, and the configs of its target, as values that can be compared."""
    changes = plan.config.changes
    texts = sorted(str((change.item, sorted(change.sources), change.target, change.term)) for change in changes)
    return texts, json.dumps(configs_of(result_of(plan)), sort_keys=True), plan.config.patterns


def _asserted(plan: Plan) -> dict[KeyPath, Any]:
    """Returns what a plan asserts of the leaves that it drops."""
    return {drop.source: (drop.equal, drop.ops) for drop in plan.dropped if drop.asserts}


def _created(plan: Plan) -> dict[KeyPath, Any]:
    return {one.target: (one.init, one.named, one.leaf.aval) for one in plan.created}


def _layout(target: Target) -> Any:
    words = [Word(word) for word in (target.layout, target.storage) if word]
    return words[0] if len(words) == 1 else words or None
