"""Moments follow their params: subtrees of the optimizer's state that mirror the params get the params' rules.

Moving elements commutes with every elementwise optimizer, so a moment goes through the ops of its param and ends in the
slot of the target that continues its own. Counts and hyperparameters move with their state. What has no exact
equivalent is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from migrate.codes import PerTensorOptimizer, UntransferableMoments
from migrate.errors import Diagnostic
from migrate.planning.claims import Claims
from migrate.planning.model import Created, Dropped, Task
from migrate.planning.moments.adafactor import FIELDS, move_factors, settled
from migrate.planning.moments.align_states import align
from migrate.planning.moments.names import FACTORED
from migrate.planning.moments.result import FollowResult, combine
from migrate.planning.moments.slot_move import FollowContext, SlotMove, claims_of, move_slot
from migrate.planning.moments.slots import Slot, common_prefix, nearest_only, source_slots, target_slots
from migrate.planning.moments.states import TransformState, find_states
from migrate.rules.model import Drop, Move, RuleSet
from migrate.tree import AbstractTree, KeyPath, format_path


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
    parts: list[FollowResult] = []
    done: set[KeyPath] = set()
    roots = source_slots(source)
    places = {root: _targets(context, root) for root in roots} if template else {}
    template_slots = (
        nearest_only({root: target_slots(template, paths) for root, paths in places.items()}) if template else {}
    )
    for root, slots in roots.items():
        states = [state for state in find_states(source, slots) if not done & {*state.paths}]
        done |= {path for state in states for path in state.paths}
        parts.append(
            _follow_root(context, root, states, template_slots.get(root), {creation.target for creation in created})
        )
    whole = combine(parts)
    return combine([whole, FollowResult(diagnostics=_per_tensor_note(whole.cut))])


def _follow_root(
    context: FollowContext,
    root: KeyPath,
    states: Sequence[TransformState],
    template_slots: Sequence[Slot] | None,
    created: Collection[KeyPath],
) -> FollowResult:
    """Moves all copies of the params below one root; `template_slots` are the template's slots of these params."""
    if context.template is None or template_slots is None:
        return _follow_in_place(context, root, states)
    wanted = find_states(context.template, template_slots)
    known = _named_pairs(context.named, states, wanted)
    taken = {path for task in context.named for path in task.targets} | {*created}
    ours = [s for s in states if any(s == a for a, _ in known) or not context.claims.claimed >= {*s.paths}]
    theirs = [t for t in wanted if any(t == b for _, b in known) or not taken >= {*t.paths}]
    found = align(ours, theirs, known)
    parts = [_follow_state(context, one, other, states, taken) for one, other in found.pairs]
    parts += [_ambiguous(context, state, candidates) for state, candidates in found.ambiguous]
    paired = [state for pair in found.pairs for state in pair] + [s for s, ts in found.ambiguous for s in (s, *ts)]
    rest = FollowResult(
        barred=tuple(path for state in states for path in state.paths),
        lost=tuple(state for state in ours if state not in paired),
        fresh=tuple(state for state in theirs if state not in paired),
    )
    return combine([*parts, rest])


def _targets(context: FollowContext, root: KeyPath) -> list[KeyPath]:
    """Returns the target key paths of the params below a root."""
    depth = len(root)
    moved = [path for task in context.named if task.sources[0][:depth] == root for path in task.targets]
    stay = [path for path in context.source.leaves if path[:depth] == root and path not in context.claims.claimed]
    if context.template is None:
        return [*moved, *stay]
    leaves = context.template.leaves
    return [path for path in (*moved, *stay, *_intended_targets(context, root)) if path in leaves]


def _intended_targets(context: FollowContext, root: KeyPath) -> Iterator[KeyPath]:
    """Yields the intended targets of params whose rule failed: all leaves that its right-hand side matches."""
    made = {path for task in context.named for path in task.sources}
    for index, claims in context.claims.by_rule.items():
        rule = context.rules.rules[index]
        if isinstance(rule, Move) and any(c.path not in made and c.path[: len(root)] == root for c in claims):
            leaves = context.template.leaves if context.template else ()
            yield from (path for path in leaves if any(p.match(path) is not None for p in rule.targets))


def _named_pairs(
    named: Iterable[Task], sources: Sequence[TransformState], targets: Sequence[TransformState]
) -> list[tuple[TransformState, TransformState]]:
    """Returns the pairs of states between which a rule moves a leaf: that decides about their other leaves."""
    ours = {path: state for state in sources for path in state.paths}
    theirs = {path: state for state in targets for path in state.paths}
    pairs: list[tuple[TransformState, TransformState]] = []
    for task in named:
        one, other = ours.get(task.sources[0]), theirs.get(task.targets[0])
        if one and other and not any(one == a or other == b for a, b in pairs):
            pairs.append((one, other))
    return pairs


def _follow_state(
    context: FollowContext,
    one: TransformState,
    other: TransformState,
    states: Iterable[TransformState],
    taken: Collection[KeyPath],
) -> FollowResult:
    """Moves one transform's state: its slots by their params' rules, its own leaves by name."""
    beside = {state.name for state in states if state.optimizer == one.optimizer and state.name}
    transforms = frozenset() if one.is_params_copy else beside | (context.transforms or frozenset())
    moves = {
        name: SlotMove(context, slot, other.slots[name].prefix, other.slots[name].root, one.name, transforms)
        for name, slot in one.slots.items()
        if name in other.slots
    }
    known = other.slots or other.empty_fields
    gone = [_missing_slot(context, s, other) for name, s in one.slots.items() if known and name not in other.slots]
    return combine([*_follow_slots(moves, one), *gone, _own_leaves(context, one, other, taken)])


def _missing_slot(context: FollowContext, slot: Slot, other: TransformState) -> FollowResult:
    """Decides about a slot that the target's matched state lacks: it keeps no moments, or those of other params."""
    dropped, failed = [], []
    drops = {index for index, rule in enumerate(context.rules.rules) if isinstance(rule, Drop)}
    left = {claim.path for index in drops for claim in context.claims.by_rule.get(index, ())}
    for path in (slot.prefix + relative for relative in sorted(slot.paths)):
        if path not in context.claims.claimed:
            if slot.param(path) in left:
                dropped.append(Dropped(path, context.source.leaves[path]))
            else:
                failed.append(path)
    diagnostic = UntransferableMoments.at(
        f"the moments in `{format_path(slot.prefix)}` have no place in the target: {other.title} has no "
        f"`{slot.prefix[-1]}`",
        paths=map(format_path, failed),
        help=f'`- drop: "{format_path(slot.prefix)}/**"` leaves them behind',
    )
    return FollowResult(dropped=tuple(dropped), failed=tuple(failed), diagnostics=(diagnostic,) if failed else ())


def _follow_slots(moves: dict[str, SlotMove], state: TransformState) -> list[FollowResult]:
    if state.name != FACTORED or not moves.keys() >= {*FIELDS}:
        return [move_slot(move) for move in moves.values()]
    part = move_factors(moves)
    decided = settled(part)
    return [part, *(move_slot(_without(move, decided)) for move in moves.values())]


def _without(move: SlotMove, decided: frozenset[KeyPath]) -> SlotMove:
    return SlotMove(move.context, move.slot, move.destination, move.root, move.state, move.transforms, decided)


def _own_leaves(
    context: FollowContext, one: TransformState, other: TransformState, taken: Collection[KeyPath]
) -> FollowResult:
    """Moves counts and hyperparameters, which keep their names within the state."""
    tasks = []
    unknown = _unknown_mirrors(context, one)
    for relative in [path for path in one.leaves if path not in unknown]:
        source, target = one.prefix + relative, other.prefix + relative
        free = relative in other.leaves and target not in taken
        if source != target and free and source not in context.claims.claimed:
            aval = context.source.leaves[source].aval
            tasks.append(Task((source,), (target,), (0,), (), (aval,), (aval,), state=one.name))
    same = one.prefix == other.prefix
    stay = [one.prefix + r for r in one.leaves if same and r in other.leaves and r not in unknown]
    done = FollowResult(tasks=tuple(tasks), unbarred=(*stay, *_unmoved(one, other)))
    return combine([done, _refuse_unknown_mirrors(one, other, list(unknown))]) if unknown else done


def _unknown_mirrors(context: FollowContext, state: TransformState) -> dict[KeyPath, KeyPath]:
    """Returns leaves that belong to a param with ops but do not mirror it in a known way, each with that param."""
    changed = [i for i, rule in enumerate(context.rules.rules) if isinstance(rule, Move) and rule.ops]
    params = {claim.path for index in changed for claim in context.claims.by_rule.get(index, ())}
    ends = {path[depth:]: path for path in params for depth in range(len(path) - 1)}
    found: dict[KeyPath, KeyPath] = {}
    for leaf in state.leaves:
        parts = (leaf[a:b] for a in range(1, len(leaf)) for b in range(a + 2, len(leaf) + 1))
        param = next((ends[part] for part in parts if part in ends), None)
        if param and state.prefix + leaf not in context.claims.claimed:
            found[leaf] = param
    return found


def _refuse_unknown_mirrors(one: TransformState, other: TransformState, leaves: Sequence[KeyPath]) -> FollowResult:
    paths = [one.prefix + leaf for leaf in leaves]
    diagnostic = UntransferableMoments.at(
        f"`{format_path(paths[0])}` belongs to a param that goes through ops, but does not mirror it in a known way",
        paths=map(format_path, paths),
        help=f'move it by a rule of its own, or leave it behind: `- drop: "{format_path(paths[0])}"`',
    )
    excused = tuple(other.prefix + leaf for leaf in leaves if leaf in other.leaves)
    return FollowResult(failed=tuple(paths), excused=excused, diagnostics=(diagnostic,))


def _unmoved(one: TransformState, other: TransformState) -> list[KeyPath]:
    """Returns the moments that may keep their key path, since their slot stays in place."""
    stay = [name for name, slot in one.slots.items() if name in other.slots and other.slots[name].prefix == slot.prefix]
    return [one.slots[name].prefix + path for name in stay for path in one.slots[name].paths]


def _ambiguous(context: FollowContext, state: TransformState, candidates: Sequence[TransformState]) -> FollowResult:
    example = next((path for path in state.paths if path not in context.claims.claimed), state.paths[0])
    end = example[len(state.prefix) :]
    places = ", ".join(f"`{format_path(candidate.place)}`" for candidate in candidates[:5])
    several = f"has several possible places in the target: {places}"
    diagnostic = UntransferableMoments.at(
        f"{state.title} {several if len(candidates) > 1 else f'is not the only state that could continue in {places}'}",
        paths=map(format_path, state.paths),
        help=f'move one of its leaves by a rule, and the others follow: `- "{format_path(example)} -> '
        f'{format_path(candidates[0].prefix + end)}"`',
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


def _follow_in_place(context: FollowContext, root: KeyPath, states: Sequence[TransformState]) -> FollowResult:
    """Handles a target without a template: states stay in place, and moments follow inside their slots."""
    shared = common_prefix(_targets(context, root))
    slots = [(state, slot) for state in states for slot in state.slots.values()]
    if shared[: len(root)] == root or not shared:
        destination = root if shared else ()
        parts = []
        for state in states:
            transforms = {s.name for s in states if s.optimizer == state.optimizer and s.name}
            moves = {
                name: SlotMove(context, slot, slot.prefix, destination, state.name, transforms)
                for name, slot in state.slots.items()
            }
            parts += _follow_slots(moves, state)
        return combine(parts)
    return combine([_refuse_other_root(SlotMove(context, slot, slot.prefix, root)) for _, slot in slots])


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
    slot = format_path(move.slot.prefix)
    diagnostic = UntransferableMoments.at(
        f"without a template it is not clear where the moments in `{slot}` go",
        paths=map(format_path, failed),
        help="give `--template M:F`, or set `follow: off` and write rules for the slot, or leave it behind: "
        f'`- drop: "{slot}/**"`',
    )
    return FollowResult(dropped=tuple(dropped), failed=tuple(failed), diagnostics=(diagnostic,) if failed else ())
