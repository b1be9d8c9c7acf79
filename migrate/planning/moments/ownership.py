"""Decides which optimizers of the target continue which of the source: those whose params come from the same params.

Several models may have one structure, and their optimizers too. A node of the target that mirrors several of them
belongs to the one that the evidence favors (`slots.best_roots`); where it favors none, it belongs to a model that no
other optimizer of its kind belongs to, and otherwise to none in particular.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from migrate.planning.moments.slots import Slot, common_prefix, nearness
from migrate.planning.moments.states import TransformState
from migrate.tree import KeyPath

Params = frozenset[KeyPath]
Flow = Mapping[KeyPath, Collection[KeyPath]]
"""The params of the target that each param of the source becomes."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The states of one optimizer, or a copy of the params outside all optimizers.

    Attributes:
      states: its states.
      owners: the params of the target that it belongs to; several sets where this is not known.
      mirrored: the params of its own tree that it belongs to.
      fixed: whether an optimizer at the same key path may continue it: its params go through no op, so that its moments
        move alike whatever model it belongs to.
    """

    states: tuple[TransformState, ...]
    owners: tuple[Params, ...]
    mirrored: Params = frozenset()
    fixed: bool = False

    @property
    def is_copy(self) -> bool:
        """Whether it is a copy of the params."""
        return self.states[0].is_params_copy

    @property
    def params(self) -> Params:
        """All params that it may belong to."""
        return frozenset[KeyPath]().union(*self.owners)

    def belongs_to(self, params: Collection[KeyPath]) -> bool:
        """Whether it may belong to some of these params."""
        return not self.params.isdisjoint(params)

    @property
    def kinds(self) -> frozenset[frozenset[str]]:
        """The kinds of its states."""
        return frozenset(state.kind for state in self.states)


def source_units(
    states: Sequence[TransformState],
    alternatives: Mapping[KeyPath, Sequence[Slot]],
    roots: Mapping[KeyPath, Params],
    flow: Flow,
    changed: Collection[KeyPath],
) -> list[Unit]:
    """Returns the source's units; their owners are the params of the target that their params become.

    Args:
      states: the source's states.
      alternatives: the slots of each node, one for each root that it may mirror.
      roots: the source's params by root.
      flow: the places of these params in the target.
      changed: params that go through ops.
    """
    found = []
    for members in _units(states):
        near = _owners(members, alternatives) or [_nearest(members[0], roots.values())]
        images = [frozenset(place for param in params for place in flow.get(param, ())) for params in near]
        mirrored = frozenset[KeyPath]().union(*near)
        found.append(Unit(members, tuple(dict.fromkeys(images)), mirrored, mirrored.isdisjoint(changed)))
    return found


def target_units(
    states: Sequence[TransformState],
    alternatives: Mapping[KeyPath, Sequence[Slot]],
    places: Sequence[Params],
    fixed: Mapping[TransformState, Params],
) -> list[Unit]:
    """Returns the target's units.

    Args:
      states: the target's states.
      alternatives: the slots of each node, one for each root that it may mirror.
      places: the target's params by root of the source.
      fixed: the params of states that a rule pairs with a state of the source.
    """
    units = []
    for members in _units(states):
        owners = _owners(members, alternatives) or [_nearest(members[0], places)]
        known = frozenset[KeyPath]().union(*(fixed[state] for state in members if state in fixed))
        owners = [one for one in owners if one & known] or owners
        units.append(Unit(members, tuple(owners), frozenset[KeyPath]().union(*owners)))
    while (settled := [_settled(unit, units) for unit in units]) != units:
        units = settled
    return units


def _settled(unit: Unit, units: Sequence[Unit]) -> Unit:
    """Returns the unit without owners that already have another unit of its kinds."""
    others = [one for one in units if one.states != unit.states and len(one.owners) == 1 and one.kinds & unit.kinds]
    free = tuple(params for params in unit.owners if not any(params & one.owners[0] for one in others))
    chosen = Unit(unit.states, free, frozenset[KeyPath]().union(*free))
    return chosen if len(unit.owners) > 1 and free else unit


def _units(states: Sequence[TransformState]) -> list[tuple[TransformState, ...]]:
    found: defaultdict[tuple[KeyPath, bool], list[TransformState]] = defaultdict(list)
    for state in states:
        node = state.place if state.is_params_copy else state.optimizer
        found[node, state.is_params_copy].append(state)
    return [tuple(members) for members in found.values()]


def _owners(states: Sequence[TransformState], alternatives: Mapping[KeyPath, Sequence[Slot]]) -> list[Params]:
    """Returns the params of each root that all slots of an optimizer may mirror, or else that one of them may."""
    slots = [alternatives[slot.prefix] for state in states for slot in state.slots.values()]
    roots = [{slot.root for slot in group} for group in slots]
    shared = set[KeyPath]().intersection(*roots) if not roots else set.intersection(*roots)
    chosen = sorted(shared or set().union(*roots))
    return [
        frozenset(p for group in slots for slot in group if slot.root == root for p in slot.params) for root in chosen
    ]


def _nearest(state: TransformState, candidates: Collection[Params]) -> Params:
    """Returns the params that an optimizer without moments belongs to: all that are equally near."""
    near = {params: nearness(state.optimizer, common_prefix(params)) for params in candidates if params}
    best = max(near.values(), default=None)
    return frozenset(path for params, found in near.items() if found == best for path in params)
