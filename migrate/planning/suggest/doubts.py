"""What shapes cannot prove: layers that could change places without a trace.

Every layer and block of a scope is compared with the others of the same scope. Two matches of which each source would fit
the other's target are open, whatever their names; the doubt says whether the names agree.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from migrate.knowledge.layers import LAYERS
from migrate.knowledge.naming import auto_name
from migrate.planning.suggest.convert import transposed
from migrate.planning.suggest.fit import fit_layer, only_shape
from migrate.planning.suggest.scope import LEAF_NAMES, LayerUnit, SequenceMember
from migrate.planning.suggest.tokens import agrees, numbers_in, split_number
from migrate.planning.suggest.values import Alternative, Doubt, Match, ModelArray
from migrate.tree import KeyPath, format_path

_GATES = frozenset(
    (leaf.sources[0][0], leaf.target[0])
    for layer in LAYERS
    for leaf in layer.leaves
    if layer.nnx.endswith("Cell") and len(leaf.sources) == 1
)
"""Names of the gates of recurrent cells, in Linen and in NNX."""

_NAMED = 4
"""How many layers a sentence names."""


@dataclass(frozen=True, slots=True)
class BlockMatch:
    """A layer or module that was placed, or that found no place.

    Attributes:
      source, target: what it is on both sides; None where there is nothing.
      matches: which matches of the scope are its arrays'.
      members: where it was matched as a member of a sequence, both members.
      layer: whether it is a single layer (or array), not a module of several.
    """

    source: LayerUnit | None
    target: LayerUnit | None
    matches: range
    members: tuple[SequenceMember, SequenceMember] | None
    layer: bool


def doubt_blocks(matches: Sequence[Match], blocks: Sequence[BlockMatch], *, lead: bool, top: bool) -> list[Match]:
    """The matches with doubts where blocks of one scope could change places.

    Args:
      matches: what was decided in the scope.
      blocks: what was matched and what was not.
      lead: whether ops run with one more axis in front.
      top: whether the scope is the whole model; then layers that all keep their key paths are not in doubt.
    """
    doubted = list(matches)
    near = _by_sizes(blocks)
    for block in blocks:
        if block.source is None or block.target is None:
            continue
        candidates = dict.fromkeys(other for key in _keys(block) for other in near[key])
        near_by = [blocks[i] for i in candidates if blocks[i] is not block]
        kept = top and _keeps_path(block)
        rivals = [one for one in near_by if not (kept and _keeps_path(one)) and _could_swap(block, one, lead=lead)]
        if rivals:
            why, agree = _why(block, rivals)
            for index in block.matches:
                others = tuple(_counterparts(doubted[index], block, rivals))
                doubted[index] = doubted[index].doubting(Doubt(why, agree, others))
    return doubted


def _by_sizes(blocks: Sequence[BlockMatch]) -> dict[tuple[int, ...], list[int]]:
    """Indices of blocks by the sizes of their arrays: blocks of different sizes never change places."""
    found: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, block in enumerate(blocks):
        for key in _keys(block):
            found[key].append(index)
    return found


def _keys(block: BlockMatch) -> set[tuple[int, ...]]:
    units = (unit for unit in (block.source, block.target) if unit is not None)
    return {tuple(sorted(math.prod(item.shape) for _, item in unit.leaves)) for unit in units}


def doubt_beside_unplaced(
    matches: Sequence[Match], sources: Mapping[KeyPath, ModelArray], targets: Mapping[KeyPath, ModelArray]
) -> list[Match]:
    """The matches, with a doubt where something found no place and the shape of this one is not the only of its kind.

    A block that was cut apart to fit leaves something over; its other arrays may belong elsewhere, too.

    Args:
      matches: what was decided, in all scopes.
      sources: all arrays of the model on the one side.
      targets: those on the other.
    """
    used = {end.path for match in matches for end in match.sources}
    filled = {end.path for match in matches for end in match.targets}
    left = [*(path for path in sources if path not in used), *(path for path in targets if path not in filled)]
    if not left:
        return list(matches)
    shapes = Counter(item.shape for item in targets.values())
    doubt = Doubt(f"`{format_path(left[0])}` found no place, so this may be its neighbours'")

    def alone(match: Match) -> bool:
        (target, *_), (source, *_) = match.targets, match.sources
        return source.path == target.path or target.path not in targets or shapes[targets[target.path].shape] == 1

    return [match if match.doubts or alone(match) else match.doubting(doubt) for match in matches]


def doubt_shape_only(match: Match, source: LayerUnit, target: LayerUnit) -> Match:
    """The match, with a doubt if nothing but its shape speaks for it."""
    return match.doubting(Doubt("nothing but the shape speaks for this")) if only_shape(source, target) else match


def _could_swap(one: BlockMatch, other: BlockMatch, *, lead: bool) -> bool:
    """Whether each source would do for the other's target as well; what is missing on a side does for anything."""
    if one.layer != other.layer or _told_apart_by_number(one, other) or _keep_flax_names(one, other):
        return False
    return _fits(one.source, other.target, one.layer, lead=lead) and _fits(
        other.source, one.target, one.layer, lead=lead
    )


def _fits(source: LayerUnit | None, target: LayerUnit | None, layer: bool, *, lead: bool) -> bool:
    if source is None or target is None:
        return True
    if not layer:
        return sorted(item.shape for _, item in source.leaves) == sorted(item.shape for _, item in target.leaves)
    found = fit_layer(source, target, lead=lead)
    return found is not None and found.whole and not any(leaf.conversion.open for leaf in found.leaf_matches)


def _told_apart_by_number(one: BlockMatch, other: BlockMatch) -> bool:
    """Whether two members of one sequence are told apart by their numbers: modules always; layers if somebody numbered
    them, since Linen's own numbers follow the order of construction.
    """
    if one.members is None or other.members is None:
        return _keep_numbers(one, other)
    (a, b), (c, d) = one.members, other.members
    if not (a.numbers and c.numbers and _skeleton(a) == _skeleton(c) and _skeleton(b) == _skeleton(d)):
        return False
    if not one.layer:
        return True
    chosen = auto_name(a.node[-1]) is None
    return chosen and a.numbers == b.numbers and c.numbers == d.numbers


def _keep_numbers(one: BlockMatch, other: BlockMatch) -> bool:
    """Whether both keep their key paths, which differ in numbers of what is around them alone."""
    paths = [block.source.path for block in (one, other) if block.source and block.target and _keeps_path(block)]
    around = {(*(numbers_in(segment)[0] for segment in path[:-1]), path[-1]) for path in paths}
    return len(paths) == 2 and len(around) == 1


def _keeps_path(block: BlockMatch) -> bool:
    return block.source is not None and block.target is not None and block.source.path == block.target.path


def _keep_flax_names(one: BlockMatch, other: BlockMatch) -> bool:
    """Whether both keep the names that Flax's own layer gives them: `scale` and `bias` of a norm, gates of a cell."""
    return all(
        block.source is not None
        and block.target is not None
        and (
            (block.source.path[-1], block.target.path[-1]) in _GATES
            or (block.source.loose and block.source.path[-1] == block.target.path[-1] in LEAF_NAMES)
        )
        for block in (one, other)
    )


def _skeleton(member: SequenceMember) -> tuple[str, ...]:
    return tuple(numbers_in(segment)[0] for segment in member.node)


def _why(block: BlockMatch, rivals: Sequence[BlockMatch]) -> tuple[str, bool]:
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
    what = f"{_listed(names)} have {'one shape' if block.layer else 'the same shapes'}"
    if agree:
        return f"{what}; their names agree", True
    if all(_numbered(one) for one in group if one.source and one.target):
        return f"{what}; only their order speaks for this", False
    return f"{what}; their names only suggest this", False


def _agrees(block: BlockMatch) -> bool:
    assert block.source is not None
    assert block.target is not None
    return agrees(block.source.path[-1], block.target.path[-1]) and len(block.source.path[-1]) > 0


def _numbered(block: BlockMatch) -> bool:
    """Whether a number is all that its own name has to say among its like."""
    assert block.source is not None
    return split_number(block.source.path[-1])[1] is not None


def _name(path: KeyPath) -> str:
    """The last name, with what it is a number of."""
    return "/".join(path[-2:]) if path[-1].isdecimal() else path[-1]


def _listed(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _counterparts(match: Match, block: BlockMatch, rivals: Sequence[BlockMatch]) -> Iterator[KeyPath]:
    """The arrays of the rivals' targets that play the part of this one."""
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


def doubt_orientation(match: Match, *, lead: bool) -> Match:
    """The match with the doubt that its square matrix may be meant the other way round."""
    way = Alternative("transposed", (*match.ops, transposed(lead=lead)))
    return match.doubting(Doubt("a square matrix could be transposed without a trace", alternatives=(way,)))
