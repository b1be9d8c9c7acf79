"""Finds the blocks of one scope that could be exchanged without changing a shape.

Members of two lists that are matched in the order of their numbers cannot be exchanged. They are told apart for the
whole list at once, so that the time for a list of layers grows with its length, not with the square of it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from migrate.knowledge.layers import LAYERS
from migrate.knowledge.naming import auto_name, is_counted_name
from migrate.planning.rule_text.numbers import numbers_in
from migrate.planning.suggest.fit import fit_layer
from migrate.planning.suggest.named import same_name
from migrate.planning.suggest.scope import LEAF_NAMES, LayerUnit, SequenceMember

_GATES = frozenset(
    (leaf.sources[0][0], leaf.target[0])
    for layer in LAYERS
    for leaf in layer.leaves
    if layer.nnx.endswith("Cell") and len(leaf.sources) == 1
)
"""Names of the gates of recurrent cells, in Linen and in NNX."""


@dataclass(frozen=True, slots=True)
class BlockMatch:
    """A layer or module with its counterpart, if it has one.

    Attributes:
      source, target: the layer on each side; None on the side where it has no counterpart.
      matches: the indices of its arrays' matches in the scope.
      members: the two members of sequences through which it was matched, if any.
      layer: whether it is a single layer (or array) and not a module of several.
      run: identifies the list of layers in the order of the model that it is part of, if any.
    """

    source: LayerUnit | None
    target: LayerUnit | None
    matches: range
    members: tuple[SequenceMember, SequenceMember] | None
    layer: bool
    run: int | None = None


Place = tuple[tuple[int, ...], int]
"""The order of a member in its sequence: the numbers of its key path, and its part of a stacked module."""

Family = tuple[tuple[str, ...], tuple[str, ...], bool]
"""What the members of two sequences share: both key paths without numbers, and whether they are layers."""


class Rivals:
    """The blocks of a scope, arranged so that those which could be exchanged with one of them are found."""

    def __init__(self, blocks: Sequence[BlockMatch], *, lead: bool, top: bool) -> None:
        """Arranges the blocks.

        Args:
          blocks: the matched and the unmatched layers and modules of the scope.
          lead: whether ops run with one more leading axis.
          top: whether the scope is the whole model; layers that all keep their key paths are then no rivals.
        """
        self._blocks = blocks
        self._lead, self._top = lead, top
        self._families = [_family(block) for block in blocks]
        self._indices = {id(block): index for index, block in enumerate(blocks)}
        self._ordered = _ordered_families(blocks, self._families)
        self._near = _by_sizes(blocks, self._families)

    def of(self, block: BlockMatch) -> list[BlockMatch]:
        """Returns the blocks with which one could be exchanged, in the order of all blocks of the scope."""
        kept = self._top and keeps_path(block)
        return [
            one
            for one in self._candidates(block)
            if not (kept and keeps_path(one)) and could_swap(block, one, lead=self._lead)
        ]

    def _candidates(self, block: BlockMatch) -> list[BlockMatch]:
        """Returns the other blocks of its sizes, without those that its own family tells apart."""
        family = self._families[self._indices[id(block)]]
        found: dict[int, None] = {}
        for key in _keys(block):
            near = self._near[key]
            told_apart = near[family] if family in self._ordered else ()
            found |= dict.fromkeys(sorted(index for some in near.values() if some is not told_apart for index in some))
        return [self._blocks[index] for index in found if self._blocks[index] is not block]


def _family(block: BlockMatch) -> Family | None:
    """Returns the family of a block; None for blocks that numbers never tell apart."""
    if block.members is None or block.source is None or block.target is None or not block.members[0].numbers:
        return None
    mine, theirs = block.members
    if block.layer and not _is_numbered_by_the_user(block):
        return None
    return _skeleton(mine), _skeleton(theirs), block.layer


def _is_numbered_by_the_user(block: BlockMatch) -> bool:
    """Whether a layer has a number that the user gave it, and the same one on both sides."""
    assert block.members is not None
    mine, theirs = block.members
    chosen = auto_name(mine.node[-1]) is None and not is_counted_name(mine.node[-1])
    return chosen and mine.numbers == theirs.numbers


def _ordered_families(blocks: Sequence[BlockMatch], families: Sequence[Family | None]) -> set[Family]:
    """Returns the families whose members have the same strict order on both sides, so that all are told apart."""
    places: defaultdict[Family, list[tuple[Place, Place]]] = defaultdict(list)
    for block, family in zip(blocks, families, strict=True):
        if family is not None and block.members is not None:
            places[family].append((_place(block.members[0]), _place(block.members[1])))
    return {family for family, found in places.items() if _is_strict(sorted(found))}


def _is_strict(places: Sequence[tuple[Place, Place]]) -> bool:
    return all(a < c and b < d for (a, b), (c, d) in pairwise(places))


def _by_sizes(
    blocks: Sequence[BlockMatch], families: Sequence[Family | None]
) -> dict[tuple[int, ...], dict[Family | None, list[int]]]:
    """Returns the indices of blocks by the sizes of their arrays: blocks of different sizes cannot be exchanged."""
    found: defaultdict[tuple[int, ...], dict[Family | None, list[int]]] = defaultdict(dict)
    for index, (block, family) in enumerate(zip(blocks, families, strict=True)):
        for key in _keys(block):
            found[key].setdefault(family, []).append(index)
    return found


def _keys(block: BlockMatch) -> set[tuple[int, ...]]:
    units = (unit for unit in (block.source, block.target) if unit is not None)
    return {tuple(sorted(math.prod(item.shape) for _, item in unit.leaves)) for unit in units}


def could_swap(one: BlockMatch, other: BlockMatch, *, lead: bool) -> bool:
    """Whether each source fits the other's target as well; a missing side fits anything."""
    if one.layer != other.layer or _told_apart_by_number(one, other) or _keep_flax_names(one, other):
        return False
    if _told_apart_by_name(one, other):
        return False
    if not one.layer:
        return _are_alike(one, other)
    return _fits(one.source, other.target, lead=lead) and _fits(other.source, one.target, lead=lead)


def _are_alike(one: BlockMatch, other: BlockMatch) -> bool:
    """Whether two modules have the same shapes on one side, so that an exchange would be as good a match."""
    if _shapes(one.source) == _shapes(other.target) and _shapes(other.source) == _shapes(one.target):
        return True
    sides = ((one.source, other.source), (one.target, other.target))
    return any(mine and theirs and _shapes(mine) == _shapes(theirs) for mine, theirs in sides)


def _shapes(unit: LayerUnit | None) -> list[tuple[int, ...]]:
    return sorted(item.shape for _, item in unit.leaves) if unit else []


def _fits(source: LayerUnit | None, target: LayerUnit | None, *, lead: bool) -> bool:
    if source is None or target is None:
        return True
    found = fit_layer(source, target, lead=lead)
    return found is not None and found.whole and not any(leaf.conversion.open for leaf in found.leaf_matches)


def _told_apart_by_name(one: BlockMatch, other: BlockMatch) -> bool:
    """Whether the names of one block agree along the whole path, and those of an exchange would not."""
    crossed = [
        (block.source.path, rival.target.path)
        for block, rival in ((one, other), (other, one))
        if block.source and rival.target
    ]
    if any(same_name(*paths) for paths in crossed):
        return False
    return any(
        block.source and block.target and same_name(block.source.path, block.target.path) for block in (one, other)
    )


def _told_apart_by_number(one: BlockMatch, other: BlockMatch) -> bool:
    """Whether numbers distinguish two members of one sequence.

    They distinguish modules always, and layers if the user numbered them: Linen's own numbers follow the order of
    construction.
    """
    if one.members is None or other.members is None:
        return _keep_numbers(one, other)
    if one.run is not None and one.run == other.run:
        return True
    (a, b), (c, d) = one.members, other.members
    if not (a.numbers and c.numbers and _skeleton(a) == _skeleton(c) and _skeleton(b) == _skeleton(d)):
        return False
    if not _in_order((a, c), (b, d)):
        return False
    if not one.layer:
        return True
    chosen = auto_name(a.node[-1]) is None and not is_counted_name(a.node[-1])
    return chosen and a.numbers == b.numbers and c.numbers == d.numbers


def _in_order(mine: tuple[SequenceMember, SequenceMember], theirs: tuple[SequenceMember, SequenceMember]) -> bool:
    """Whether the numbers of two modules and their parts have the same order on both sides."""
    orders = []
    for one, other in (mine, theirs):
        first, second = _place(one), _place(other)
        orders.append(first < second if first != second else None)
    return None not in orders and orders[0] == orders[1]


def _place(member: SequenceMember) -> Place:
    numbers = tuple(n for segment in member.node for n in numbers_in(segment)[1])
    return numbers, member.part.index if member.part else 0


def _keep_numbers(one: BlockMatch, other: BlockMatch) -> bool:
    """Whether both blocks keep their key paths, which differ only in numbers of the modules around them."""
    paths = [block.source.path for block in (one, other) if block.source and block.source.path and keeps_path(block)]
    around = {(*(numbers_in(segment)[0] for segment in path[:-1]), path[-1]) for path in paths}
    return len(paths) == 2 and len(around) == 1


def keeps_path(block: BlockMatch) -> bool:
    """Whether source and target have the same key path."""
    return block.source is not None and block.target is not None and block.source.path == block.target.path


def _keep_flax_names(one: BlockMatch, other: BlockMatch) -> bool:
    """Whether both blocks keep the names of Flax's own layers: `scale` and `bias` of a norm, gates of a cell."""
    return all(
        block.source is not None
        and block.target is not None
        and bool(block.source.path and block.target.path)  # the whole model has no name
        and (
            (block.source.path[-1], block.target.path[-1]) in _GATES
            or (block.source.loose and block.source.path[-1] == block.target.path[-1] in LEAF_NAMES)
        )
        for block in (one, other)
    )


def _skeleton(member: SequenceMember) -> tuple[str, ...]:
    return tuple(numbers_in(segment)[0] for segment in member.node)
