"""Finds the states of an optimizer's transforms, in the order of the chain, each with its slots and its own leaves.

Wrappers (`masked`, `MultiSteps`, `inject_hyperparams`) hold other states; every leaf belongs to the innermost state.
Transforms without state leave holes in the chain, which have no state here: NNX does not write them, Linen writes
`None`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from migrate.planning.moments.names import FLAX_OPTIM, MAPPING_FIELDS, NESTED_STATES, PARAM_STATES, name_of
from migrate.planning.moments.nodes import paths_below
from migrate.planning.moments.slots import Slot
from migrate.tree import AbstractTree, KeyPath, format_path, is_below, natural_key

OPT_STATE = "opt_state"
"""The name of the optimizer's state in Flax's training states and optimizers."""


@dataclass(frozen=True, slots=True, eq=False)
class TransformState:
    """The state of one transform, compared by identity.

    Attributes:
      optimizer: the node of the whole optimizer's state.
      prefix: the node of this state.
      slots: its fields that mirror the params, by name.
      leaves: its other leaves with data, relative to `prefix`: counts, hyperparameters.
      stored: the stored names of those leaves that have another name in optax.
      empty_fields: fields that mirror the params and hold no data, since every param is masked out.
    """

    optimizer: KeyPath
    prefix: KeyPath
    slots: Mapping[str, Slot] = field(default_factory=dict)
    leaves: tuple[KeyPath, ...] = ()
    empty_fields: frozenset[str] = frozenset()
    stored: Mapping[KeyPath, KeyPath] = field(default_factory=dict)

    def leaf(self, relative: KeyPath) -> KeyPath:
        """Returns the key path of one of its other leaves."""
        return self.prefix + self.stored.get(relative, relative)

    @property
    def params(self) -> frozenset[KeyPath]:
        """The key paths of the params that its slots mirror."""
        return frozenset(param for slot in self.slots.values() for param in slot.params)

    @property
    def fields(self) -> frozenset[str]:
        """Its fields, without those that never hold data."""
        return frozenset(self.slots) | {path[0] for path in self.leaves} | self.empty_fields

    @property
    def name(self) -> str | None:
        """Optax's name of the transform; None for an unknown one."""
        return name_of(self.fields)

    @property
    def title(self) -> str:
        """The state's name and place, for messages."""
        return f"{f'`{self.name}`' if self.name else 'the state'} in `{format_path(self.place)}`"

    @property
    def is_params_copy(self) -> bool:
        """Whether it is a copy of the params outside any optimizer, such as a field `ema_params`."""
        inside = OPT_STATE in self.prefix
        return self.prefix == self.optimizer and not self.leaves and len(self.slots) == 1 and not inside

    @property
    def place(self) -> KeyPath:
        """The node to name in messages: the slot itself for a copy of the params."""
        return next(iter(self.slots.values())).prefix if self.is_params_copy else self.prefix

    @property
    def kind(self) -> frozenset[str]:
        """The key that two states of one transform share: the name, or else the fields."""
        return frozenset([self.name]) if self.name else self.fields

    @property
    def labels(self) -> KeyPath:
        """The names on the way from the optimizer to the state, without indices, which shift."""
        return tuple(part for part in self.prefix[len(self.optimizer) :] if not part.isdecimal())

    @property
    def paths(self) -> tuple[KeyPath, ...]:
        """Every leaf with data."""
        moments = [path for slot in self.slots.values() for path in slot.leaves]
        return (*moments, *map(self.leaf, self.leaves))


def find_states(tree: AbstractTree, slots: Sequence[Slot]) -> tuple[TransformState, ...]:
    """Returns the states that have these slots, and the states beside them without slots, in natural order.

    Args:
      tree: the slots' tree.
      slots: copies of params, each node once.
    """
    old = [slot for slot in slots if slot.suffix]
    slots = [slot for slot in slots if not slot.suffix]
    optimizers = _optimizers(tree, slots)
    lone = [s for s in slots if not any(is_below(s.prefix, node) for node in optimizers)]
    states = [TransformState(s.prefix[:-1], s.prefix[:-1], {s.prefix[-1]: s}) for s in lone]
    for node in optimizers:
        states += _states_of(tree, node, [slot for slot in slots if is_below(slot.prefix, node)])
    for node in {slot.prefix[:-1] for slot in old}:
        states.append(_old_state(tree, node, [slot for slot in old if slot.prefix[:-1] == node]))
    return tuple(sorted(states, key=lambda state: natural_key(state.prefix)))


def _states_of(tree: AbstractTree, optimizer: KeyPath, slots: Sequence[Slot]) -> list[TransformState]:
    found: defaultdict[KeyPath, dict[str, Slot]] = defaultdict(dict)
    for slot in slots:
        found[slot.prefix[:-1]][slot.prefix[-1]] = slot
    own = _own_leaves(tree, optimizer, {slot.prefix for slot in slots})
    holders = {*found, *(_parent(path, optimizer) for path in own)}
    leaves: defaultdict[KeyPath, list[KeyPath]] = defaultdict(list)
    for path in own:
        node = _owner(path, optimizer, holders)
        leaves[node].append(path[len(node) :])
    return [
        TransformState(optimizer, node, found.get(node, {}), tuple(leaves.get(node, ())), _empty_fields(tree, node))
        for node in {*found, *leaves}
    ]


def _old_state(tree: AbstractTree, node: KeyPath, slots: Sequence[Slot]) -> TransformState:
    """Returns a state of `flax.optim` under optax's names."""
    own = [path[len(node) :] for path, leaf in tree.leaves.items() if leaf.has_data and is_below(path, node)]
    stored = {(FLAX_OPTIM.get(path[0], path[0]), *path[1:]): path for path in own if path[0] != PARAM_STATES}
    named = {FLAX_OPTIM.get(slot.suffix[0], slot.suffix[0]): slot for slot in slots}
    return TransformState(node, node, named, tuple(stored), stored=stored)


def _own_leaves(tree: AbstractTree, optimizer: KeyPath, slots: Collection[KeyPath]) -> list[KeyPath]:
    """Returns the leaves with data outside all slots."""
    moments = {path for slot in slots for path in paths_below(tree, slot)}
    return [path for path in paths_below(tree, optimizer) if path not in moments]


def _owner(path: KeyPath, optimizer: KeyPath, holders: Collection[KeyPath]) -> KeyPath:
    """Returns the state that a leaf outside all slots belongs to: the outermost one of which it is a field."""
    for depth in range(len(optimizer), len(path)):
        if path[:depth] in holders and not _leads_on(path[depth]):
            return path[:depth]
    return _parent(path, optimizer)


def _parent(path: KeyPath, optimizer: KeyPath) -> KeyPath:
    """Returns the node that a leaf is a field of; for leaves deep in an unknown field, the chain's last node."""
    start = len(optimizer)
    steps = range(start, len(path) - 1)
    chain = next((i for i in steps if not (_leads_on(path[i]) or path[i - 1] == "inner_states")), len(path) - 1)
    deep = chain < len(path) - 1 and chain > start
    return path[:chain] if deep and path[chain] not in MAPPING_FIELDS else path[: _before_own(path, start)]


def _before_own(path: KeyPath, start: int) -> int:
    return next((index for index in range(start, len(path)) if path[index] in MAPPING_FIELDS), len(path) - 1)


def _leads_on(segment: str) -> bool:
    """Whether a segment leads to another state and is not a field."""
    return segment.isdecimal() or segment in NESTED_STATES


def _empty_fields(tree: AbstractTree, node: KeyPath) -> frozenset[str]:
    """Returns the fields whose leaves all hold no data; holes of a chain and nested states are not fields."""
    depth = len(node)
    if len(tree.with_data) == len(tree.leaves):
        return frozenset()
    inner = [
        (path[depth], leaf) for path, leaf in tree.leaves.items() if path[:depth] == node and len(path) > depth + 1
    ]
    full = {name for name, leaf in inner if leaf.has_data}
    return frozenset(name for name, _ in inner if not (name in full or name in NESTED_STATES or name.isdecimal()))


def _optimizers(tree: AbstractTree, slots: Iterable[Slot]) -> list[KeyPath]:
    """Returns the nodes of whole optimizer states; those of known states where no node is called `opt_state`."""
    holders = {slot.prefix[: slot.prefix.index(OPT_STATE) + 1] for slot in slots if OPT_STATE in slot.prefix}
    others = [slot.prefix for slot in slots if OPT_STATE not in slot.prefix]
    holders |= {_stem(path[:-1]) for path in others if name_of(_children(tree, path[:-1]))}
    holders |= {path[: path.index(OPT_STATE) + 1] for path in tree.leaves if OPT_STATE in path[:-1]}
    tops = [node for node in holders if not any(is_below(node, other) for other in holders if other != node)]
    return sorted(tops, key=natural_key)


def _stem(node: KeyPath) -> KeyPath:
    """Returns the node without the indices and wrappers that lead into a chain."""
    inside = next((i for i, part in enumerate(node) if i and (part.isdecimal() or part in NESTED_STATES)), len(node))
    return node[:inside]


def _children(tree: AbstractTree, node: KeyPath) -> set[str]:
    depth = len(node)
    return {
        p[depth] for p, leaf in tree.leaves.items() if leaf.has_data and p[:depth] == node and len(p) > depth
    } - NESTED_STATES
