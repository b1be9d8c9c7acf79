"""Many key paths on few lines, where every line stands for exactly the paths that exist.

`merge_integers` writes integers as `{a..b}` where lines are otherwise equal, only if every combination that the merged
line stands for exists. `merge_siblings` puts names under one parent into braces, `{kernel,bias}`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise, product
from typing import Any

from migrate.tree import KeyPath, format_segment, join_segments

Column = tuple[str, ...]

_DIGITS = re.compile(r"\d+")
_HOLE = "\0"
_WIDEST = 56
"""The most characters in braces; longer ones are harder to read than separate lines."""


@dataclass(frozen=True, slots=True)
class Line:
    """The content of one printed line.

    Attributes:
      columns: key paths (a source, or a source and a target) as printed segments.
      key: values that must be equal for two lines to be merged, such as ops and rule; shapes and dtypes come last.
      members: the values that the line stands for, in order.
    """

    columns: tuple[Column, ...]
    key: tuple[Hashable, ...]
    members: tuple[Any, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns as text."""
        return tuple(map(join_segments, self.columns))


def segments(path: KeyPath) -> Column:
    """Returns the segments of a key path as `format_path` writes them."""
    return tuple(map(format_segment, path))


def collapse_paths(paths: Iterable[KeyPath]) -> tuple[str, ...]:
    """Returns key paths of one kind in merged form."""
    lines = [Line((segments(path),), (), (path,)) for path in paths]
    return tuple(line.texts[0] for line in merge_siblings(merge_integers(lines)))


def column(paths: Sequence[KeyPath]) -> Column:
    """Returns one key path, or the several of one side of a task, as a single column."""
    if len(paths) == 1:
        return segments(paths[0])
    texts = collapse_paths(paths)
    alone = len(texts) == 1 and "{" not in texts[0].rpartition("/")[0]
    return tuple(texts[0].split("/")) if alone else (", ".join(texts),)


def merge_integers(lines: Iterable[Line]) -> list[Line]:
    """Merges lines that differ only in integers: one line for each full range."""
    families: dict[Hashable, dict[tuple[str, ...], Line]] = {}
    skeleton = cache(partial(_DIGITS.sub, _HOLE))  # of a segment: lines have few different ones
    for line in lines:
        holes = tuple(_DIGITS.findall("\1".join(["/".join(column) for column in line.columns])))
        skeletons = tuple([tuple(map(skeleton, column)) for column in line.columns])
        family = families.setdefault((line.key, skeletons), {})
        known = family.get(holes)
        family[holes] = line if known is None else replace(known, members=known.members + line.members)
    return [merged for family in families.values() for merged in _merged(family)]


def _merged(family: Mapping[tuple[str, ...], Line]) -> list[Line]:
    """Returns one family (lines equal except for integers) as the fewest full ranges that a simple search finds."""
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
    """Returns the column of each integer."""
    return tuple(i for i, column in enumerate(line.columns) for _ in _DIGITS.findall("/".join(column)))


def _leaders(rows: Sequence[tuple[str, ...]], owners: Sequence[int]) -> list[int]:
    """Returns for each integer the index of one in an earlier column that determines it, or its own index."""
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
    """Splits points into Cartesian products: first coordinates with equal sets of remainders share one product."""
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
    """Returns the values of every integer if each column is one full product and all run in the same order."""
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
    """Returns one line for the chosen rows, which are a full product."""
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


def merge_siblings(lines: Iterable[Line], *, nested: bool = True) -> list[Line]:
    """Merges lines with equal keys under one parent into one with braces, from the deepest level up.

    Braces that would be too long are not written. If `nested` is false, only names of leaves go into braces.
    """
    merged = list(lines)
    for depth in range(max((len(line.columns[0]) for line in merged), default=1) - 1, 0, -1):
        groups: dict[Hashable, list[Line]] = {}
        for index, line in enumerate(merged):
            groups.setdefault(_parent(line, depth, nested=nested) or index, []).append(line)
        merged = [line for group in groups.values() for line in _braced(group, depth)]
    return merged


def _parent(line: Line, depth: int, *, nested: bool) -> Hashable:
    """Returns what siblings share at this depth: key and parents; None if the columns end differently below it."""
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
    """Returns how many names the integers of a printed segment stand for: 12 for `block_{0..11}`, 1 for `kernel`."""
    count = 1
    for found in re.finditer(r"(?<!\\)\{(\d+)\.\.(\d+)\}|(?<!\\)\{(\d+(?:,\d+)+)\}", segment):
        first, last, listed = found.groups()
        count *= len(listed.split(",")) if listed else abs(int(last) - int(first)) + 1
    return count


def any_shape(lines: Iterable[Line]) -> list[Line]:
    """Merges siblings regardless of shape, the last part of their keys; the same happens to all of them."""
    return merge_siblings(Line(line.columns, line.key[:-1], line.members) for line in lines)
