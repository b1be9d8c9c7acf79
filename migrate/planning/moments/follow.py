"""Moments follow their params: copies of the params' structure inside the optimizer state get the params' rules.

Moving elements around commutes with every elementwise optimizer, so a slot's leaf goes through the very ops of its
param and ends in the slot of the target that continues this one. Counts and hyperparameters go with the state that
they belong to. What has no exact answer is refused with the reason.
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
from migrate.planning.moments.result import Followed, together
from migrate.planning.moments.slot_move import Setting, SlotMove, claims_of, move_slot
from migrate.planning.moments.slots import Slot, common_prefix, nearest_only, source_slots, target_slots
from migrate.planning.moments.states import State, find_states
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
) -> Followed:
    """Applies the params' rules to every slot.

    Args:
      rules: the rule file.
      source: the source's tree.
      claims: what the rules claimed by name; a leaf that is among them does not follow.
      named: the tasks that those claims became.
      created: the leaves that rules create by name.
      template: the target's tree, where there is one.
      transforms: the names of the transforms of the template's optimizers; None where nothing tells them.
    """
    setting = Setting(rules, claims, named, source, template, transforms)
    parts: list[Followed] = []
    done: set[KeyPath] = set()
    roots = source_slots(source)
    places = {root: _targets(setting, root) for root in roots} if template else {}
    homes = nearest_only({root: target_slots(template, paths) for root, paths in places.items()}) if template else {}
    for root, slots in roots.items():
        states = [state for state in find_states(source, slots) if not done & {*state.paths}]
        done |= {path for state in states for path in state.paths}
        parts.append(_follow_root(setting, root, states, homes.get(root), {creation.target for creation in created}))
    whole = together(parts)
    return together([whole, Followed(diagnostics=_may_look_at_tensors(whole.cut))])


def _follow_root(
    setting: Setting,
    root: KeyPath,
    states: Sequence[State],
    homes: Sequence[Slot] | None,
    created: Collection[KeyPath],
) -> Followed:
    """Everything that copies the params below one root; `homes` are the template's slots of them."""
    if setting.template is None or homes is None:
        return _inside(setting, root, states)
    wanted = find_states(setting.template, homes)
    known = _named_pairs(setting.named, states, wanted)
    taken = {path for task in setting.named for path in task.targets} | {*created}
    ours = [s for s in states if any(s == a for a, _ in known) or not setting.claims.claimed >= {*s.paths}]
    theirs = [t for t in wanted if any(t == b for _, b in known) or not taken >= {*t.paths}]
    found = align(ours, theirs, known)
    parts = [_follow_state(setting, one, other, states, taken) for one, other in found.pairs]
    parts += [_unclear(setting, state, candidates) for state, candidates in found.unclear]
    paired = [state for pair in found.pairs for state in pair] + [s for s, ts in found.unclear for s in (s, *ts)]
    rest = Followed(
        barred=tuple(path for state in states for path in state.paths),
        lost=tuple(state for state in ours if state not in paired),
        fresh=tuple(state for state in theirs if state not in paired),
    )
    return together([*parts, rest])


def _targets(setting: Setting, root: KeyPath) -> list[KeyPath]:
    """Where the params below a root go."""
    depth = len(root)
    moved = [path for task in setting.named if task.sources[0][:depth] == root for path in task.targets]
    stay = [path for path in setting.source.leaves if path[:depth] == root and path not in setting.claims.claimed]
    if setting.template is None:
        return [*moved, *stay]
    leaves = setting.template.leaves
    return [path for path in (*moved, *stay, *_meant(setting, root)) if path in leaves]


def _meant(setting: Setting, root: KeyPath) -> Iterator[KeyPath]:
    """Where params would go whose rule could not be carried out: all that its right-hand side matches."""
    made = {path for task in setting.named for path in task.sources}
    for index, claims in setting.claims.by_rule.items():
        rule = setting.rules.rules[index]
        if isinstance(rule, Move) and any(c.path not in made and c.path[: len(root)] == root for c in claims):
            leaves = setting.template.leaves if setting.template else ()
            yield from (path for path in leaves if any(p.match(path) is not None for p in rule.targets))


def _named_pairs(
    named: Iterable[Task], sources: Sequence[State], targets: Sequence[State]
) -> list[tuple[State, State]]:
    """States of which a rule moves a leaf from one to the other: that decides for the rest of them."""
    ours = {path: state for state in sources for path in state.paths}
    theirs = {path: state for state in targets for path in state.paths}
    pairs: list[tuple[State, State]] = []
    for task in named:
        one, other = ours.get(task.sources[0]), theirs.get(task.targets[0])
        if one and other and not any(one == a or other == b for a, b in pairs):
            pairs.append((one, other))
    return pairs


def _follow_state(
    setting: Setting, one: State, other: State, states: Iterable[State], taken: Collection[KeyPath]
) -> Followed:
    """One transform's state: its slots by their params' rules, its own leaves by name."""
    beside = {state.name for state in states if state.optimizer == one.optimizer and state.name}
    transforms = frozenset() if one.lone else beside | (setting.transforms or frozenset())
    moves = {
        name: SlotMove(setting, slot, other.slots[name].prefix, other.slots[name].root, one.name, transforms)
        for name, slot in one.slots.items()
        if name in other.slots
    }
    known = other.slots or other.hollow
    gone = [_placeless_slot(setting, s, other) for name, s in one.slots.items() if known and name not in other.slots]
    return together([*_follow_slots(moves, one), *gone, _own_leaves(setting, one, other, taken)])


def _placeless_slot(setting: Setting, slot: Slot, other: State) -> Followed:
    """A slot that the same transform of the target has not, since it keeps moments of other params or of none."""
    dropped, failed = [], []
    drops = {index for index, rule in enumerate(setting.rules.rules) if isinstance(rule, Drop)}
    left = {claim.path for index in drops for claim in setting.claims.by_rule.get(index, ())}
    for path in (slot.prefix + relative for relative in sorted(slot.paths)):
        if path not in setting.claims.claimed:
            if slot.param(path) in left:
                dropped.append(Dropped(path, setting.source.leaves[path]))
            else:
                failed.append(path)
    diagnostic = UntransferableMoments.at(
        f"the moments in `{format_path(slot.prefix)}` have no place in the target: {other.title} has no "
        f"`{slot.prefix[-1]}`",
        paths=map(format_path, failed),
        help=f'`- drop: "{format_path(slot.prefix)}/**"` leaves them behind',
    )
    return Followed(dropped=tuple(dropped), failed=tuple(failed), diagnostics=(diagnostic,) if failed else ())


def _follow_slots(moves: dict[str, SlotMove], state: State) -> list[Followed]:
    if state.name != FACTORED or not moves.keys() >= {*FIELDS}:
        return [move_slot(move) for move in moves.values()]
    part = move_factors(moves)
    decided = settled(part)
    return [part, *(move_slot(_without(move, decided)) for move in moves.values())]


def _without(move: SlotMove, decided: frozenset[KeyPath]) -> SlotMove:
    return SlotMove(move.setting, move.slot, move.home, move.root, move.state, move.transforms, decided)


def _own_leaves(setting: Setting, one: State, other: State, taken: Collection[KeyPath]) -> Followed:
    """Counts and hyperparameters keep their names within the state."""
    tasks = []
    unlike = _unlike_params(setting, one)
    for relative in [path for path in one.leaves if path not in unlike]:
        source, target = one.prefix + relative, other.prefix + relative
        free = relative in other.leaves and target not in taken
        if source != target and free and source not in setting.claims.claimed:
            aval = setting.source.leaves[source].aval
            tasks.append(Task((source,), (target,), (0,), (), (aval,), (aval,), state=one.name))
    same = one.prefix == other.prefix
    stay = [one.prefix + r for r in one.leaves if same and r in other.leaves and r not in unlike]
    done = Followed(tasks=tuple(tasks), unbarred=(*stay, *_unmoved(one, other)))
    return together([done, _not_understood(one, other, list(unlike))]) if unlike else done


def _unlike_params(setting: Setting, state: State) -> dict[KeyPath, KeyPath]:
    """Leaves that belong to a param that ops change, but mirror it in no way that is known; with that param."""
    changed = [i for i, rule in enumerate(setting.rules.rules) if isinstance(rule, Move) and rule.ops]
    params = {claim.path for index in changed for claim in setting.claims.by_rule.get(index, ())}
    ends = {path[depth:]: path for path in params for depth in range(len(path) - 1)}
    found: dict[KeyPath, KeyPath] = {}
    for leaf in state.leaves:
        parts = (leaf[a:b] for a in range(1, len(leaf)) for b in range(a + 2, len(leaf) + 1))
        param = next((ends[part] for part in parts if part in ends), None)
        if param and state.prefix + leaf not in setting.claims.claimed:
            found[leaf] = param
    return found


def _not_understood(one: State, other: State, leaves: Sequence[KeyPath]) -> Followed:
    paths = [one.prefix + leaf for leaf in leaves]
    diagnostic = UntransferableMoments.at(
        f"`{format_path(paths[0])}` belongs to a param that goes through ops, and is neither its moment nor named so: "
        "what that means for it is not known",
        paths=map(format_path, paths),
        help=f'move it by a rule of its own, or leave it behind: `- drop: "{format_path(paths[0])}"`',
    )
    excused = tuple(other.prefix + leaf for leaf in leaves if leaf in other.leaves)
    return Followed(failed=tuple(paths), excused=excused, diagnostics=(diagnostic,))


def _unmoved(one: State, other: State) -> list[KeyPath]:
    """Moments that may keep their key path: the slot stays where it is."""
    stay = [name for name, slot in one.slots.items() if name in other.slots and other.slots[name].prefix == slot.prefix]
    return [one.slots[name].prefix + path for name in stay for path in one.slots[name].paths]


def _unclear(setting: Setting, state: State, candidates: Sequence[State]) -> Followed:
    example = next((path for path in state.paths if path not in setting.claims.claimed), state.paths[0])
    end = example[len(state.prefix) :]
    places = ", ".join(f"`{format_path(candidate.place)}`" for candidate in candidates[:5])
    several = f"has several possible places in the target: {places}"
    diagnostic = UntransferableMoments.at(
        f"{state.title} {several if len(candidates) > 1 else f'is not the only one that might go on in {places}'}",
        paths=map(format_path, state.paths),
        help=f'name one leaf of it, and the rest follows: `- "{format_path(example)} -> '
        f'{format_path(candidates[0].prefix + end)}"`',
    )
    left = tuple(path for path in state.paths if path not in setting.claims.claimed)
    return Followed(failed=left, excused=tuple(path for c in candidates for path in c.paths), diagnostics=(diagnostic,))


def _may_look_at_tensors(rules: Sequence[Move]) -> tuple[Diagnostic, ...]:
    if not rules:
        return ()
    return (
        PerTensorOptimizer.at(
            "moments are cut anew together with their params, which is exact for elementwise optimizers only: lamb's "
            "state looks like adam's, and lars's like momentum's",
            span=rules[0].span,
            help="a template that returns the `nnx.Optimizer` tells which it is; `moments: follow` says that you know",
        ),
    )


def _inside(setting: Setting, root: KeyPath, states: Sequence[State]) -> Followed:
    """Without a template: states stay where they are, and moments follow inside their slots."""
    shared = common_prefix(_targets(setting, root))
    slots = [(state, slot) for state in states for slot in state.slots.values()]
    if shared[: len(root)] == root or not shared:
        home = root if shared else ()
        parts = []
        for state in states:
            transforms = {s.name for s in states if s.optimizer == state.optimizer and s.name}
            moves = {
                name: SlotMove(setting, slot, slot.prefix, home, state.name, transforms)
                for name, slot in state.slots.items()
            }
            parts += _follow_slots(moves, state)
        return together(parts)
    return together([_placeless(SlotMove(setting, slot, slot.prefix, root)) for _, slot in slots])


def _placeless(move: SlotMove) -> Followed:
    """Moments whose params went to another root.

    Those that a rule names, or whose params are dropped, need no place.
    """
    dropped: list[Dropped] = []
    failed: list[KeyPath] = []
    for index, claims in claims_of(move).items():
        rule = move.setting.rules.rules[index]
        if isinstance(rule, Drop):
            dropped += [Dropped(claim.path, claim.leaf, rule=rule.span) for claim in claims]
        else:
            failed += [claim.path for claim in claims]
    slot = format_path(move.slot.prefix)
    diagnostic = UntransferableMoments.at(
        f"without a template it is not clear where the moments in `{slot}` go",
        paths=map(format_path, failed),
        help="give `--template module:callable`, or say `follow: off` and write rules for the slot, or leave it "
        f'behind: `- drop: "{slot}/**"`',
    )
    return Followed(dropped=tuple(dropped), failed=tuple(failed), diagnostics=(diagnostic,) if failed else ())
