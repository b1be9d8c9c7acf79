"""Moments follow their params: subtrees of the optimizer's state that mirror the params get the params' rules.

Moving elements commutes with every elementwise optimizer, so a moment goes through the ops of its param and ends in the
slot of the target that continues its own. Counts and hyperparameters move with their state. What has no exact
equivalent is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from migrate.codes import PerTensorOptimizer, UntransferableMoments
from migrate.errors import Diagnostic
from migrate.planning.claims import Claims
from migrate.planning.model import Created, Dropped, Task
from migrate.planning.moments.adafactor import FIELDS, move_factors, settled
from migrate.planning.moments.counters import move_counters
from migrate.planning.moments.flow import (
    crossed,
    example,
    move_rule,
    named_pairs,
    params_by_root,
    places_of,
    refuse_crossed,
)
from migrate.planning.moments.names import FACTORED
from migrate.planning.moments.ownership import Flow, Params, source_units, target_units
from migrate.planning.moments.pairing import StateGroup, pair_units
from migrate.planning.moments.result import FollowResult, combine
from migrate.planning.moments.slot_group import SlotGroup
from migrate.planning.moments.slot_move import FollowContext, SlotMove, claims_of, move_slot
from migrate.planning.moments.slots import Slot, best_roots, common_prefix, source_slots, target_slots
from migrate.planning.moments.states import TransformState, find_states
from migrate.rules.model import Drop, Move, RuleSet
from migrate.source_names import source_of
from migrate.tree import AbstractTree, KeyPath, format_path, is_below

Alternatives = Mapping[KeyPath, Sequence[Slot]]
"""The slots of each node of the template: several where it could mirror several roots of params."""


def follow(
    rules: RuleSet,
    source: AbstractTree,
    claims: Claims,
    named: Sequence[Task],
    created: Collection[Created],
    template: AbstractTree | None,
    transforms: frozenset[str] | None = None,
) -> FollowResult:
    """Applies the params' rules to every slot.

    Args:
      rules: the rule file.
      source: the source's tree.
      claims: the rules' claims by name; claimed leaves do not follow.
      named: the tasks of those claims.
      created: the leaves that rules create by name.
      template: the target's tree, if there is a template.
      transforms: the names of the transforms of the template's optimizers; None where they are unknown.
    """
    context = FollowContext(rules, claims, named, source, template, transforms)
    slots = source_slots(source)
    each = [*dict.fromkeys(slot for group in slots.values() for slot in group)]
    first: dict[tuple[KeyPath, KeyPath], Slot] = {}
    for slot in each:
        first.setdefault((slot.prefix, slot.suffix), slot)
    rivals, states = _by_node(each), find_states(source, [*first.values()])
    flow = places_of(context)
    if template is None:
        own = {root: group for root, group in slots.items() if not source_of(root)}
        parts = [_follow_in_place(context, root, _of_root(states, group), flow) for root, group in own.items()]
    elif slots:
        parts = [_follow_into(context, template, params_by_root(source, slots), states, rivals, flow, created)]
    else:
        parts = []
    whole = combine(parts)
    return combine([whole, FollowResult(diagnostics=_per_tensor_note(whole.cut))])


def _of_root(states: Iterable[TransformState], slots: Collection[Slot]) -> list[TransformState]:
    return [state for state in states if any(slot in slots for slot in state.slots.values())]


def _follow_into(
    context: FollowContext,
    template: AbstractTree,
    roots: Mapping[KeyPath, Params],
    states: Sequence[TransformState],
    rivals: Alternatives,
    flow: Flow,
    created: Collection[Created],
) -> FollowResult:
    """Moves all states of the source into the template's."""
    places = [frozenset(place for param in params for place in flow.get(param, ())) for params in roots.values()]
    found = best_roots(template, [slot for params in places for slot in target_slots(template, params)])
    alternatives = _by_node(found)
    changed = {path for task in context.named if task.steps for path in task.sources}
    wanted = find_states(template, [group[0] for group in alternatives.values()])
    pairs = named_pairs(context.named, states, wanted)
    taken = {path for task in context.named for path in task.targets} | {creation.target for creation in created}
    ours = [s for s in states if any(s == a for a, *_ in pairs) or not context.claims.claimed >= {*s.paths}]
    theirs = [t for t in wanted if any(t == b for _, b, _ in pairs) or not taken >= {*t.paths}]
    sources = source_units(ours, rivals, roots, flow, changed)
    targets = target_units(theirs, alternatives, places, {})
    wrong = crossed(pairs, sources, targets)
    images = {state: unit.params for unit in sources for state in unit.states}
    known = [(one, other) for one, other, task in pairs if (one, other, task) not in wrong]
    targets = target_units(theirs, alternatives, places, {other: images[one] for one, other in known})
    refused = [state for one, other, _ in wrong for state in (one, other)]
    found_pairs = pair_units(sources, targets, known)
    groups = [group for group in found_pairs.groups if not {*group.sources, *group.targets} & {*refused}]
    parts = [_set_aside(context, group) for group in found_pairs.groups if group not in groups]
    unclear = [(one, others) for one, others in found_pairs.ambiguous if one not in refused]
    parts += [_follow_group(context, group, states, flow, (rivals, alternatives), taken) for group in groups]
    parts += [_ambiguous(context, one, others, flow, alternatives) for one, others in unclear]
    parts += [refuse_crossed(pair, targets, flow, alternatives) for pair in wrong]
    done = [*refused, *found_pairs.settled()]
    rest = FollowResult(
        barred=tuple(path for state in states for path in state.paths),
        lost=tuple(state for state in ours if state not in done),
        fresh=tuple(state for state in theirs if state not in done),
    )
    return combine([*parts, rest])


def _set_aside(context: FollowContext, group: StateGroup) -> FollowResult:
    """Decides nothing about states of which a rule that is refused names a leaf."""
    failed = (path for state in group.sources for path in state.paths if path not in context.claims.claimed)
    return FollowResult(failed=tuple(failed), excused=tuple(path for state in group.targets for path in state.paths))


def _follow_group(
    context: FollowContext,
    group: StateGroup,
    states: Iterable[TransformState],
    flow: Flow,
    alternatives: tuple[Alternatives, Alternatives],
    taken: Collection[KeyPath],
) -> FollowResult:
    """Moves states of one transform: their slots by their params' rules, their own leaves by name."""
    one = group.sources[0]
    beside = {state.name for state in states if state.optimizer == one.optimizer and state.name}
    transforms = frozenset() if one.is_params_copy else beside | (context.transforms or frozenset())
    moves: dict[str, SlotMove] = {}
    gone: list[FollowResult] = []
    for name in dict.fromkeys(name for state in group.sources for name in state.slots):
        ours, theirs = _corresponding(group, name, flow, *alternatives)
        if theirs:
            moves[name] = SlotMove(
                context, SlotGroup(ours), SlotGroup(theirs), one.name, transforms, copy=one.is_params_copy
            )
        elif any(state.slots or state.empty_fields for state in group.targets):
            gone += [_missing_slot(context, slot, group.targets[0]) for slot in ours]
    moments = combine([*_follow_slots(moves, one), *gone])
    return combine([moments, move_counters(context, group, moments, taken)])


def _corresponding(
    group: StateGroup, name: str, flow: Flow, rivals: Alternatives, alternatives: Alternatives
) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """Returns the slots of one field on both sides, with the roots between which the params move."""
    copy = group.sources[0].is_params_copy
    fields = [slot for t in group.targets for other, slot in t.slots.items() if other == name or copy]
    theirs = [slot for field in fields for slot in alternatives[field.prefix]]
    ours, image = [], set[KeyPath]()
    for state in (state for state in group.sources if name in state.slots):
        slots = [slot for slot in rivals[state.slots[name].prefix] if slot.suffix == state.slots[name].suffix]
        images = [{place for param in slot.params for place in flow.get(param, ())} for slot in slots]
        chosen = next((i for i, places in enumerate(images) if any(slot.params & places for slot in theirs)), 0)
        ours.append(slots[chosen])
        image |= images[chosen]
    return tuple(ours), tuple(slot for slot in theirs if not image or slot.params & image) or tuple(theirs[:1])


def _by_node(slots: Iterable[Slot]) -> dict[KeyPath, list[Slot]]:
    found: dict[KeyPath, list[Slot]] = {}
    for slot in slots:
        found.setdefault(slot.prefix, []).append(slot)
    return found


def _missing_slot(context: FollowContext, slot: Slot, other: TransformState) -> FollowResult:
    """Decides about a slot that the target's matched state lacks: it keeps no moments, or those of other params."""
    dropped, failed = [], []
    drops = {index for index, rule in enumerate(context.rules.rules) if isinstance(rule, Drop)}
    left = {claim.path for index in drops for claim in context.claims.by_rule.get(index, ())}
    for path in slot.leaves:
        if path not in context.claims.claimed:
            if slot.param(path) in left:
                dropped.append(Dropped(path, context.source.leaves[path]))
            else:
                failed.append(path)
    diagnostic = UntransferableMoments.at(
        f"the moments in `{format_path(slot.prefix)}` have no place in the target: {other.title} has no "
        f"`{slot.prefix[-1]}`",
        paths=map(format_path, failed),
        help=f'`- drop: "{slot.pattern}"` leaves them behind',
    )
    return FollowResult(dropped=tuple(dropped), failed=tuple(failed), diagnostics=(diagnostic,) if failed else ())


def _follow_slots(moves: dict[str, SlotMove], state: TransformState) -> list[FollowResult]:
    if state.name != FACTORED or not moves.keys() >= {*FIELDS}:
        return [move_slot(move) for move in moves.values()]
    part = move_factors(moves)
    decided = settled(part)
    return [part, *(move_slot(_without(move, decided)) for move in moves.values())]


def _without(move: SlotMove, decided: frozenset[KeyPath]) -> SlotMove:
    return replace(move, elsewhere=decided)


def _ambiguous(
    context: FollowContext,
    state: TransformState,
    candidates: Sequence[TransformState],
    flow: Flow,
    alternatives: Alternatives,
) -> FollowResult:
    places = ", ".join(f"`{format_path(candidate.place)}`" for candidate in candidates[:5])
    if state.is_params_copy:
        problem = f"is a copy of the params, which the target could continue in {places}"
    elif len(candidates) > 1:
        problem = f"has several possible places in the target: {places}"
    else:
        problem = f"is not the only state that could continue in {places}"
    moves = (example(context, state, candidate, flow, alternatives) for candidate in candidates)
    move = next(filter(None, moves), None)
    diagnostic = UntransferableMoments.at(
        f"{state.title} {problem}",
        paths=map(format_path, state.paths),
        help=f"move one of its leaves by a rule, and the others follow: `{move_rule(*move)}`"
        if move
        else "move its leaves by rules of their own",
    )
    left = tuple(path for path in state.paths if path not in context.claims.claimed)
    return FollowResult(
        failed=left, excused=tuple(path for c in candidates for path in c.paths), diagnostics=(diagnostic,)
    )


def _per_tensor_note(rules: Sequence[Move]) -> tuple[Diagnostic, ...]:
    if not rules:
        return ()
    return (
        PerTensorOptimizer.at(
            "moments are recut together with their params, which is exact only for elementwise optimizers: the state "
            "of lamb looks like that of adam, and that of lars like that of momentum",
            span=rules[0].span,
            help="let the template return the `nnx.Optimizer`, which identifies it, or confirm with `moments: follow`",
        ),
    )


def _follow_in_place(
    context: FollowContext, root: KeyPath, states: Sequence[TransformState], flow: Flow
) -> FollowResult:
    """Handles a target without a template: states stay in place, and moments follow inside their slots."""
    shared = common_prefix([place for param, found in flow.items() if is_below(param, root) for place in found])
    slots = [(state, slot) for state in states for slot in state.slots.values()]
    if shared[: len(root)] == root or not shared:
        destination = root if shared else ()
        parts = []
        for state in states:
            transforms = {s.name for s in states if s.optimizer == state.optimizer and s.name}
            moves = {
                name: SlotMove(
                    context,
                    SlotGroup((slot,)),
                    _in_place(slot, root, destination),
                    state.name,
                    transforms,
                    copy=state.is_params_copy,
                )
                for name, slot in state.slots.items()
            }
            parts += _follow_slots(moves, state)
        return combine(parts)
    return combine([_refuse_other_root(SlotMove(context, SlotGroup((slot,)), SlotGroup((slot,)))) for _, slot in slots])


def _in_place(slot: Slot, root: KeyPath, destination: KeyPath) -> SlotGroup:
    """Returns a slot of the source as the slot of a derived target, whose params are below `destination`."""
    inner = slot.root[len(root) :] if destination == root else ()
    return SlotGroup((Slot(slot.prefix, destination + inner, frozenset(), slot.suffix),))


def _refuse_other_root(move: SlotMove) -> FollowResult:
    """Decides about moments whose params move to another root.

    Moments that a rule names, or whose params are dropped, need no place.
    """
    dropped: list[Dropped] = []
    failed: list[KeyPath] = []
    for index, claims in claims_of(move).items():
        rule = move.context.rules.rules[index]
        if isinstance(rule, Drop):
            dropped += [Dropped(claim.path, claim.leaf, rule=rule.span) for claim in claims]
        else:
            failed += [claim.path for claim in claims]
    slot = move.slot.slots[0]
    diagnostic = UntransferableMoments.at(
        f"without a template it is not clear where the moments in `{format_path(slot.prefix)}` go",
        paths=map(format_path, failed),
        help="give `--template M:F`, or set `follow: off` and write rules for the slot, or leave it behind: "
        f'`- drop: "{slot.pattern}"`',
    )
    return FollowResult(dropped=tuple(dropped), failed=tuple(failed), diagnostics=(diagnostic,) if failed else ())
