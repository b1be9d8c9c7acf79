"""The pipeline: a checkpoint and a template go in, a rule file with what it could not prove comes out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.model import Plan, Task
from migrate.planning.planner import TemplateLike, make_plan
from migrate.planning.suggest.align import Aligner
from migrate.planning.suggest.doubts import doubt_beside_unplaced
from migrate.planning.suggest.generalize import Generalizer
from migrate.planning.suggest.layout import ClassifiedLeaf, Layout, lay_out
from migrate.planning.suggest.leftovers import (
    LeftoverDecisions,
    LeftoverRule,
    cast_ops,
    settle_leftovers,
    unsupported_arrays,
)
from migrate.planning.suggest.rule_drafts import RuleDraft, draft_rules
from migrate.planning.suggest.text import rule_file
from migrate.planning.suggest.values import Doubt, Endpoint, Match, ModelArray
from migrate.rules.loader import parse_rules
from migrate.tree import KeyPath

UNWRITTEN = "the suggestion"
"""What diagnostics call a rule file that is not a file yet."""


class KnownTemplate(TemplateLike, Protocol):
    """A template that also knows the types of its Variables."""

    @property
    def variables(self) -> Mapping[KeyPath, str]:
        """The name of the Variable type of each leaf that belongs to one."""


@dataclass(frozen=True)
class Suggestion:
    """A rule file to be reviewed.

    Attributes:
      text: the file.
      plan: what it leads to; applicable when every leaf found its place.
      rules: how many rules it has.
      doubts: by source leaf, what is not proved about where it goes.
      unplaced_sources, unplaced_targets: leaves that are listed and not guessed.
      layouts: what source and target are, in words.
    """

    text: str
    plan: Plan
    rules: int
    doubts: Mapping[KeyPath, tuple[Doubt, ...]]
    unplaced_sources: tuple[KeyPath, ...]
    unplaced_targets: tuple[KeyPath, ...]
    layouts: tuple[str, str]

    def doubts_of(self, task: Task) -> tuple[Doubt, ...]:
        """What is not proved about a task; a moment's is what is not proved about its param."""
        sources = (task.follows,) if task.follows else task.sources
        return tuple(dict.fromkeys(doubt for path in sources for doubt in self.doubts.get(path, ())))


def suggest(source: AbstractCheckpoint, template: KnownTemplate, target: Mapping[str, Any] | None = None) -> Suggestion:
    """Suggests the rules that lead from a checkpoint to a template; pure, and never applied by itself.

    Args:
      source: the checkpoint, abstract.
      template: the target.
      target: more fields of `target:`, such as `args`.
    """
    mine, theirs = lay_out(source.tree), lay_out(template.tree, template.variables)
    drafts = _model_drafts(mine, theirs)
    data = [path for path, leaf in source.tree.leaves.items() if leaf.has_data]
    fields = {"template": template.spec, **(target or {})}

    def written(rules: Sequence[RuleDraft], rest: LeftoverDecisions, head: Sequence[str] = ()) -> str:
        return rule_file(
            head=head,
            target=fields,
            rules=rules,
            settled=rest.settled,
            unplaced=(rest.sources, rest.targets),
            source=source.tree,
            template=template.tree,
            comments=bool(head),
        )

    def planned(text: str) -> Plan:
        return make_plan(source, parse_rules(text, UNWRITTEN), template)

    generalizer = Generalizer(data)
    first = planned(written(generalizer.rules(drafts), LeftoverDecisions((), (), (), ())))
    rest = settle_leftovers(mine, theirs, first.unexpected, first.missing)
    rules = _verified([*drafts, *rest.drafts], generalizer, lambda rules: planned(written(rules, rest)))
    doubts = _doubts_of(rules)
    count = len(rules) + sum(len(one.patterns) for one in rest.settled)
    head = _head(source, template, (mine, theirs), doubts, rest)
    text = written(rules, rest, head)
    return Suggestion(text, planned(text), count, doubts, rest.sources, rest.targets, (mine.name, theirs.name))


def _model_drafts(mine: Layout, theirs: Layout) -> list[RuleDraft]:
    """Rows of the model's arrays, and of random streams that lie where they lay."""
    scope = _scope(mine)
    for path in unsupported_arrays(scope, _scope(theirs)):
        del scope[path]
    solution = Aligner().solve(scope, _scope(theirs), top=True)
    sources, targets = _by_place(mine.of("model")), _by_place(theirs.of("model"))
    matches = [
        _cast(match, sources, targets) for match in doubt_beside_unplaced(solution.matches, scope, _scope(theirs))
    ]
    streams, wanted = _by_place(mine.of("rng")), _by_place(theirs.of("rng"))
    kept = [
        Match((Endpoint(place),), (Endpoint(place),), (), "the same key path")
        for place, leaf in streams.items()
        if place in wanted and wanted[place].aval == leaf.aval
    ]
    return [
        *draft_rules(matches, _paths(sources), _paths(targets)),
        *draft_rules(kept, _paths(streams), _paths(wanted)),
    ]


def _scope(side: Layout) -> dict[KeyPath, ModelArray]:
    return {leaf.place: ModelArray(leaf.aval.shape, leaf.kind) for leaf in side.of("model")}


def _by_place(leaves: Sequence[ClassifiedLeaf]) -> dict[KeyPath, ClassifiedLeaf]:
    return {leaf.place: leaf for leaf in leaves}


def _paths(leaves: Mapping[KeyPath, ClassifiedLeaf]) -> dict[KeyPath, KeyPath]:
    return {place: leaf.path for place, leaf in leaves.items()}


def _cast(match: Match, sources: Mapping[KeyPath, ClassifiedLeaf], targets: Mapping[KeyPath, ClassifiedLeaf]) -> Match:
    """The match with a cast where dtypes differ."""
    ops = cast_ops(sources[match.sources[0].path].aval, targets[match.targets[0].path].aval)
    if not ops:
        return match
    reason = "another dtype: refused where a value would change, unless `cast:` says `lossy: true`"
    return replace(match, ops=(*match.ops, *ops), reason=", ".join(filter(None, (match.reason, reason))))


def _verified(drafts: Sequence[RuleDraft], generalizer: Generalizer, planned: Any) -> list[RuleDraft]:
    """The fewest rules of which the planner makes just the tasks that were meant."""
    wanted = {path: draft for draft in drafts for path in draft.fills}
    for rules in (generalizer.rules(drafts), [draft for draft in drafts if not draft.keeps]):
        plan: Plan = planned(rules)
        made = {path: frozenset(task.sources) for task in plan.tasks if not task.follows for path in task.targets}
        if all(path in made and made[path] <= draft.claims for path, draft in wanted.items()):
            return list(rules)
    return list(rules)


def _doubts_of(rules: Sequence[RuleDraft]) -> dict[KeyPath, tuple[Doubt, ...]]:
    found: defaultdict[KeyPath, list[Doubt]] = defaultdict(list)
    for rule in rules:
        for path, doubt in rule.doubts:
            for claimed in rule.claims if len(rule.sources) > 1 else (path,):
                found[claimed].append(doubt)
    return {path: tuple(dict.fromkeys(doubts)) for path, doubts in found.items()}


def _head(
    source: AbstractCheckpoint,
    template: KnownTemplate,
    sides: tuple[Layout, Layout],
    doubts: Mapping[KeyPath, tuple[Doubt, ...]],
    rest: LeftoverDecisions,
) -> list[str]:
    """What a reader has to know first."""
    mine, theirs = sides
    lines = [
        f"Suggested for {source.path.name} ({mine.name}, {len(mine.leaves)} leaves) "
        f"and {template.spec} ({len(theirs.leaves)} leaves).",
        "Read it before it is applied: nothing here was tried on values.",
    ]
    if doubts:
        lines.append(f"{len(doubts)} source leaves could go elsewhere by their shapes: look for `unproved`.")
    left = len(rest.sources) + len(rest.targets)
    if left:
        found = "1 leaf found" if left == 1 else f"{left} leaves found"
        lines.append(f"{found} no place: listed at the end; the plan refuses to go without.")
    return lines


__all__ = ["LeftoverRule", "Suggestion", "suggest"]
