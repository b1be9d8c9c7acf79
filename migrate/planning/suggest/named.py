"""Finds modules that have one name on both sides: `params/tokenizer/decoder` and `tokenizer/decoder`."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from migrate.knowledge.naming import auto_name
from migrate.planning.rule_text.numbers import numbers_in
from migrate.planning.suggest.scope import ModuleIndex
from migrate.planning.suggest.tokens import agrees
from migrate.planning.suggest.values import Scope, Solution
from migrate.tree import KeyPath

_MUCH = 0.5
"""The minimum share of elements of the smaller module that must correspond."""


def named_modules(mine: ModuleIndex, theirs: ModuleIndex) -> Iterator[tuple[KeyPath, KeyPath]]:
    """Yields pairs of modules whose names agree, each the only one of its name, the outermost first."""
    sides = [_candidates(modules) for modules in (mine, theirs)]
    for node in sorted(sides[0], key=lambda node: (len(node), node)):
        found = [other for other in sides[1] if same_name(node, other)]
        if len(found) == 1 and sum(same_name(one, found[0]) for one in sides[0]) == 1:
            yield node, found[0]


def same_name(one: KeyPath, other: KeyPath) -> bool:
    """Whether two key paths agree segment by segment.

    A number that Linen gave agrees only with the same name: Linen counts layers in the order of their construction.
    """
    return len(one) == len(other) and all(map(_same_segment, one, other))


def names_agree(source: KeyPath, target: KeyPath) -> bool:
    """Whether the names of two arrays and of their layers agree, apart from indices of lists."""
    ends = [tuple(segment for segment in path if not segment.isdecimal())[-2:] for path in (source, target)]
    return bool(ends[0]) and same_name(*ends)


def _same_segment(one: str, other: str) -> bool:
    if one == other:
        return True
    return agrees(one, other) and auto_name(one) is None and auto_name(other) is None


def _candidates(modules: ModuleIndex) -> list[KeyPath]:
    """Returns the modules of several layers; those of a numbered sequence are matched by number."""
    families: defaultdict[tuple[str, ...], list[KeyPath]] = defaultdict(list)
    for node in modules.below:
        families[tuple(numbers_in(segment)[0] for segment in node)].append(node)
    return [node for family in families.values() if len(family) == 1 for node in family if not modules.is_layer(node)]


def corresponds(solution: Solution, source: Scope, target: Scope) -> bool:
    """Whether a solution places enough of the smaller module, so that the two are the same module."""
    placed = sum(math.prod(source[path].shape) for path in solution.sources())
    smaller = min(sum(math.prod(item.shape) for item in side.values()) for side in (source, target))
    return placed >= _MUCH * smaller and bool(solution.matches)


def alike_in_size(source: Scope, target: Scope) -> bool:
    """Whether many arrays of two modules have equal numbers of elements, or both modules have as many elements."""
    sizes = [Counter(math.prod(item.shape) for item in side.values()) for side in (source, target)]
    common = (sizes[0] & sizes[1]).total()
    totals = [sum(size * count for size, count in side.items()) for side in sizes]
    return common >= _MUCH * min(len(source), len(target)) or min(totals) >= _MUCH * max(totals)
