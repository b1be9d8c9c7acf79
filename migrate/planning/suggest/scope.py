"""Finds modules in a scope, and sequences that differ in their numbers: `Block_{0..11}`, `stages/{0..3}/{0..1}`.

A sequence can also be virtual: the parts of a module whose arrays are all stacked along one axis.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from migrate.knowledge.layers import LAYERS
from migrate.knowledge.naming import FOREIGN_LEAVES
from migrate.planning.rule_text.numbers import numbers_in
from migrate.planning.suggest.values import Endpoint, ModelArray, Scope, Shape, StackedPart
from migrate.tree import KeyPath, natural_key

LEAF_NAMES = frozenset(leaf.target[-1] for layer in LAYERS for leaf in layer.leaves)
"""Names of the arrays of Flax's own layers; arrays of one layer stay together."""

_OF_LAYERS = LEAF_NAMES | FOREIGN_LEAVES

_MOST_NUMBERS = 3
_STACK_AXES = (0, 1)


@dataclass(frozen=True, slots=True)
class SequenceMember:
    """One module of a sequence: a node, or a part of a stacked node."""

    node: KeyPath
    numbers: tuple[int, ...] = ()
    part: StackedPart | None = None


@dataclass(frozen=True, slots=True)
class ModuleSequence:
    """Modules in the order of their numbers; a single module is a sequence of one."""

    members: tuple[SequenceMember, ...]

    @property
    def virtual(self) -> bool:
        """Whether its members are parts of one stacked module."""
        return self.members[0].part is not None

    @property
    def node(self) -> KeyPath:
        """The node that represents the sequence when names are compared."""
        return self.members[0].node


@dataclass(frozen=True, slots=True)
class LayerUnit:
    """The arrays of one layer, or a single array outside a layer (`loose`)."""

    path: KeyPath
    leaves: tuple[tuple[str, ModelArray], ...]
    loose: bool = False

    def leaf(self, name: str) -> KeyPath:
        """Returns the key path of one of its arrays."""
        return self.path if self.loose else (*self.path, name)


class ModuleIndex:
    """The modules of a scope and their properties, each computed once."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._shapes: dict[tuple[KeyPath, int | None], tuple[Shape, ...]] = {}

    @cached_property
    def below(self) -> dict[KeyPath, tuple[KeyPath, ...]]:
        """Key paths of the arrays below each module; modules that hold only one other module are left out."""
        found: defaultdict[KeyPath, list[KeyPath]] = defaultdict(list)
        for path in self.scope:
            for depth in range(1, len(path)):
                found[path[:depth]].append(path)
        shells = {node[:-1] for node, paths in found.items() if len(found.get(node[:-1], ())) == len(paths)}
        return {node: tuple(paths) for node, paths in found.items() if node not in shells}

    @cached_property
    def sequences(self) -> tuple[ModuleSequence, ...]:
        """Every single module, and every sequence of modules that differ in some of their numbers."""
        singles = [ModuleSequence((SequenceMember(node),)) for node in self.below]
        families: defaultdict[tuple[object, ...], list[SequenceMember]] = defaultdict(list)
        for node in self.below:
            parts = [numbers_in(segment) for segment in node]
            free = [(at, which) for at, (_, found) in enumerate(parts) for which in range(len(found))][:_MOST_NUMBERS]
            for size in range(1, len(free) + 1):
                for holes in combinations(free, size):
                    fixed = tuple(
                        (stem, tuple(None if (at, which) in holes else n for which, n in enumerate(found)))
                        for at, (stem, found) in enumerate(parts)
                    )
                    families[fixed].append(SequenceMember(node, tuple(parts[at][1][which] for at, which in holes)))
        many = [
            ModuleSequence(tuple(sorted(members, key=lambda member: member.numbers)))
            for members in families.values()
            if len(members) > 1
        ]
        return (*singles, *many)

    def stacked(self, counts: Collection[int]) -> tuple[ModuleSequence, ...]:
        """Returns modules whose arrays all have the same size along one axis, as sequences of their parts.

        Args:
          counts: the allowed numbers of parts of a single layer; modules of several layers may have any number.
        """
        found: list[ModuleSequence] = []
        for node in ((), *self.below):
            paths = self.below[node] if node else tuple(self.scope)
            first = self.scope[paths[0]].shape if paths else ()
            for axis in _STACK_AXES:
                count = first[axis] if len(first) > axis else 0
                if count < 2 or (count not in counts and self.is_layer(node)):
                    continue
                shapes = (self.scope[path].shape for path in paths)
                if all(len(shape) > axis and shape[axis] == count for shape in shapes):
                    parts = (StackedPart(axis, index, count) for index in range(count))
                    found.append(ModuleSequence(tuple(SequenceMember(node, (part.index,), part) for part in parts)))
        return tuple(found)

    def inside(self, member: SequenceMember) -> dict[KeyPath, ModelArray]:
        """Returns the scope of one member: key paths below it, shapes without the stacked axis."""
        depth = len(member.node)
        paths = self.below[member.node] if member.node else tuple(self.scope)
        items = {path[depth:]: self.scope[path] for path in paths}
        part = member.part
        return items if part is None else {path: item.without(part.axis) for path, item in items.items()}

    def ends(self, member: SequenceMember) -> frozenset[KeyPath]:
        """Returns the arrays of this scope that belong to the member."""
        return frozenset(self.below[member.node] if member.node else self.scope)

    def shapes(self, member: SequenceMember) -> tuple[Shape, ...]:
        """Returns the shapes of all its arrays, sorted."""
        key = (member.node, None if member.part is None else member.part.axis)
        if key not in self._shapes:
            self._shapes[key] = tuple(sorted(item.shape for item in self.inside(member).values()))
        return self._shapes[key]

    def is_layer(self, node: KeyPath) -> bool:
        """Whether the node holds arrays and no modules."""
        return all(len(path) == len(node) + 1 for path in self.below.get(node, ()))


def stack_axes(modules: ModuleIndex, members: Sequence[SequenceMember]) -> Iterator[tuple[int, int]]:
    """Yields each axis along which all arrays of all modules have one size above 1, and the size."""
    shapes = [shape for member in members for shape in modules.shapes(member)]
    for axis in _STACK_AXES:
        sizes = {shape[axis] if len(shape) > axis else 0 for shape in shapes}
        if len(sizes) == 1 and max(sizes) > 1:
            yield axis, max(sizes)


def total(shapes: tuple[Shape, ...]) -> int:
    """Returns the number of elements of all shapes."""
    return sum(map(math.prod, shapes))


def placed(end: Endpoint, member: SequenceMember) -> Endpoint:
    """Returns an endpoint inside a member with the key path of the scope around it."""
    return Endpoint(member.node + end.path, end.part or member.part)


def leaves_of(modules: ModuleIndex, member: SequenceMember) -> tuple[tuple[str, ModelArray], ...]:
    """Returns the arrays of a member by name, sorted."""
    return tuple(("/".join(path), item) for path, item in sorted(modules.inside(member).items()))


def divided_modules(modules: ModuleIndex, left: Scope, matched: Collection[KeyPath]) -> list[LayerUnit]:
    """Returns the modules without a counterpart of which some array has no place."""
    nodes = [
        node
        for node, paths in modules.below.items()
        if any(path in left for path in paths)
        and not modules.is_layer(node)
        and not any(node[:depth] in matched for depth in range(len(node) + 1))
    ]
    return [LayerUnit(node, leaves_of(modules, SequenceMember(node))) for node in nodes]


def layer_units(scope: Scope) -> tuple[LayerUnit, ...]:
    """Returns the arrays of a scope, grouped by layer, in natural order."""
    layers: defaultdict[KeyPath, list[tuple[str, ModelArray]]] = defaultdict(list)
    loose: list[LayerUnit] = []
    for path, item in scope.items():
        if len(path) > 1 and path[-1] in _OF_LAYERS:
            layers[path[:-1]].append((path[-1], item))
        else:
            loose.append(LayerUnit(path, ((path[-1], item),), loose=True))
    whole = [LayerUnit(path, tuple(sorted(leaves))) for path, leaves in layers.items()]
    return tuple(sorted((*whole, *loose), key=lambda unit: natural_key(unit.path)))
