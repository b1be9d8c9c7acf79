"""Knows where MaxText stores other numbers than other libraries: ops beside the order of axes, with their doubts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from string import Formatter

from migrate.knowledge.meanings import CONVENTIONS, GEMMA_NORM, INTERLEAVED, MAXTEXT, Convention
from migrate.planning.suggest.axes import groups
from migrate.planning.suggest.columns import Column
from migrate.planning.suggest.known import ColumnMatch
from migrate.planning.suggest.known_ops import AxisConversion
from migrate.planning.suggest.values import Alternative, Doubt, OpText, Shape

Sized = list[tuple[Column, Shape]]
Ops = Callable[[tuple[OpText, ...], tuple[OpText, ...]], tuple[OpText, ...]]
"""Returns all ops of a draft, from those on axes and those on numbers."""


class MaxText:
    """What MaxText stores otherwise, for a source and a target of which one is MaxText's."""

    def __init__(self, mine: Sequence[Column], theirs: Sequence[Column]) -> None:
        sides = [any(name in MAXTEXT for column in side for name in column.names) for side in (mine, theirs)]
        self._there = sides == [False, True]
        self._back = sides == [True, False]
        columns = theirs if self._there else mine if self._back else ()
        self._names = {name for column in columns for name in column.names}
        self._meanings = {column.named.meaning for column in columns}

    def unpadded(self, left: Sized, right: Sized) -> tuple[Sized, Sized]:
        """Returns the sides with the shapes that they have once a vocabulary is padded."""
        (column, shape), (_, wanted) = left[0], right[0]
        rows = _vocabulary(right[0][0], wanted)
        if self._there and rows and _is_padded(column, shape, rows):
            return [(column, (rows, *shape[1:]))], right
        return left, right

    def ops(self, match: ColumnMatch, sizes: dict[str, int]) -> tuple[OpText, ...]:
        """Returns the ops on numbers."""
        return (*(text for _, text in self._applied(match, sizes) if text), *self._padding(match))

    def doubts(self, match: ColumnMatch, found: AxisConversion, ops: Ops, extra: tuple[OpText, ...]) -> Iterator[Doubt]:
        """Yields the doubts about the numbers, which neither names nor shapes show."""
        for convention, text in self._applied(match, found.sizes):
            rest = tuple(op for op in extra if op != text)
            way = Alternative("the numbers unchanged", ops(found.ops, rest))
            yield Doubt(convention.why, alternatives=(way,) if text else ())
        if self._padding(match):
            yield Doubt("MaxText pads the vocabulary")
        other = self._interleaved(match, found)
        if other:
            why = "neither names nor shapes show MaxText's `rope_type`"
            yield Doubt(why, alternatives=(Alternative("for `rope_type: llama3.1`", ops(other, extra)),))

    def _applied(self, match: ColumnMatch, sizes: dict[str, int]) -> Iterator[tuple[Convention, OpText]]:
        for convention in CONVENTIONS if self._there or self._back else ():
            beside = not convention.beside or any(name.startswith(convention.beside) for name in self._names)
            named = match.targets[0].named.meaning in convention.meanings
            apart = not convention.without or convention.without not in self._meanings
            if named and beside and apart:
                text = convention.there if self._there else convention.back
                yield convention, text.format_map(sizes) if _names_in(text) <= sizes.keys() else ""

    def _padding(self, match: ColumnMatch) -> tuple[OpText, ...]:
        source, target = match.sources[0], match.targets[0]
        rows = _vocabulary(target, target.shape) if self._there and len(target.shape) == 2 else 0
        if not rows or len(source.shape) != 2 or not _is_padded(source, source.shape, rows):
            return ()
        missing = f"[0, {rows - source.shape[0]}]"
        turned = target.named.meaning == "head"
        return (f"pad: {{widths: [{f'[0, 0], {missing}' if turned else f'{missing}, [0, 0]'}]}}",)

    def _interleaved(self, match: ColumnMatch, found: AxisConversion) -> tuple[OpText, ...]:
        target = match.targets[0]
        plain_rope = {"query norm", "key norm"} & self._meanings or any(n.startswith(GEMMA_NORM) for n in self._names)
        if not (self._there or self._back) or plain_rope or target.array != "weight":
            return ()
        if target.named.meaning not in INTERLEAVED:
            return ()
        sides = ("two half", "half two") if self._there else ("half two", "two half")
        left, right = (_divided(axes, text) for axes, text in zip((found.source, found.target), sides, strict=True))
        return (f'rearrange: {{pattern: "{left} -> {right}", sizes: {{two: 2}}}}',)


def _names_in(text: str) -> set[str]:
    """Returns the names of the fields of a format."""
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def _divided(axes: str, halves: str) -> str:
    """Returns axes with that of a head divided into two."""
    parts = [" ".join(halves if name == "h" else name for name in group) for group in groups(axes)]
    return " ".join(f"({part})" if " " in part else part for part in parts)


def _vocabulary(column: Column, shape: Shape) -> int:
    """Returns the size of the vocabulary in an embedding or head; 0 for other arrays."""
    if column.array != "weight" or len(shape) != 2 or column.named.meaning not in ("embedding", "head"):
        return 0
    return shape[0] if column.named.meaning == "embedding" else shape[1]


def _is_padded(column: Column, shape: Shape, rows: int) -> bool:
    """Whether an array of [vocabulary, width] has fewer rows."""
    return len(shape) == 2 and shape[0] < rows and (column.torch or column.named.meaning == "embedding")
