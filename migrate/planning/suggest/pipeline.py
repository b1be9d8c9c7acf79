"""Runs the steps that suggest a rule file for a checkpoint and a template, with marks on unproved rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from migrate.dtypes import is_narrowed
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.model import Plan
from migrate.planning.rule_text.rule_drafts import RuleDraft
from migrate.planning.suggest.align import Aligner
from migrate.planning.suggest.carried import set_copies_aside, stacked_counts, stacked_streams
from migrate.planning.suggest.composition import Composition, KnownTemplate, Suggestion
from migrate.planning.suggest.doubts import doubt_beside_unplaced
from migrate.planning.suggest.drafts import draft_rules
from migrate.planning.suggest.family_drafts import family_suggestion
from migrate.planning.suggest.layout import ClassifiedLeaf, ClassifiedTree, lay_out, refuse_single_array
from migrate.planning.suggest.leftovers import (
    LeftoverRule,
    cast_ops,
    settle_leftovers,
    unsupported_arrays,
    with_leaves_without_arrays,
)
from migrate.planning.suggest.moved_streams import moved_streams
from migrate.planning.suggest.named import names_agree
from migrate.planning.suggest.replicas import (
    replica_count,
    replicas_note,
    unreplicated,
    unreplicated_state,
    without_replicas,
)
from migrate.planning.suggest.transformers import Known, known_parts
from migrate.planning.suggest.values import Doubt, Endpoint, Match, ModelArray
from migrate.tree import KeyPath

_UNFIT = Doubt("the key path is the same, but the shape is another")


def suggest(
    source: AbstractCheckpoint,
    template: KnownTemplate,
    target: Mapping[str, Any] | None = None,
    *,
    families: bool = False,
    config: Mapping[str, Any] | None = None,
) -> Suggestion:
    """Suggests rules from a checkpoint to a template. It applies nothing.

    Args:
      source: the abstract checkpoint.
      template: the target.
      target: additional fields of `target:`, such as `args`.
      families: whether a bundled rule file that accounts for every array of the model is suggested instead.
      config: the checkpoint's `config.json`, if it has one, which tells families of one tree apart.

    Raises:
      UsageError: the checkpoint is a single array (`InvalidUsage`).
    """
    refuse_single_array(source)
    mine = lay_out(source.tree)
    found = family_suggestion(source, template, target or {}, mine, config) if families else None
    if found is not None:
        return found
    theirs = set_copies_aside(mine, lay_out(template.tree, template.variables))
    replicas = replica_count(mine, theirs)
    mine = without_replicas(mine) if replicas else mine
    x64 = getattr(template, "x64", True)
    known = known_parts(mine.of("model"), theirs.of("model"))
    drafts = [*_model_drafts(mine, theirs, known, x64=x64), *stacked_streams(mine, theirs)]
    drafts += stacked_counts(mine, theirs) if _unstacks(drafts) else []
    drafts = unreplicated(drafts) if replicas else drafts
    composition = Composition(
        source,
        template,
        target or {},
        (mine.name, theirs.name),
        notes=(replicas_note(replicas),) if replicas else (),
    )
    first = composition.general_plan(drafts)
    rest = settle_leftovers(mine, theirs, first.unexpected, first.missing)
    rest = with_leaves_without_arrays(rest, source.tree, first.unexpected).with_drops(known.drops)
    if replicas:
        rest = replace(rest, drafts=(*unreplicated(rest.drafts), *unreplicated_state(first.tasks)))
    unfit = _unfit(first, mine)
    rest = replace(rest, sources=(*rest.sources, *unfit), targets=(*rest.targets, *unfit))
    complete = replace(composition, rest=rest, doubts=dict.fromkeys(unfit, (_UNFIT,)))
    return complete.suggestion([*drafts, *rest.drafts])


def _unstacks(drafts: Sequence[RuleDraft]) -> bool:
    """Whether arrays of the model are stacked or unstacked, as those of several models are."""
    return any(op.startswith(("stack", "unstack")) for draft in drafts for op in draft.ops)


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


def _model_drafts(mine: ClassifiedTree, theirs: ClassifiedTree, known: Known, *, x64: bool) -> list[RuleDraft]:
    """Returns the drafts for the model's arrays, and for random streams that keep their place or move with a layer."""
    taken = known.taken(mine.of("model"))
    scope, wanted_scope = _scope(mine, taken), _scope(theirs, taken)
    for path in unsupported_arrays(scope, wanted_scope):
        del scope[path]
    solution = Aligner(torch=known.torch).solve(scope, wanted_scope, top=True)
    sources, targets = _by_place(mine.of("model")), _by_place(theirs.of("model"))
    matches = [
        _cast(_named(match), sources, targets, x64=x64)
        for match in known.doubted(
            doubt_beside_unplaced(solution.matches, scope, wanted_scope), _scope(mine), _scope(theirs)
        )
    ]
    streams, wanted = _by_place(mine.of("rng")), _by_place(theirs.of("rng"))
    kept = [
        Match((Endpoint(place),), (Endpoint(place),), (), "the same key path")
        for place, leaf in streams.items()
        if place in wanted and wanted[place].aval == leaf.aval
    ]
    settled = {match.sources[0].path for match in kept}
    unsettled, missing = (
        {place: leaf for place, leaf in side.items() if place not in settled} for side in (streams, wanted)
    )
    return [
        *known.drafts,
        *draft_rules(matches, _paths(sources), _paths(targets)),
        *draft_rules([*kept, *moved_streams(unsettled, missing, matches)], _paths(streams), _paths(wanted)),
    ]


def _scope(side: ClassifiedTree, taken: Collection[KeyPath] = ()) -> dict[KeyPath, ModelArray]:
    """Returns the arrays of the model without those that are taken."""
    return {leaf.place: ModelArray(leaf.aval.shape, leaf.kind) for leaf in side.of("model") if leaf.path not in taken}


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


__all__ = ["LeftoverRule", "Suggestion", "suggest"]
