"""A suggestion, and its composition from drafts: the rules, their plan, and the text of the rule file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from migrate.codes import DuplicateTarget, IdlePattern, OverlappingRules, UnknownTarget, UnusedSource
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.model import Plan, Task
from migrate.planning.planner import TemplateLike, make_plan
from migrate.planning.rule_text.generalize import Generalizer
from migrate.planning.rule_text.rule_drafts import RuleDraft, text_of
from migrate.planning.suggest.families import FamilyFit
from migrate.planning.suggest.leftovers import LeftoverDecisions
from migrate.planning.suggest.prefixes import with_prefix_rules
from migrate.planning.suggest.text import rule_file
from migrate.planning.suggest.values import Doubt
from migrate.rules.loader import parse_rules
from migrate.tree import KeyPath

UNWRITTEN = "the suggestion"
"""The name of the unwritten rule file in diagnostics."""

_CONFLICTS = frozenset({OverlappingRules.number, DuplicateTarget.number, UnknownTarget.number, IdlePattern.number})
"""Errors of rules that match more or fewer leaves than they should."""

_NOTHING = LeftoverDecisions((), (), (), ())


class KnownTemplate(TemplateLike, Protocol):
    """A template that also provides the types of its Variables."""

    @property
    def variables(self) -> Mapping[KeyPath, str]:
        """The name of the Variable type of each leaf that belongs to a Variable."""


@dataclass(frozen=True)
class Suggestion:
    """A rule file for review.

    Attributes:
      text: the text of the file.
      plan: the plan of these rules; applicable when every leaf is placed.
      rules: the number of rules.
      doubts: by source leaf, the doubts about its target.
      unplaced_sources, unplaced_targets: leaves that are listed without a guess.
      layouts: short descriptions of source and target.
      drafts: what the rules were merged from, one draft for each task of a rule.
      composition: composes a suggestion from other drafts.
      findings: the findings of the probe, if one was run.
    """

    text: str
    plan: Plan
    rules: int
    doubts: Mapping[KeyPath, tuple[Doubt, ...]]
    unplaced_sources: tuple[KeyPath, ...]
    unplaced_targets: tuple[KeyPath, ...]
    layouts: tuple[str, str]
    drafts: tuple[RuleDraft, ...] = field(repr=False)
    composition: Composition = field(repr=False)
    findings: ProbeFindings | None = None

    def doubts_of(self, task: Task) -> tuple[Doubt, ...]:
        """Returns the doubts about a task; for a moment, those about its param."""
        sources = (task.follows,) if task.follows else task.sources
        return tuple(dict.fromkeys(doubt for path in sources for doubt in self.doubts.get(path, ())))


@dataclass(frozen=True, slots=True)
class ProbeFindings:
    """The findings of a probe that was run on a suggestion and its variants.

    Attributes:
      spec: the probe, as `module:function`.
      runs, budget: the number of runs, and their limit.
      agrees: whether all outputs agree on the suggestion as it is written.
      changed: the number of variants that were chosen to make them agree.
      proved: the target leaves whose doubts the probe settled.
      alike, untried: the target leaves that it cannot tell from others, and those that had no run left.
      reason: where outputs do not agree, or why the probe did not run.
    """

    spec: str
    runs: int
    budget: int
    agrees: bool
    changed: int = 0
    proved: frozenset[KeyPath] = frozenset()
    alike: frozenset[KeyPath] = frozenset()
    untried: frozenset[KeyPath] = frozenset()
    reason: str = ""


@dataclass(frozen=True)
class Composition:
    """The parts of a suggestion beside the drafts of its rules.

    Attributes:
      source, template: the checkpoint and the target.
      fields: the fields of `target:`.
      layouts: short descriptions of source and target.
      rest: the rules that drop and create leaves, and the leaves that are not placed.
      doubts: doubts about leaves that no rule moves.
      notes: comments at the top of the file, after those about doubts and unplaced leaves.
      family: the bundled rule file that moves the model's arrays, if one does.
    """

    source: AbstractCheckpoint
    template: KnownTemplate
    fields: Mapping[str, Any]
    layouts: tuple[str, str] = ("", "")
    rest: LeftoverDecisions = _NOTHING
    doubts: Mapping[KeyPath, tuple[Doubt, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    family: FamilyFit | None = None

    def suggestion(self, drafts: Sequence[RuleDraft], findings: ProbeFindings | None = None) -> Suggestion:
        """Returns the suggestion of these drafts."""
        rules = self._verified(drafts)
        doubts = _doubts_of(rules)
        text = self._text(rules, self._head(doubts, findings))
        count = len(rules) + sum(len(one.patterns) for one in self.rest.settled)
        count += self.family.rules if self.family else 0
        rest = self.rest
        return Suggestion(
            text,
            self._planned(text),
            count,
            {**doubts, **self.doubts},
            rest.sources,
            rest.targets,
            self.layouts,
            tuple(drafts),
            self,
            findings,
        )

    def plan(self, drafts: Sequence[RuleDraft]) -> Plan:
        """Returns the plan of drafts, each of which is a rule of its own unless it keeps its key path."""
        return self._planned(self._text([draft for draft in drafts if not draft.keeps]))

    def exact_plan(self, drafts: Sequence[RuleDraft]) -> Plan | None:
        """Returns the plan of drafts; None if it does not fill the target, or moves a leaf otherwise than they do."""
        plan = self.plan(drafts)
        return plan if fills_target(plan) and _is_exact(plan, drafts) else None

    def general_plan(self, drafts: Sequence[RuleDraft]) -> Plan:
        """Returns the plan of the rules to which drafts are merged."""
        return self._planned(self._text(self._generalizer.rules(drafts)))

    @cached_property
    def _generalizer(self) -> Generalizer:
        return Generalizer([path for path, leaf in self.source.tree.leaves.items() if leaf.has_data])

    def _text(self, rules: Sequence[RuleDraft], head: Sequence[str] = ()) -> str:
        return rule_file(
            head=head,
            target={"template": self.template.spec, **self.fields},
            rules=rules,
            settled=self.rest.settled,
            unplaced=(self.rest.sources, self.rest.targets),
            source=self.source.tree,
            template=self.template.tree,
            comments=bool(head),
            include=self.family.include if self.family else "",
        )

    def _planned(self, text: str) -> Plan:
        return make_plan(self.source, parse_rules(text, UNWRITTEN), self.template)

    def _verified(self, drafts: Sequence[RuleDraft]) -> list[RuleDraft]:
        """Returns the fewest rules from which the planner makes exactly the intended tasks."""
        general = self._generalizer.rules(drafts)
        dropped = [
            tuple(text.split("/")) for rule in self.rest.settled if rule.verb == "drop" for text in rule.patterns
        ]
        kept = [side for draft in drafts if draft.keeps for side in draft.sources]
        prefixed = with_prefix_rules(general, [*dropped, *kept, *map(text_of, self.rest.sources)])
        choices = [general, [draft for draft in drafts if not draft.keeps]]
        for rules in choices if len(prefixed) == len(general) else [prefixed, *choices]:
            plan = self._planned(self._text(rules))
            if _is_exact(plan, drafts):
                return list(rules)
        return choices[-1]

    def _head(self, doubts: Mapping[KeyPath, tuple[Doubt, ...]], findings: ProbeFindings | None) -> list[str]:
        """Returns the lines of the comment at the top of the file."""
        checked = "a probe compared its outputs" if findings and findings.agrees else "not checked against values"
        about = f"it is {'derived' if self.family is None else 'chosen'} from names and shapes"
        lines = [
            *([self.family.sentence] if self.family else ()),
            f"Suggested for {self.source.path.name} ({self.layouts[0]}, {len(self.source.tree.leaves)} leaves) "
            f"and {self.template.spec} ({len(self.template.tree.leaves)} leaves).",
            f"Review it before use: {about}, and {checked}.",
        ]
        if doubts and self.family is None:
            many = f"{len(doubts)} source leaves also fit elsewhere by their shapes"
            one = "1 source leaf also fits elsewhere by its shape"
            lines.append(f"{one if len(doubts) == 1 else many}: see `unproved`.")
        left = len(self.rest.sources) + len(self.rest.targets)
        if left:
            unplaced = "1 leaf is" if left == 1 else f"{left} leaves are"
            lines.append(f"{unplaced} not placed: see the end; the plan does not apply until rules cover all leaves.")
        return [*lines, *self.notes, *([probe_sentence(findings)] if findings else [])]


def fills_target(plan: Plan) -> bool:
    """Whether every leaf of the target has a value: nothing is wrong but leaves of the source without a target."""
    return all(found.code == UnusedSource.number for found in plan.diagnostics if found.is_error)


def probe_sentence(findings: ProbeFindings) -> str:
    """Returns the findings of a probe as one line."""
    runs = "1 run" if findings.runs == 1 else f"{findings.runs} runs"
    if not findings.agrees:
        return f"Probe: `{findings.spec}`, {runs}: {findings.reason}."
    parts = ["all outputs agree"]
    if findings.proved:
        parts.append(f"{_leaves(findings.proved)} in doubt proved by value")
    if findings.changed:
        groups = "1 assignment" if findings.changed == 1 else f"{findings.changed} assignments"
        parts.append(f"{groups} changed for this")
    if findings.alike:
        parts.append(f"{_leaves(findings.alike)} that it cannot tell apart")
    if findings.untried:
        parts.append(f"{_leaves(findings.untried)} not tried: `--probe-budget` above {findings.budget} tries them")
    return f"Probe: `{findings.spec}`, {runs}: {'; '.join(parts)}."


def _leaves(paths: frozenset[KeyPath]) -> str:
    return "1 leaf" if len(paths) == 1 else f"{len(paths)} leaves"


def _is_exact(plan: Plan, drafts: Sequence[RuleDraft]) -> bool:
    """Whether the planner makes exactly the intended tasks."""
    wanted = {path: draft for draft in drafts for path in draft.fills}
    strict = not any(found.is_error and found.code in _CONFLICTS for found in plan.diagnostics)
    made = {path: frozenset(task.sources) for task in plan.tasks if not task.follows for path in task.targets}
    return strict and all(path in made and made[path] <= draft.claims for path, draft in wanted.items())


def _doubts_of(rules: Sequence[RuleDraft]) -> dict[KeyPath, tuple[Doubt, ...]]:
    found: defaultdict[KeyPath, list[Doubt]] = defaultdict(list)
    for rule in rules:
        for path, doubt in rule.doubts:
            for claimed in rule.claims if len(rule.sources) > 1 else (path,):
                found[claimed].append(doubt)
    return {path: tuple(dict.fromkeys(doubts)) for path, doubts in found.items()}
