"""Finds layers that are numbered through on one side and split over several lists on the other.

`Dense_0` to `Dense_7` become `actor/layers/0` to `3` and `critic/layers/0` to `3`: each list is a contiguous run of the
numbers, in increasing order. A shape that occurs once anchors the run of its list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from migrate.planning.rule_text.numbers import numbers_in
from migrate.planning.suggest.scope import ModuleIndex, SequenceMember, total
from migrate.tree import natural_key

_MOST_STEPS = 2000
"""The limit of the search for runs; lists of equal layers fit in many orders."""

Family = tuple[SequenceMember, ...]
"""Modules that differ in one number, in its order, or a single module."""


@dataclass(frozen=True, slots=True)
class Tower:
    """Layers that are numbered through on one side, and the same layers as several lists, one after the other.

    Attributes:
      coverage: the number of elements of all layers.
      mine, theirs: the layers of both sides, one by one.
    """

    coverage: int
    mine: Family
    theirs: Family


def find_towers(mine: ModuleIndex, theirs: ModuleIndex) -> list[Tower]:
    """Returns the towers in both directions, the largest first."""
    found = [
        *(Tower(_coverage(mine, chain), chain, lists) for chain, lists in _towers(mine, theirs)),
        *(Tower(_coverage(theirs, chain), lists, chain) for chain, lists in _towers(theirs, mine)),
    ]
    return sorted(found, key=lambda tower: -tower.coverage)


def _coverage(modules: ModuleIndex, members: Family) -> int:
    return sum(total(modules.shapes(member)) for member in members)


def _towers(chains: ModuleIndex, lists: ModuleIndex) -> Iterator[tuple[Family, Family]]:
    """Yields numbered layers of one side, and the lists of the other that they form."""
    runs = _families(lists)
    alike: defaultdict[tuple[int, frozenset[object]], list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        alike[len(run), frozenset(lists.shapes(member) for member in run)].append(index)
    for chain in _families(chains):
        if len(chain) < 3:
            continue
        shapes = {chains.shapes(member) for member in chain}
        indices = (some for (size, offered), some in alike.items() if size < len(chain) and offered <= shapes)
        fitting = sorted(index for some in indices for index in some)
        found = _cover(chain, [runs[index] for index in fitting], chains, lists)
        if found and len(found) > 1 and any(len(run) > 1 for run in found):
            yield chain, tuple(member for run in found for member in run)


def _families(modules: ModuleIndex) -> list[Family]:
    """Returns modules that differ in their last number, in its order, and single modules, in natural order."""
    families: defaultdict[tuple[object, ...], list[SequenceMember]] = defaultdict(list)
    for node in modules.below:
        at = max((index for index, segment in enumerate(node) if numbers_in(segment)[1]), default=None)
        if at is None:
            families[node].append(SequenceMember(node))
        else:
            stem, numbers = numbers_in(node[at])
            families[(*node[:at], (stem, numbers[:-1]), *node[at + 1 :])].append(SequenceMember(node, numbers[-1:]))
    ordered = [tuple(sorted(members, key=lambda member: member.numbers)) for members in families.values()]
    return sorted(ordered, key=lambda members: (len(members[0].node), natural_key(members[0].node)))


def _cover(
    chain: Sequence[SequenceMember], runs: Sequence[Family], chains: ModuleIndex, lists: ModuleIndex
) -> list[Family] | None:
    """Returns the first order of runs whose layers have the shapes of the chain, one by one."""
    wanted = [chains.shapes(member) for member in chain]
    offered = [[lists.shapes(member) for member in run] for run in runs]
    steps = 0

    def search(at: int, left: tuple[int, ...]) -> list[int] | None:
        nonlocal steps
        if at == len(wanted):
            return []
        for number in left:
            steps += 1
            if steps > _MOST_STEPS:
                return None
            size = len(offered[number])
            if wanted[at : at + size] == offered[number]:
                rest = search(at + size, tuple(one for one in left if one != number))
                if rest is not None:
                    return [number, *rest]
        return None

    found = search(0, tuple(range(len(runs))))
    return None if found is None else [runs[number] for number in found]
