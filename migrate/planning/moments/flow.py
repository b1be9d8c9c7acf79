"""Where the params go, and what rules that name leaves of the optimizer's state decide about its states."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from migrate.codes import UntransferableMoments
from migrate.planning.model import Task
from migrate.planning.moments.ownership import Flow, Params, Unit
from migrate.planning.moments.result import FollowResult
from migrate.planning.moments.slot_move import FollowContext
from migrate.planning.moments.slots import Slot
from migrate.planning.moments.states import TransformState
from migrate.rules.model import Move
from migrate.tree import AbstractTree, KeyPath, format_path

Named = tuple[TransformState, TransformState, Task]
"""A state of the source, the state of the target to which a rule moves one of its leaves, and the task."""


def places_of(context: FollowContext) -> Flow:
    """Returns the places of every source leaf: of its task, its own key path, or all that its failed rule intends."""
    places: defaultdict[KeyPath, dict[KeyPath, None]] = defaultdict(dict)
    for task in context.named:
        for source in task.sources:
            places[source].update(dict.fromkeys(task.targets))
    for path, intended in _intended(context):
        places[path].update(dict.fromkeys(intended))
    claimed = context.claims.claimed
    kept: Flow = {path: (path,) for path in context.source.leaves if path not in claimed}
    if context.template is None:
        return {**places, **kept}
    leaves = context.template.leaves
    moved = {path: [place for place in found if place in leaves] for path, found in places.items()}
    return {**moved, **{path: own if path in leaves else () for path, own in kept.items()}}


def _intended(context: FollowContext) -> Iterator[tuple[KeyPath, list[KeyPath]]]:
    """Yields the params whose rule failed, with all leaves that its right-hand side matches."""
    made = {path for task in context.named for path in task.sources}
    leaves = context.template.leaves if context.template else ()
    for index, claims in context.claims.by_rule.items():
        rule = context.rules.rules[index]
        failed = [claim.path for claim in claims if claim.path not in made]
        if isinstance(rule, Move) and failed:
            intended = [path for path in leaves if any(p.match(path) is not None for p in rule.targets)]
            yield from ((path, intended) for path in failed)


def params_by_root(source: AbstractTree, roots: Collection[KeyPath]) -> dict[KeyPath, Params]:
    """Returns the source's leaves below each root of params."""
    return {root: frozenset(path for path in source.leaves if path[: len(root)] == root) for root in roots}


def named_pairs(
    named: Sequence[Task], sources: Sequence[TransformState], targets: Sequence[TransformState]
) -> list[Named]:
    """Returns the pairs of states between which a rule moves a leaf: that decides about their other leaves."""
    ours = {path: state for state in sources for path in state.paths}
    theirs = {path: state for state in targets for path in state.paths}
    found: dict[tuple[TransformState, TransformState], Task] = {}
    for task in named:
        for target in task.targets:
            one, other = ours.get(task.sources[0]), theirs.get(target)
            if one and other:
                found.setdefault((one, other), task)
    return [(one, other, task) for (one, other), task in found.items()]


def crossed(found: Sequence[Named], sources: Sequence[Unit], targets: Sequence[Unit]) -> list[Named]:
    """Returns the pairs whose params do not correspond, although it is known to which params both belong."""
    ours = {state: unit for unit in sources for state in unit.states}
    theirs = {state: unit for unit in targets for state in unit.states}
    return [
        (one, other, task)
        for one, other, task in found
        if one in ours
        and other in theirs
        and ours[one].params
        and len(theirs[other].owners) == 1
        and theirs[other].params
        and not theirs[other].belongs_to(ours[one].params)
    ]


def refuse_crossed(
    pair: Named,
    targets: Sequence[Unit],
    flow: Flow,
    alternatives: Mapping[KeyPath, Sequence[Slot]],
) -> FollowResult:
    """Refuses a rule that moves state of one model's optimizer to that of another."""
    one, other, task = pair
    source, target = task.sources[0], task.targets[0]
    owners = sorted(frozenset(param for unit in targets if other in unit.states for param in unit.params))
    params = sorted(frozenset(place for param in one.params for place in flow.get(param, ())))
    right = next(
        (
            place
            for unit in targets
            for state in unit.states
            if unit.belongs_to(params) and state.kind == one.kind
            if (place := counterpart(one, state, source, flow, alternatives)) is not None
        ),
        None,
    )
    advice = "remove the rule, and the leaf follows its param"
    diagnostic = UntransferableMoments.at(
        f"`{format_path(source)}` belongs to {_first(params)}, but `{format_path(target)}` to {_first(owners)}; state "
        "cannot continue that of other params",
        span=task.rule,
        paths=[format_path(source)],
        help=advice + (f", or replace the rule: `{move_rule(source, right)}`" if right else ""),
    )
    failed = tuple(path for path in one.paths if path not in task.sources)
    return FollowResult(failed=failed, excused=other.paths, diagnostics=(diagnostic,))


def _first(params: Sequence[KeyPath]) -> str:
    return f"`{format_path(params[0])}`" + (f" and {len(params) - 1} more" if len(params) > 1 else "")


def counterpart(
    one: TransformState,
    other: TransformState,
    path: KeyPath,
    flow: Flow,
    alternatives: Mapping[KeyPath, Sequence[Slot]],
) -> KeyPath | None:
    """Returns the place of one leaf of a state in a state of the target, or None if it has none."""
    for relative in one.leaves:
        if one.leaf(relative) == path:
            return other.leaf(relative) if relative in other.leaves else None
    for name, slot in one.slots.items():
        if path in slot.leaves:
            slots = alternatives.get(other.slots[name].prefix, ()) if name in other.slots else ()
            if one.is_params_copy:
                slots = alternatives.get(other.place, ())
            places = (theirs.moment(place) for theirs in slots for place in flow.get(slot.param(path), ()))
            return next((place for place in places if place is not None), None)
    return None


def example(
    context: FollowContext,
    one: TransformState,
    other: TransformState,
    flow: Flow,
    alternatives: Mapping[KeyPath, Sequence[Slot]],
) -> tuple[KeyPath, KeyPath] | None:
    """Returns a leaf of a state that a plain move takes to its place in another: no param's ops apply to it."""
    reshaped = {path for task in context.named if task.steps for path in task.sources}
    moments = [path for slot in one.slots.values() for path in slot.leaves if slot.param(path) not in reshaped]
    for path in (*moments, *map(one.leaf, one.leaves), *one.paths):
        place = counterpart(one, other, path, flow, alternatives) if path not in context.claims.claimed else None
        if place is not None:
            return path, place
    return None


def move_rule(source: KeyPath, target: KeyPath) -> str:
    """Returns the rule that moves one leaf."""
    return f'- "{format_path(source)} -> {format_path(target)}"'
