"""Writes the rule drafts of matched columns: one for each array, or for all blocks of a stacked one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from migrate.planning.rule_text.numbers import split_number
from migrate.planning.rule_text.rule_drafts import OVER, RuleDraft, Segments, text_of
from migrate.planning.suggest.columns import Column
from migrate.planning.suggest.conventions import MaxText
from migrate.planning.suggest.known import ColumnMatch
from migrate.planning.suggest.known_ops import AxisConversion, Orientation, conversion, stacked_both
from migrate.planning.suggest.layout import ClassifiedLeaf
from migrate.planning.suggest.leftovers import cast_ops
from migrate.planning.suggest.values import Doubt, OpText, Shape
from migrate.tree import KeyPath, format_segment

_EXPERT = "e"
"""The name of the index over experts."""

KNOWN = "known names"
"""The reason of a draft that names decide."""


@dataclass(frozen=True, slots=True)
class StackAxes:
    """The axes along which the blocks of both sides are stacked; None where they are not."""

    source: int | None = None
    target: int | None = None


@dataclass(frozen=True, slots=True)
class _Holes:
    """Captures in place of the numbers of blocks and experts.

    Attributes:
      layer, expert: the captures; empty for none.
      more: the blocks that the capture matches, and that the rule does not move.
    """

    layer: str = ""
    expert: str = ""
    more: tuple[int, ...] = ()


class DraftWriter:
    """Writes the drafts of the matches of two models."""

    def __init__(self, maxtext: MaxText, orientation: Orientation) -> None:
        """Prepares a writer.

        Args:
          maxtext: what MaxText stores otherwise.
          orientation: how matrices are stored.
        """
        self._maxtext = maxtext
        self._orientation = orientation

    def axes_that_fit(self, match: ColumnMatch) -> frozenset[StackAxes]:
        """Returns the axes of blocks with which the arrays of a match become those of the other side."""
        one, other = match.sources[0], match.targets[0]
        blocks = _blocks(match.sources), _blocks(match.targets)
        sources = _axes(one, blocks[1] - blocks[0]) if one.stacked else [None]
        targets = _axes(other, blocks[0] - blocks[1]) if other.stacked else [None]
        every = [StackAxes(mine, theirs) for mine in sources for theirs in targets]
        return frozenset(axes for axes in every if self._conversion(match, axes) is not None)

    def drafts(self, match: ColumnMatch, axes: StackAxes) -> list[RuleDraft]:
        """Returns the drafts of a match; none where its arrays do not become those of the other side."""
        found = self._conversion(match, axes)
        if found is None:
            return []
        if match.sources[0].stacked and match.targets[0].stacked:
            return self._stack_to_stack(match, axes, found)
        if match.sources[0].stacked:
            return list(self._unstacked(match, axes, found))
        return list(self._from_lists(match, match.sources, axes, found))

    def _conversion(self, match: ColumnMatch, axes: StackAxes) -> AxisConversion | None:
        if not all(column.is_uniform for column in (*match.sources, *match.targets)):
            return None
        experts = _experts(match)
        sources = [(one, _inner(one, axes.source, len(experts.theirs))) for one in _parts(match.sources)]
        targets = [(one, _inner(one, axes.target, len(experts.mine))) for one in _parts(match.targets)]
        left, right = ([(one, shape) for one, shape in side if shape is not None] for side in (sources, targets))
        if len(left) < len(sources) or len(right) < len(targets):
            return None
        return conversion(*self._maxtext.unpadded(left, right), self._orientation)

    def _from_lists(
        self, match: ColumnMatch, columns: Sequence[Column], axes: StackAxes, found: AxisConversion
    ) -> Iterator[RuleDraft]:
        """Yields the drafts from arrays of single blocks to single or stacked ones."""
        joined = _experts(match).mine
        parts = _parts(match.targets)
        for target in match.targets if len(parts) == 1 else match.targets[:1]:
            for (layer, expert), leaf in target.cells.items():
                covered = _covered(target, layer, leaf, axes.target if target.stacked else None)
                sources = _found(columns, covered, joined or [expert])
                targets = [leaf] if len(parts) == 1 else [other.cells.get((layer, expert)) for other in match.targets]
                layers = _counted(columns, covered) if target.stacked else _Holes()
                holes = replace(layers, expert=f"{{{_EXPERT}}}" if joined else "")
                yield from self._draft(match, found, axes, sources, targets, (holes, _Holes()))

    def _unstacked(self, match: ColumnMatch, axes: StackAxes, found: AxisConversion) -> Iterator[RuleDraft]:
        """Yields the drafts from stacked arrays to arrays of single blocks, and from those of the last layers."""
        joined = _experts(match).theirs
        split = len(_parts(match.targets)) > 1
        if joined and (split or len(_parts(match.sources)) > 1):
            return
        for columns in _by_kind(match.sources):
            first = columns[0]
            if not first.stacked:
                yield from self._from_lists(match, columns, axes, found)
                continue
            covered = _covered(first, None, first.first, axes.source)
            targets = _found(match.targets, covered, joined or [None])
            kind, count = first.kind
            layers = f"{{{OVER}}}" if count == 1 else f"{{{OVER}*{count}+{kind}}}"
            holes = _Holes(layers, f"{{{_EXPERT}}}" if joined else "")
            sources = [column.first for column in columns]
            yield from self._draft(match, found, axes, sources, targets, (_Holes(), holes))

    def _stack_to_stack(self, match: ColumnMatch, axes: StackAxes, found: AxisConversion) -> list[RuleDraft]:
        """Returns the draft from one stacked array to another."""
        if axes.source is None or axes.target is None or found.join or len(match.sources) + len(match.targets) > 2:
            return []
        if _experts(match).mine or _experts(match).theirs:
            return []
        order = stacked_both(found.source, axes.source, found.target, axes.target)
        ops = (*order, *self._maxtext.ops(match, found.sizes))
        leaves = [match.sources[0].first], [match.targets[0].first]
        return [_draft(match, *leaves, ops, (_Holes(), _Holes()), match.doubts)]

    def _draft(
        self,
        match: ColumnMatch,
        found: AxisConversion,
        axes: StackAxes,
        sources: Sequence[ClassifiedLeaf | None],
        targets: Sequence[ClassifiedLeaf | None],
        holes: tuple[_Holes, _Holes],
    ) -> Iterator[RuleDraft]:
        """Yields the draft from arrays to arrays, unless some of them do not exist."""
        mine, theirs = [leaf for leaf in sources if leaf], [leaf for leaf in targets if leaf]
        if len(mine) < len(sources) or len(theirs) < len(targets):
            return
        left, right = holes
        if right.layer and len(mine) > 1 and not found.after_stack:
            return

        def ops(inner: tuple[OpText, ...], numbers: tuple[OpText, ...]) -> tuple[OpText, ...]:
            apart = [f"unstack: {{axis: {axes.source}, over: {OVER}}}"] if right.layer else []
            apart += [f"unstack: {{axis: 0, over: {_EXPERT}}}"] if right.expert else []
            joined = (*found.join, *inner) if len(_parts(match.targets)) > 1 else (*inner, *found.join)
            if right.layer and len(mine) > 1:  # the parts of a fusion are joined before they are unstacked
                apart, joined = ["stack: {axis: -1}", *apart], found.after_stack
            stacked = [f"stack: {{axis: 0, over: {_EXPERT}}}"] if left.expert else []
            stacked += [f"stack: {{axis: {axes.target}, over: {OVER}}}"] if left.layer else []
            return (*apart, *joined, *numbers, *stacked)

        numbers = self._maxtext.ops(match, found.sizes)
        doubts = [*match.doubts, *_doubts(match, found), *self._maxtext.doubts(match, found, ops, numbers)]
        yield _draft(match, mine, theirs, ops(found.ops, numbers), holes, doubts)


def _doubts(match: ColumnMatch, found: AxisConversion) -> Iterator[Doubt]:
    """Yields the doubts about the blocks, the order of axes, and that of the parts of a fusion."""
    sides = [side for side in (match.sources, match.targets) if not any(column.stacked for column in side)]
    if len({_blocks(side) for side in sides} - {0}) > 1:
        yield Doubt("the other side has another number of blocks, so that each may be another one")
    if found.rests_on_names:
        yield Doubt("its shape fits in another order of its axes, too; names decide")
    if found.join:
        many, whole = _parts(match.sources), match.targets[0]
        if len(many) == 1:
            many, whole = _parts(match.targets), match.sources[0]
        names = ", ".join(part.named.meaning for part in many)
        yield Doubt(f"shapes do not show the order of {names} in `{whole.names[-1]}`")


@dataclass(frozen=True, slots=True)
class _Experts:
    """The numbers of the experts of a list that is one array on the other side; empty for others."""

    mine: list[int | None]
    theirs: list[int | None]


def _experts(match: ColumnMatch) -> _Experts:
    one, other = match.sources[0].experts, match.targets[0].experts
    return _Experts([] if other else list(one), [] if one else list(other))


def _parts(columns: Sequence[Column]) -> list[Column]:
    """Returns one column for each part of a fusion: columns of one meaning are kinds of a block."""
    return list({column.named: column for column in reversed(columns)}.values())[::-1]


def _by_kind(columns: Sequence[Column]) -> list[list[Column]]:
    """Returns the columns of each kind of block, with all parts of a fusion."""
    return [[one for one in columns if one.kind == kind] for kind in dict.fromkeys(column.kind for column in columns)]


def _blocks(columns: Sequence[Column]) -> int:
    """Returns the number of blocks of columns that are not stacked."""
    return sum(len(column.layers) for column in columns if column.named == columns[0].named)


def _axes(column: Column, blocks: int) -> list[int]:
    """Returns the axes along which so many blocks may be stacked; any for an unknown number."""
    count = column.kind[1]
    return [at for at, size in enumerate(column.shape) if size > 0 and (not blocks or size * count == blocks)]


def _inner(column: Column, axis: int | None, experts: int) -> Shape | None:
    """Returns the shape of an array without its axes of blocks and of so many experts, or None without such axes."""
    shape = column.shape
    if axis is not None:
        shape = (*shape[:axis], *shape[axis + 1 :])
    if experts and shape[:1] != (experts,):
        return None
    return shape[1:] if experts else shape


def _covered(column: Column, layer: int | None, leaf: ClassifiedLeaf, axis: int | None) -> list[int | None]:
    """Returns the numbers, among all layers, of the blocks that an array holds."""
    kind, count = column.kind
    if layer is not None:
        return [layer * count + kind]
    if axis is None:
        return [None]
    return [kind + count * index for index in range(leaf.aval.shape[axis])]


def _found(
    columns: Sequence[Column], layers: Sequence[int | None], experts: Sequence[int | None]
) -> list[ClassifiedLeaf | None]:
    """Returns the arrays of all parts for some of all layers, and experts; None for those that do not exist."""
    return [
        next((leaf for one in columns if one.named == part.named and (leaf := one.at(layer, expert))), None)
        for part in _parts(columns)
        for layer in layers
        for expert in experts
    ]


def _counted(columns: Sequence[Column], covered: Sequence[int | None]) -> _Holes:
    """Returns the capture of these blocks, whose numbers count up in equal steps, and the blocks to except from it."""
    numbers = [number for number in covered if number is not None]
    if columns[0].kind[1] > 1 or not numbers:
        return _Holes(f"{{{OVER}}}")
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    if step > 1:
        more = [one for one in columns[0].layers if one % step == numbers[0] and one not in numbers]
        return _Holes(f"{{{numbers[0]}+{step}*{OVER}}}" if numbers[0] else f"{{{step}*{OVER}}}", more=tuple(more))
    if numbers == columns[0].layers:
        return _Holes(f"{{{OVER}}}")
    return _Holes(f"{{{OVER}:{'|'.join(map(str, numbers))}}}")


def _draft(
    match: ColumnMatch,
    sources: Sequence[ClassifiedLeaf],
    targets: Sequence[ClassifiedLeaf],
    ops: tuple[OpText, ...],
    holes: tuple[_Holes, _Holes],
    doubts: Sequence[Doubt],
) -> RuleDraft:
    """Returns the draft from arrays to arrays, with captures in place of numbers."""
    return RuleDraft(
        _patterns(match.sources, sources, holes[0]),
        _patterns(match.targets, targets, holes[1]),
        (*ops, *cast_ops(sources[0].aval, targets[0].aval)),
        frozenset(leaf.path for leaf in sources),
        frozenset(leaf.path for leaf in targets),
        (KNOWN,),
        tuple((sources[0].path, doubt) for doubt in doubts),
        excepts=tuple(
            side for number in holes[0].more for side in _patterns(match.sources, sources, _Holes(str(number)))
        ),
        copy=match.copy,
        follow=any(op.startswith("scale") for op in ops),
    )


def _patterns(columns: Sequence[Column], leaves: Sequence[ClassifiedLeaf], holes: _Holes) -> tuple[Segments, ...]:
    """Returns a pattern for each part; `leaves` has the arrays of the first part, then those of the next one."""
    parts = _parts(columns)
    step = len(leaves) // len(parts)
    return tuple(_with_holes(leaves[at * step].path, part, holes) for at, part in enumerate(parts))


def _with_holes(path: KeyPath, column: Column, holes: _Holes) -> Segments:
    segments = list(text_of(path))
    for at, hole in ((column.layer_at, holes.layer), (column.expert_at, holes.expert)):
        if hole and at:
            stem = split_number(path[at])[0]
            segments[at] = f"{format_segment(stem) if stem else ''}{hole}"
    return tuple(segments)
