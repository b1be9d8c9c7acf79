"""Marks matches that shapes cannot prove: layers that could be exchanged without changing a shape.

Every layer and block of a scope is compared with the others of the scope. Two matches are in doubt when each source
fits the other's target, regardless of their names; the doubt records whether the names agree.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from migrate.knowledge.naming import auto_name
from migrate.planning.rule_text.numbers import numbers_in, split_number
from migrate.planning.suggest.convert import kept_matrix, transposed
from migrate.planning.suggest.fit import only_shape
from migrate.planning.suggest.named import same_name
from migrate.planning.suggest.rivals import BlockMatch, Rivals, keeps_path
from migrate.planning.suggest.scope import LEAF_NAMES, LayerUnit
from migrate.planning.suggest.tokens import agrees, alike, similarity
from migrate.planning.suggest.values import Alternative, Doubt, Match, ModelArray
from migrate.tree import KeyPath, format_path

_SUGGESTIVE = 0.35
"""The similarity of names below which they do not suggest a match."""

_RELATED = 0.5
"""The similarity below which two names have nothing in common; names of unrelated words share some letters."""

_NAMED = 4
"""The number of layers that a message names."""


def doubt_blocks(matches: Sequence[Match], blocks: Sequence[BlockMatch], *, lead: bool, top: bool) -> list[Match]:
    """Returns the matches, with doubts where blocks of one scope could be exchanged.

    Args:
      matches: the matches of the scope.
      blocks: the matched and the unmatched layers and modules.
      lead: whether ops run with one more leading axis.
      top: whether the scope is the whole model; layers that all keep their key paths are then not in doubt.
    """
    doubted = list(matches)
    known = Rivals(blocks, lead=lead, top=top)
    for block in blocks:
        if block.source is None or block.target is None:
            continue
        rivals = known.of(block)
        if rivals:
            why, agree = _reason(block, rivals)
            for index in block.matches:
                others = tuple(_counterparts(doubted[index], block, rivals))
                doubted[index] = doubted[index].doubting(Doubt(why, agree, others))
    return doubted


def doubt_beside_unplaced(
    matches: Sequence[Match], sources: Mapping[KeyPath, ModelArray], targets: Mapping[KeyPath, ModelArray]
) -> list[Match]:
    """Returns the matches, with a doubt on each that an array without a place makes doubtful.

    An array without a place could be the source or the target of a match of its size. One whose layer or module was
    divided to fit makes its other arrays doubtful, too. Names that agree along the whole path remove the doubt.

    Args:
      matches: the matches of all scopes.
      sources: all arrays of the source's model.
      targets: all arrays of the target's model.
    """
    used = {end.path for match in matches for end in match.sources}
    filled = {end.path for match in matches for end in match.targets}
    causes = (
        _Unplaced({path: item for path, item in sources.items() if path not in used}),
        _Unplaced({path: item for path, item in targets.items() if path not in filled}),
    )

    def doubted(match: Match) -> Match:
        (target, *_), (source, *_) = match.targets, match.sources
        if match.doubts or same_name(source.path, target.path):
            return match
        mine, theirs = sources.get(source.path), targets.get(target.path)
        found = [causes[0].near(source.path, theirs), causes[1].near(target.path, mine)]
        if _are_strangers(source.path, target.path):
            found += [cause.first for cause in causes]
        cause = next((path for path in found if path), None)
        if cause is None:
            return match
        return match.doubting(Doubt(f"`{format_path(cause)}` is not placed, so this may belong elsewhere, too"))

    return [doubted(match) for match in matches]


def _are_strangers(source: KeyPath, target: KeyPath) -> bool:
    """Whether the names of two layers have nothing in common; names that Linen gave have no meaning of their own."""
    layers = [path[:-1] if len(path) > 1 and path[-1] in LEAF_NAMES else path for path in (source, target)]
    if any(auto_name(path[-1]) or path[-1].isdecimal() for path in layers):
        return False
    return alike(layers[0][-1], layers[1][-1]) < _RELATED


class _Unplaced:
    """The arrays of one side without a place, by size and by layer."""

    def __init__(self, items: Mapping[KeyPath, ModelArray]) -> None:
        self._by_size: dict[int, KeyPath] = {}
        self._by_layer: dict[KeyPath, KeyPath] = {}
        for path, item in items.items():
            self._by_size.setdefault(math.prod(item.shape), path)
            self._by_layer.setdefault(path[:-1], path)

    @property
    def first(self) -> KeyPath | None:
        """The first of all these arrays."""
        return next(iter(self._by_layer.values()), None)

    def near(self, path: KeyPath, other: ModelArray | None) -> KeyPath | None:
        """Returns an array that makes a match doubtful: of the same layer, or of the size of the match's other side."""
        beside = self._by_layer.get(path[:-1]) if len(path) > 1 else None
        return beside or (self._by_size.get(math.prod(other.shape)) if other else None)


def doubt_remainders(
    matches: list[Match],
    blocks: Sequence[BlockMatch],
    divided: tuple[Sequence[LayerUnit], Sequence[LayerUnit]],
    matched: tuple[Collection[KeyPath], Collection[KeyPath]],
) -> None:
    """Adds a doubt to each layer that is left of a block of a list, because the other blocks took all other places.

    Args:
      matches: the matches of the scope.
      blocks: the matched layers and modules.
      divided: the modules of each side that have no counterpart, and of which an array has no place.
      matched: the modules of each side that have a counterpart.
    """
    lists = [{_numberless(node) for node in side if _numberless(node) != node} for side in matched]
    parts = [{unit.path for unit in side if _numberless(unit.path) in lists[at]} for at, side in enumerate(divided)]
    for block in blocks:
        if block.source is None or block.target is None or keeps_path(block):
            continue
        for at, path in enumerate((block.source.path, block.target.path)):
            node = next((path[:depth] for depth in range(1, len(path)) if path[:depth] in parts[at]), None)
            if node is not None:
                doubt = Doubt(f"`{format_path(node)}` has no counterpart as a whole, so this may belong elsewhere, too")
                for index in block.matches:
                    matches[index] = matches[index].doubting(doubt)
                break


def _numberless(path: KeyPath) -> KeyPath:
    return tuple(numbers_in(segment)[0] for segment in path)


def doubt_shape_only(match: Match, source: LayerUnit, target: LayerUnit) -> Match:
    """Returns the match, with a doubt if only its shape supports it."""
    return match.doubting(Doubt("only the shape supports this")) if only_shape(source, target) else match


def _reason(block: BlockMatch, rivals: Sequence[BlockMatch]) -> tuple[str, bool]:
    assert block.source is not None
    assert block.target is not None
    group = [block, *rivals]
    agree = all(_agrees(one) for one in group if one.source and one.target) and not any(
        one.source is None or one.target is None for one in group
    )
    sources = sorted({_name(one.source.path) for one in group if one.source})
    targets = sorted({_name(one.target.path) for one in group if one.target})
    names = sources if len(sources) > 1 else targets
    if len(names) == 1:
        names = sorted({"/".join(one.source.path) for one in group if one.source})
    subject = f"{_listed(names)} have the same {'shape' if block.layer else 'shapes'}"
    if agree:
        return f"{subject}; their names agree", True
    if all(_numbered(one) for one in group if one.source and one.target):
        return f"{subject}; only their order supports this", False
    if any(similarity(one.source.path, one.target.path) < _SUGGESTIVE for one in group if one.source and one.target):
        return f"{subject}; nothing else supports this", False
    return f"{subject}; their names only suggest this", False


def _agrees(block: BlockMatch) -> bool:
    assert block.source is not None
    assert block.target is not None
    if not block.source.path or not block.target.path:  # the whole model has no name
        return False
    return agrees(block.source.path[-1], block.target.path[-1]) and len(block.source.path[-1]) > 0


def _numbered(block: BlockMatch) -> bool:
    """Whether only a number distinguishes its name from similar names."""
    assert block.source is not None
    return bool(block.source.path) and split_number(block.source.path[-1])[1] is not None


def _name(path: KeyPath) -> str:
    """Returns the last name; a number with the name of its list."""
    if not path:
        return "the whole model"
    return "/".join(path[-2:]) if path[-1].isdecimal() else path[-1]


def _listed(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _counterparts(match: Match, block: BlockMatch, rivals: Sequence[BlockMatch]) -> Iterator[KeyPath]:
    """Yields the arrays of the rivals' targets that correspond to this one."""
    assert block.target is not None
    for rival in rivals:
        if rival.target is None:
            continue
        if rival.target.loose:
            yield rival.target.path
        elif not block.target.loose:
            tail = match.targets[0].path[len(block.target.path) :]
            if "/".join(tail) in {name for name, _ in rival.target.leaves}:
                yield rival.target.path + tail
        else:
            yield rival.target.leaf(rival.target.leaves[0][0])


def doubt_orientation(match: Match, *, lead: bool, torch: bool = False) -> Match:
    """Returns the match with the doubt that its square matrix may be transposed; one named as PyTorch's is."""
    if torch:
        way = Alternative("not transposed", match.ops or (kept_matrix(lead=lead),))
        why = "a square matrix, transposed because PyTorch's `weight` is [out, in]"
        return replace(match, ops=(transposed(lead=lead), *match.ops)).doubting(Doubt(why, alternatives=(way,)))
    way = Alternative("transposed", (*match.ops, transposed(lead=lead)))
    return match.doubting(Doubt("the shape of a square matrix does not show a transpose", alternatives=(way,)))
