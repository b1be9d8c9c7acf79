"""Runs the steps that suggest a rule file for a checkpoint and a template, with marks on unproved rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from migrate.dtypes import is_narrowed
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.model import Plan, Task
from migrate.planning.planner import TemplateLike, make_plan
from migrate.planning.rule_text.generalize import Generalizer
from migrate.planning.rule_text.rule_drafts import RuleDraft
from migrate.planning.suggest.align import Aligner
from migrate.planning.suggest.carried import set_copies_aside, stacked_streams
from migrate.planning.suggest.doubts import doubt_beside_unplaced
from migrate.planning.suggest.drafts import draft_rules
from migrate.planning.suggest.layout import ClassifiedLeaf, ClassifiedTree, lay_out
from migrate.planning.suggest.leftovers import (
    LeftoverDecisions,
    LeftoverRule,
    cast_ops,
    settle_leftovers,
    unsupported_arrays,
    with_leaves_without_arrays,
)
from migrate.planning.suggest.named import names_agree
from migrate.planning.suggest.replicas import (
    replica_count,
    replicas_note,
    unreplicated,
    unreplicated_state,
    without_replicas,
)
from migrate.planning.suggest.text import rule_file
from migrate.planning.suggest.values import Doubt, Endpoint, Match, ModelArray
from migrate.rules.loader import parse_rules
from migrate.tree import KeyPath

_UNFIT = Doubt("the key path is the same, but the shape is another")

UNWRITTEN = "the suggestion"
"""The name of the unwritten rule file in diagnostics."""


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
    """

    text: str
    plan: Plan
    rules: int
    doubts: Mapping[KeyPath, tuple[Doubt, ...]]
    unplaced_sources: tuple[KeyPath, ...]
    unplaced_targets: tuple[KeyPath, ...]
    layouts: tuple[str, str]

    def doubts_of(self, task: Task) -> tuple[Doubt, ...]:
        """Returns the doubts about a task; for a moment, those about its param."""
        sources = (task.follows,) if task.follows else task.sources
        return tuple(dict.fromkeys(doubt for path in sources for doubt in self.doubts.get(path, ())))


def suggest(source: AbstractCheckpoint, template: KnownTemplate, target: Mapping[str, Any] | None = None) -> Suggestion:
    """Suggests rules from a checkpoint to a template. It is pure and applies nothing.

    Args:
      source: the abstract checkpoint.
      template: the target.
      target: additional fields of `target:`, such as `args`.
    """
    mine = lay_out(source.tree)
    theirs = set_copies_aside(mine, lay_out(template.tree, template.variables))
    replicas = replica_count(mine, theirs)
    mine = without_replicas(mine) if replicas else mine
    x64 = getattr(template, "x64", True)
    drafts = [*_model_drafts(mine, theirs, x64=x64), *stacked_streams(mine, theirs)]
    drafts = unreplicated(drafts) if replicas else drafts
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
    rest = with_leaves_without_arrays(rest, source.tree, first.unexpected)
    if replicas:
        rest = replace(rest, drafts=(*unreplicated(rest.drafts), *unreplicated_state(first.tasks)))
    unfit = _unfit(first, mine)
    rest = replace(rest, sources=(*rest.sources, *unfit), targets=(*rest.targets, *unfit))
    rules = _verified([*drafts, *rest.drafts], generalizer, lambda rules: planned(written(rules, rest)))
    doubts = {**_doubts_of(rules), **dict.fromkeys(unfit, (_UNFIT,))}
    count = len(rules) + sum(len(one.patterns) for one in rest.settled)
    head = _head(source, template, (mine, theirs), _doubts_of(rules), rest)
    head += [replicas_note(replicas)] if replicas else []
    text = written(rules, rest, head)
    return Suggestion(text, planned(text), count, doubts, rest.sources, rest.targets, (mine.name, theirs.name))


def _unfit(plan: Plan, mine: ClassifiedTree) -> list[KeyPath]:
    """Returns the arrays of the model that keep their key path and have another shape there, so that no rule fits."""
    model = {leaf.path for leaf in mine.of("model")}
    kept = [(task.sources[0], task.in_avals[0]) for task in plan.tasks if task.rule is None and not task.follows]
    wanted = {path: leaf.aval for path, leaf in plan.target.leaves.items()}
    return [
        path
        for path, aval in kept
        if path in model and aval is not None and (there := wanted.get(path)) and there.shape != aval.shape
    ]


def _model_drafts(mine: ClassifiedTree, theirs: ClassifiedTree, *, x64: bool) -> list[RuleDraft]:
    """Returns the drafts for the model's arrays, and for random streams that keep their place."""
    scope = _scope(mine)
    for path in unsupported_arrays(scope, _scope(theirs)):
        del scope[path]
    solution = Aligner().solve(scope, _scope(theirs), top=True)
    sources, targets = _by_place(mine.of("model")), _by_place(theirs.of("model"))
    matches = [
        _cast(_named(match), sources, targets, x64=x64)
        for match in doubt_beside_unplaced(solution.matches, scope, _scope(theirs))
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


def _scope(side: ClassifiedTree) -> dict[KeyPath, ModelArray]:
    return {leaf.place: ModelArray(leaf.aval.shape, leaf.kind) for leaf in side.of("model")}


def _by_place(leaves: Sequence[ClassifiedLeaf]) -> dict[KeyPath, ClassifiedLeaf]:
    return {leaf.place: leaf for leaf in leaves}


def _paths(leaves: Mapping[KeyPath, ClassifiedLeaf]) -> dict[KeyPath, KeyPath]:
    return {place: leaf.path for place, leaf in leaves.items()}


def _named(match: Match) -> Match:
    """Returns the match with the evidence of its names, where the names of the layer agree."""
    (source, *_), (target, *_) = match.sources, match.targets
    if match.reason or not names_agree(source.path, target.path):
        return match
    return replace(match, reason="names agree")


def _cast(
    match: Match,
    sources: Mapping[KeyPath, ClassifiedLeaf],
    targets: Mapping[KeyPath, ClassifiedLeaf],
    *,
    x64: bool,
) -> Match:
    """Returns the match with a cast where dtypes differ."""
    old, new = sources[match.sources[0].path].aval, targets[match.targets[0].path].aval
    ops = cast_ops(old, new)
    if not ops:
        return match
    reason = "another dtype: refused where a value would change, unless `cast:` sets `lossy: true`"
    if not x64 and is_narrowed(old.dtype, new.dtype):
        reason = f"x64 is off, and JAX makes {new.dtype} of {old.dtype}: with JAX_ENABLE_X64=1 no cast may be needed"
    return replace(match, ops=(*match.ops, *ops), reason=", ".join(filter(None, (match.reason, reason))))


def _verified(drafts: Sequence[RuleDraft], generalizer: Generalizer, planned: Any) -> list[RuleDraft]:
    """Returns the fewest rules from which the planner makes exactly the intended tasks."""
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
    sides: tuple[ClassifiedTree, ClassifiedTree],
    doubts: Mapping[KeyPath, tuple[Doubt, ...]],
    rest: LeftoverDecisions,
) -> list[str]:
    """Returns the lines of the comment at the top of the file."""
    mine, theirs = sides
    lines = [
        f"Suggested for {source.path.name} ({mine.name}, {len(mine.leaves)} leaves) "
        f"and {template.spec} ({len(theirs.leaves)} leaves).",
        "Review it before use: it is derived from names and shapes, and not checked against values.",
    ]
    if doubts:
        many = f"{len(doubts)} source leaves also fit elsewhere by their shapes"
        one = "1 source leaf also fits elsewhere by its shape"
        lines.append(f"{one if len(doubts) == 1 else many}: see `unproved`.")
    left = len(rest.sources) + len(rest.targets)
    if left:
        unplaced = "1 leaf is" if left == 1 else f"{left} leaves are"
        lines.append(f"{unplaced} not placed: see the end; the plan does not apply until rules cover all leaves.")
    return lines


__all__ = ["LeftoverRule", "Suggestion", "suggest"]
