"""Many key paths in few lines, without ever saying more than is true.

Two folds. `fold_integers` turns integers into `{a..b}` where lines are otherwise equal: every combination that the
drawn line stands for is really there. `fold_siblings` puts names under one parent into braces, `{kernel,bias}`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any

from migrate.tree import KeyPath, format_path

Column = tuple[str, ...]

_DIGITS = re.compile(r"\d+")
_HOLE = "\0"
_WIDEST = 56
"""Braces longer than this are harder to read than two lines."""


@dataclass(frozen=True, slots=True)
class Line:
    """What is drawn on one line.

    Attributes:
      columns: key paths (a source, or a source and a target), segment by segment as they are drawn.
      key: what must be equal for two lines to become one, such as ops and rule; shapes and dtypes come last.
      members: what the line stands for, in order.
    """

    columns: tuple[Column, ...]
    key: tuple[Hashable, ...]
    members: tuple[Any, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns as text."""
        return tuple("/".join(column) or "." for column in self.columns)


def segments(path: KeyPath) -> Column:
    """The segments of a key path as `format_path` writes them."""
    return tuple(format_path((segment,)) for segment in path)


def collapse_paths(paths: Iterable[KeyPath]) -> tuple[str, ...]:
    """Key paths of one kind, in as few words as possible."""
    lines = [Line((segments(path),), (), (path,)) for path in paths]
    return tuple(line.texts[0] for line in fold_siblings(fold_integers(lines)))


def column(paths: Sequence[KeyPath]) -> Column:
    """One key path, or several that are one side of a task, as they stand on one line."""
    if len(paths) == 1:
        return segments(paths[0])
    texts = collapse_paths(paths)
    alone = len(texts) == 1 and "{" not in texts[0].rpartition("/")[0]
    return tuple(texts[0].split("/")) if alone else (", ".join(texts),)


def fold_integers(lines: Iterable[Line]) -> list[Line]:
    """Lines that differ in nothing but integers become one for every full range of them."""
    families: dict[Hashable, dict[tuple[str, ...], Line]] = {}
    for line in lines:
        holes = tuple(_DIGITS.findall("\1".join("/".join(column) for column in line.columns)))
        family = families.setdefault((line.key, _skeleton(line)), {})
        known = family.get(holes)
        family[holes] = line if known is None else replace(known, members=known.members + line.members)
    return [folded for family in families.values() for folded in _fold(family)]


def _skeleton(line: Line) -> tuple[Column, ...]:
    return tuple(tuple(_DIGITS.sub(_HOLE, segment) for segment in column) for column in line.columns)


def _fold(family: Mapping[tuple[str, ...], Line]) -> list[Line]:
    """One family (equal but for its integers) as the fewest full ranges that a simple search finds."""
    if len(family) == 1:
        return list(family.values())
    first = next(iter(family.values()))
    owners = _owners(first)
    rows = sorted(family, key=lambda holes: tuple(map(int, holes)))
    leaders = _leaders(rows, owners)
    free = sorted(set(leaders))
    by_point = {tuple(row[hole] for hole in free): row for row in rows}
    products = _products(list(by_point))
    whole = _in_step(rows, owners) if len(products) > 1 else None
    if whole is not None:
        return [_filled(first, whole, [family[row] for row in rows])]
    return [_line(first, [by_point[p] for p in product(*values)], leaders, family) for values in products]


def _owners(line: Line) -> tuple[int, ...]:
    """For each integer, the column that it stands in."""
    return tuple(i for i, column in enumerate(line.columns) for _ in _DIGITS.findall("/".join(column)))


def _leaders(rows: Sequence[tuple[str, ...]], owners: Sequence[int]) -> list[int]:
    """For each integer, the one in an earlier column that it goes in step with, or itself."""
    leaders: list[int] = []
    for hole, owner in enumerate(owners):
        taken = {leaders[other] for other in range(hole) if owners[other] == owner}
        candidates = (
            other
            for other in range(hole)
            if owners[other] != owner and leaders[other] == other and other not in taken and _paired(rows, other, hole)
        )
        leaders.append(next(candidates, hole))
    return leaders


def _paired(rows: Sequence[tuple[str, ...]], one: int, other: int) -> bool:
    pairs = {(row[one], row[other]) for row in rows}
    return len(pairs) > 1 and len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)


def _products(points: Sequence[tuple[str, ...]]) -> list[tuple[tuple[str, ...], ...]]:
    """Points as Cartesian products: values of the first coordinate that allow the same rest share one product."""
    if not points[0]:
        return [()]
    tails: dict[str, list[tuple[str, ...]]] = {}
    for point in points:
        tails.setdefault(point[0], []).append(point[1:])
    shared: dict[frozenset[tuple[str, ...]], list[str]] = {}
    for value, rest in tails.items():
        shared.setdefault(frozenset(rest), []).append(value)
    return [(tuple(values), *rest) for values in shared.values() for rest in _products(tails[values[0]])]


def _in_step(rows: Sequence[tuple[str, ...]], owners: Sequence[int]) -> list[tuple[str, ...]] | None:
    """Values of every integer when each column is one full product and both run through theirs in the same order."""
    values: list[tuple[str, ...]] = []
    for owner in sorted(set(owners)):
        points = [tuple(v for v, o in zip(row, owners, strict=True) if o == owner) for row in rows]
        numbers = [tuple(map(int, point)) for point in points]
        products = _products(points)
        if len(set(points)) != len(points) or numbers != sorted(numbers) or len(products) > 1:
            return None
        values += products[0]
    return values


def _line(
    first: Line,
    chosen: Sequence[tuple[str, ...]],
    leaders: Sequence[int],
    family: Mapping[tuple[str, ...], Line],
) -> Line:
    """One line for the chosen rows, which are a full product."""
    values = [tuple({row[leader]: row[hole] for row in chosen}.values()) for hole, leader in enumerate(leaders)]
    return _filled(first, values, [family[row] for row in chosen])


def _filled(first: Line, values: Sequence[Sequence[str]], lines: Sequence[Line]) -> Line:
    fillers = iter(_range(sequence) for sequence in values)
    columns = tuple(
        tuple(_DIGITS.sub(lambda _: next(fillers), segment) for segment in column) for column in first.columns
    )
    return Line(columns, first.key, tuple(member for line in lines for member in line.members))


def _range(values: Sequence[str]) -> str:
    if len(values) == 1:
        return values[0]
    numbers = [int(value) for value in values]
    steps = {after - before for before, after in pairwise(numbers)}
    plain = all(str(number) == value for number, value in zip(numbers, values, strict=True))
    regular = steps in ({1}, {-1}) and (plain or len({len(value) for value in values}) == 1)
    return f"{{{values[0]}..{values[-1]}}}" if regular else f"{{{','.join(values)}}}"


def fold_siblings(lines: Iterable[Line], *, nested: bool = True) -> list[Line]:
    """Lines with equal keys under one parent become one with braces, from the deepest up, while that is readable.

    Without `nested`, only names of leaves go into braces.
    """
    folded = list(lines)
    for depth in range(max((len(line.columns[0]) for line in folded), default=1) - 1, 0, -1):
        groups: dict[Hashable, list[Line]] = {}
        for index, line in enumerate(folded):
            groups.setdefault(_parent(line, depth, nested=nested) or index, []).append(line)
        folded = [line for group in groups.values() for line in _braced(group, depth)]
    return folded


def _parent(line: Line, depth: int, *, nested: bool) -> Hashable:
    """What siblings share at this depth: key and parents, where the rest is the same in every column; else None."""
    rest = len(line.columns[0]) - depth
    if (
        rest < 1
        or (rest > 1 and not nested)
        or any(len(c) <= rest or c[-rest:] != line.columns[0][depth:] for c in line.columns)
    ):
        return None
    return (line.key, tuple(column[:-rest] for column in line.columns))


def _braced(group: Sequence[Line], depth: int) -> Sequence[Line]:
    inner = "{" + ",".join("/".join(line.columns[0][depth:]) for line in group) + "}"
    if len(group) == 1 or len(inner) > _WIDEST:
        return group
    rest = len(group[0].columns[0]) - depth
    columns = tuple((*column[:-rest], inner) for column in group[0].columns)
    return [Line(columns, group[0].key, tuple(member for line in group for member in line.members))]


def times(segment: str) -> int:
    """How many names a drawn segment stands for by its integers: 12 for `block_{0..11}`, 1 for `kernel`."""
    count = 1
    for found in re.finditer(r"(?<!\\)\{(\d+)\.\.(\d+)\}|(?<!\\)\{(\d+(?:,\d+)+)\}", segment):
        first, last, listed = found.groups()
        count *= len(listed.split(",")) if listed else abs(int(last) - int(first)) + 1
    return count
