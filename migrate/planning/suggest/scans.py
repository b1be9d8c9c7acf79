"""Finds scans over blocks of several layers: `layers/layers_{0..5}` stacked five times, and `layers_{0..33}`.

Block `b` of the scan runs layers `0` to `n - 1` of the block, so layer `j` of block `b` is layer `b * n + j` of the
model. Layers that do not fill a block are a list of their own, the remainder.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from migrate.planning.rule_text.numbers import numbers_in
from migrate.planning.suggest.scope import ModuleIndex, SequenceMember, stack_axes
from migrate.planning.suggest.tokens import similarity
from migrate.planning.suggest.values import Shape, StackedPart


@dataclass(frozen=True, slots=True)
class BlockScan:
    """Layers of a scan and of its remainder, in the order of the model, and the same layers as one list.

    Attributes:
      scanned: the parts of the stacked layers, and the layers of the remainder.
      listed: the layers of the list.
      proved: whether shapes, a remainder or names exclude that each stack holds consecutive layers.
    """

    scanned: tuple[SequenceMember, ...]
    listed: tuple[SequenceMember, ...]
    proved: bool


def block_scans(stacked: ModuleIndex, apart: ModuleIndex) -> Iterator[BlockScan]:
    """Yields scans over blocks on one side that are one list on the other, the largest first.

    Args:
      stacked: the side with the scan.
      apart: the side with the list.
    """
    blocks = [(found, axis, count) for found in _numbered(stacked) for axis, count in stack_axes(stacked, found)]
    lists = _numbered(apart) if blocks else []
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for index, listed in enumerate(lists):
        by_length[len(listed)].append(index)
    found: list[tuple[int, float, BlockScan]] = []
    for block, axis, count in blocks:
        lengths = (length for length in by_length if 0 <= length - len(block) * count < max(len(block), 2))
        for listed in (lists[index] for index in sorted(index for length in lengths for index in by_length[length])):
            for rest in _remainders(stacked, block, len(listed) - len(block) * count):
                scan = _scan(block, axis, count, rest, listed)
                if _fits(scan, stacked, apart):
                    proved = bool(rest) or not _alike(listed, apart) or _is_body(block, listed, stacked)
                    alike = similarity(block[0].node, listed[0].node)
                    found.append((len(listed), alike, replace(scan, proved=proved)))
    yield from (scan for _, _, scan in sorted(found, key=lambda entry: entry[:2], reverse=True))


def _numbered(modules: ModuleIndex) -> list[tuple[SequenceMember, ...]]:
    """Returns the modules of several arrays that differ in one number, which counts from 0."""
    families: defaultdict[tuple[object, ...], list[SequenceMember]] = defaultdict(list)
    for node in modules.below:
        *above, last = node
        stem, numbers = numbers_in(last)
        if numbers:
            families[(*above, stem, numbers[:-1])].append(SequenceMember(node, numbers[-1:]))
    ordered = [tuple(sorted(members, key=lambda member: member.numbers)) for members in families.values()]
    return [members for members in ordered if [m.numbers[0] for m in members] == list(range(len(members)))]


def _remainders(
    modules: ModuleIndex, block: Sequence[SequenceMember], count: int
) -> Iterator[tuple[SequenceMember, ...]]:
    """Yields lists of `count` layers beside a block; fewer layers than a block has."""
    if count == 0 and len(block) > 1:
        yield ()
    if 0 < count < max(len(block), 2):
        above = block[0].node[:-1]
        yield from (
            found for found in _numbered(modules) if len(found) == count and found[0].node[: len(above)] != above
        )


def _scan(
    block: Sequence[SequenceMember],
    axis: int,
    count: int,
    rest: Sequence[SequenceMember],
    listed: Sequence[SequenceMember],
) -> BlockScan:
    parts = [replace(member, part=StackedPart(axis, index, count)) for index in range(count) for member in block]
    return BlockScan((*parts, *rest), tuple(listed), proved=False)


def _fits(scan: BlockScan, stacked: ModuleIndex, apart: ModuleIndex) -> bool:
    """Whether each layer has the numbers of elements of its counterpart."""
    pairs = zip(scan.scanned, scan.listed, strict=True)
    return all(_sizes(stacked.shapes(one)) == _sizes(apart.shapes(other)) for one, other in pairs)


def _sizes(shapes: Sequence[Shape]) -> Counter[int]:
    return Counter(map(math.prod, shapes))


def _alike(members: Sequence[SequenceMember], modules: ModuleIndex) -> bool:
    return len({modules.shapes(member) for member in members}) == 1


def _is_body(block: Sequence[SequenceMember], listed: Sequence[SequenceMember], modules: ModuleIndex) -> bool:
    """Whether the block is all that its module holds, and its layers are named as those of the list."""
    above = block[0].node[:-1]
    inside = sum(path[: len(above)] == above for path in modules.scope)
    stems = {numbers_in(member.node[-1])[0] for member in (block[0], listed[0])}
    return bool(above) and inside == sum(len(modules.ends(member)) for member in block) and len(stems) == 1


def other_order(scan: BlockScan) -> list[int] | None:
    """Returns the position of each layer in the model if each stack held consecutive layers; None if it cannot."""
    parts = [(member.numbers[0], member.part) for member in scan.scanned if member.part]
    return None if scan.proved else [number * part.count + part.index for number, part in parts]
