"""Pairs the states of source and target: those of optimizers whose params correspond, and copies of the params."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrate.planning.moments.align_states import Pair, align
from migrate.planning.moments.ownership import Unit
from migrate.planning.moments.states import TransformState
from migrate.tree import KeyPath

_GENERIC = frozenset({"params", "model", "net", "network", "state", "variables", "weights", "copy"})
"""Words in names of copies that do not tell one copy from another."""


@dataclass(frozen=True, slots=True)
class StateGroup:
    """States of the source and those of the target that continue them; several where tensors are joined or divided."""

    sources: tuple[TransformState, ...]
    targets: tuple[TransformState, ...]


@dataclass(frozen=True, slots=True)
class Pairing:
    """The result.

    Attributes:
      groups: states that correspond.
      ambiguous: states of the source, each with the states of the target that could continue it.
    """

    groups: tuple[StateGroup, ...]
    ambiguous: tuple[tuple[TransformState, tuple[TransformState, ...]], ...]

    def settled(self) -> list[TransformState]:
        """Returns the states that need no other decision."""
        paired = [state for group in self.groups for state in (*group.sources, *group.targets)]
        return paired + [state for one, others in self.ambiguous for state in (one, *others)]


def pair_units(sources: Sequence[Unit], targets: Sequence[Unit], known: Sequence[Pair]) -> Pairing:
    """Pairs all states.

    Args:
      sources: the optimizers and copies of the params of the source.
      targets: those of the target.
      known: pairs that the rules determine.
    """
    (states, copied), (wanted, wanted_copies) = _divided(sources, targets), _divided(targets, sources)
    pairs, ambiguous = _optimizers(states, wanted, known)
    copies = _copies(copied, wanted_copies, known)
    pairs += [pair for pair in known if pair not in pairs and pair not in copies[0]]
    return Pairing(tuple(_groups([*pairs, *copies[0]])), (*ambiguous, *copies[1]))


def _divided(units: Sequence[Unit], others: Sequence[Unit]) -> tuple[list[Unit], list[Unit]]:
    """Returns optimizers and copies; a lone slot like that of an optimizer on the other side is an optimizer's."""
    kinds = {kind for unit in others if not unit.is_copy for kind in unit.kinds}
    copies = [unit for unit in units if unit.is_copy and not unit.kinds & kinds]
    return [unit for unit in units if unit not in copies], copies


_Found = tuple[list[Pair], list[tuple[TransformState, tuple[TransformState, ...]]]]


def _optimizers(sources: Sequence[Unit], targets: Sequence[Unit], known: Sequence[Pair]) -> _Found:
    pairs: list[Pair] = []
    ambiguous: list[tuple[TransformState, tuple[TransformState, ...]]] = []
    certain = _joined([unit for unit in targets if len(unit.owners) == 1])
    unclear = [unit for unit in targets if len(unit.owners) > 1]
    for ours, state in ((unit, state) for unit in sources if len(unit.owners) > 1 for state in unit.states):
        near = [other for unit in targets if unit.belongs_to(ours.params) for other in unit.states]
        possible = tuple(other for other in near if other.kind == state.kind)
        same = [other for other in possible if ours.fixed and other.prefix == state.prefix]
        if not any(state is one for one, _ in known):
            pairs += [(state, other) for other in same]
            ambiguous += [(state, possible)] if possible and not same else []
    for ours in _joined([unit for unit in sources if len(unit.owners) == 1]):
        for theirs in (unit for unit in certain if unit.belongs_to(ours.params)):
            within = [pair for pair in known if pair[0] in ours.states and pair[1] in theirs.states]
            found = align(ours.states, theirs.states, within)
            pairs += found.pairs
            ambiguous += found.ambiguous
        near = [state for unit in unclear if unit.belongs_to(ours.params) for state in unit.states]
        done = [one for one, _ in (*pairs, *known, *ambiguous)]
        for state in (state for state in ours.states if state not in done):
            possible = tuple(other for other in near if other.kind == state.kind)
            same = [other for other in possible if ours.fixed and other.prefix == state.prefix]
            pairs += [(state, other) for other in same]
            ambiguous += [(state, possible)] if possible and not same else []
    return pairs, ambiguous


def _joined(units: Sequence[Unit]) -> list[Unit]:
    """Returns optimizers of the same params as one, so that each state has one partner among them."""
    joined: list[Unit] = []
    for unit in units:
        same = [one for one in joined if not one.mirrored.isdisjoint(unit.mirrored)]
        joined = [one for one in joined if one not in same]
        whole = (*same, unit)
        states = tuple(state for one in whole for state in one.states)
        params, mirrored = (
            frozenset[KeyPath]().union(*sets) for sets in zip(*((u.params, u.mirrored) for u in whole), strict=True)
        )
        joined.append(Unit(states, (params,), mirrored))
    return joined


def _copies(sources: Sequence[Unit], targets: Sequence[Unit], known: Sequence[Pair]) -> _Found:
    """Pairs copies of the params by the words of their names; a copy of another name is a question."""
    pairs = [pair for pair in known if pair[0].is_params_copy]
    for same_name in (True, False):
        left, right = _left(sources, targets, pairs)
        possible = [
            (one, other)
            for one in left
            for other in right
            if other.belongs_to(one.params) and _alike(one.states[0], other.states[0], same_name=same_name)
        ]
        pairs += [
            (one.states[0], other.states[0])
            for one, other in possible
            if sum(one is a for a, _ in possible) == 1 and sum(other is b for _, b in possible) == 1
        ]
    left, right = _left(sources, targets, pairs)
    unclear = [(one.states[0], tuple(o.states[0] for o in right if o.belongs_to(one.params))) for one in left]
    return pairs, [(one, others) for one, others in unclear if others]


def _left(sources: Sequence[Unit], targets: Sequence[Unit], pairs: Sequence[Pair]) -> tuple[list[Unit], list[Unit]]:
    done = [state for pair in pairs for state in pair]
    ours, theirs = ([unit for unit in side if unit.states[0] not in done] for side in (sources, targets))
    return ours, theirs


def _alike(one: TransformState, other: TransformState, *, same_name: bool) -> bool:
    names = [state.place[-1] if state.place[-1] not in _GENERIC else state.place[-2:][0] for state in (one, other)]
    if same_name:
        return one.place == other.place or names[0] == names[1]
    words = [{*name.lower().split("_")} - _GENERIC for name in names]
    return bool(words[0] & words[1])


def _groups(pairs: Sequence[Pair]) -> list[StateGroup]:
    groups: list[StateGroup] = []
    for one, other in pairs:
        same = [group for group in groups if one in group.sources or other in group.targets]
        groups = [group for group in groups if group not in same]
        sources = [state for group in same for state in group.sources]
        targets = [state for group in same for state in group.targets]
        groups.append(
            StateGroup(
                tuple(dict.fromkeys((*sources, one))),
                tuple(dict.fromkeys((*targets, other))),
            )
        )
    return groups
