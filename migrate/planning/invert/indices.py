"""Reverses index arithmetic: the number that a right-hand side was computed from, as an expression over its results.

The forms are linear: `{i//2}` of the even numbers gives back `2*i`, `{i//6}` beside `{i%6}` gives back `6*i+j`, and
`2*j` gives back `{j//2}` of the even numbers. They are found on sample numbers, and a plan of the inverse file checks
them on the leaves at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from migrate.rules.condition import Condition
from migrate.rules.expression import Expression, PatternError

_SAMPLES = 400
"""The numbers on which forms are checked: more than four periods of the layers of any model."""

_FEW = 20
"""The numbers of each result for which a condition is compared with the others."""


@dataclass(frozen=True, slots=True)
class Reversed:
    """One number in terms of the results of its expressions.

    Attributes:
      filler: the expression that gives it back.
      conditions: the condition on each result, in order; empty text for none.
    """

    filler: str
    conditions: tuple[str, ...]


def samples(name: str, condition: Condition | None) -> list[int]:
    """Returns numbers that satisfy a condition, if it uses no other name."""
    if condition is None or condition.names != (name,):
        return list(range(_SAMPLES))
    return [number for number in range(_SAMPLES) if condition.holds({name: str(number)})]


def reverse_indices(
    name: str, results: Sequence[tuple[str, Expression]], condition: Condition | None, rank: str | None = None
) -> Reversed | None:
    """Returns a number in terms of the results of one or two expressions; None where no linear form gives it back.

    Args:
      name: the name of the number.
      results: the name of each result, with its expression over the number.
      condition: the condition on the number.
      rank: for a number that a `stack` or `concat` counts, the name of its position among those with equal results.
    """
    if rank is None and len(results) == 1 and (line := results[0][1].line) is not None:
        return _of_line(name, results[0][0], line, condition)
    numbers = samples(name, condition)
    rows = [row for number in numbers if (row := _row(name, number, results)) is not None]
    known = {row[0]: row[1:] for row in rows}
    columns = [list(column) for column in zip(*known.values(), strict=True)]
    names = [result for result, _ in results]
    if rank is not None and columns:
        columns.append(_ranks(columns))
        names.append(rank)
    found = _coefficients(columns, list(known)) if 0 < len(columns) <= 2 else None
    if found is None:
        return None
    filler = linear(dict(zip(names, found[:-1], strict=True)), found[-1])
    bounds = _bounds(names, columns)
    return Reversed(filler, bounds if rank else _narrowed(bounds, columns, filler, name, condition))


def linear(slopes: Mapping[str, int], offset: int) -> str:
    """Returns the text of a linear expression."""
    terms = [name if slope == 1 else f"{slope}*{name}" for name, slope in slopes.items() if slope > 0]
    terms += [f"-{name}" if slope == -1 else f"{slope}*{name}" for name, slope in slopes.items() if slope < 0]
    if offset and not any(slope > 0 for slope in slopes.values()):
        terms.insert(0, str(offset))
    elif offset:
        terms.append(str(offset))
    return "+".join(terms).replace("+-", "-")


def pulled_back(condition: Condition | None, name: str, filler: str) -> str:
    """Returns a condition on a number as one on the name in its filler; empty if it holds for all numbers."""
    if condition is None:
        return ""
    text = filler if filler == name else f"({filler})"
    made = condition.renamed(name, text)
    if condition.names == (name,) and all(_holds(made, name, filler, number) for number in range(_SAMPLES)):
        return ""
    return made.source


def _narrowed(
    bounds: tuple[str, ...],
    columns: Sequence[Sequence[int]],
    filler: str,
    name: str,
    condition: Condition | None,
) -> tuple[str, ...]:
    """Returns the conditions on the results, with the one on the number where they do not imply it."""
    if condition is None or condition.names != (name,):
        return bounds
    found = set(zip(*columns, strict=True))
    ranges = [range(max(column) + 1 if bound else _FEW) for column, bound in zip(columns, bounds, strict=True)]
    if all(row in found for row in product(*ranges)):
        return bounds
    back = condition.renamed(name, f"({filler})").source
    return *bounds[:-1], f"{bounds[-1]} and {back}" if bounds[-1] else back


def _holds(condition: Condition, name: str, filler: str, number: int) -> bool:
    """Whether a condition holds for a number; also true if the filler has no value for it."""
    try:
        if filler != name:
            Expression(filler).evaluate({name: str(number)})
    except PatternError:
        return True
    return condition.holds({name: str(number)})


def _of_line(name: str, result: str, line: tuple[int, int], condition: Condition | None) -> Reversed:
    """Returns the reversal of `slope*name+offset`."""
    slope, offset = line
    if abs(slope) == 1:
        filler = linear({result: slope}, -offset * slope)
        given = condition and Condition(condition.source).renamed(name, result) if name != result else condition
        return Reversed(filler, (pulled_back(given, result, filler),))
    if slope < 0:
        filler = f"({offset}-{result})//{-slope}"
        own = f"{result}%{-slope}=={offset % -slope} and {result}<={offset}"
    else:
        filler = f"{result}//{slope}" if 0 <= offset < slope else f"({linear({result: 1}, -offset)})//{slope}"
        own = f"{result}%{slope}=={offset % slope}" + (f" and {result}>={offset}" if offset >= slope else "")
    given = condition and condition.renamed(name, result)
    back = pulled_back(given, result, filler)
    return Reversed(filler, (f"{own} and ({back})" if back else own,))


def _row(name: str, number: int, results: Sequence[tuple[str, Expression]]) -> tuple[int, ...] | None:
    """Returns a number with the results of the expressions; None where one has no value."""
    try:
        return number, *(expression.evaluate({name: str(number)}) for _, expression in results)
    except PatternError:
        return None


def _ranks(columns: Sequence[Sequence[int]]) -> list[int]:
    """Returns the position of each row among those before it with equal values."""
    counts: dict[tuple[int, ...], int] = {}
    found = []
    for row in zip(*columns, strict=True):
        found.append(counts.get(row, 0))
        counts[row] = found[-1] + 1
    return found


def _coefficients(columns: Sequence[Sequence[int]], numbers: Sequence[int]) -> tuple[int, ...] | None:
    """Returns the slope of each column and the offset with which they give the numbers, or None."""
    choices = [list(_slopes(columns, numbers, at)) for at in range(len(columns))]
    for slopes in product(*choices):
        offsets = {
            number - sum(slope * value for slope, value in zip(slopes, row, strict=True))
            for number, row in zip(numbers, zip(*columns, strict=True), strict=True)
        }
        if len(offsets) == 1 and len(numbers) > 1:
            return *slopes, offsets.pop()
    return None


def _slopes(columns: Sequence[Sequence[int]], numbers: Sequence[int], at: int) -> Iterator[int]:
    """Yields the slope of one column, from the first two rows that differ only there."""
    by_rest: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for number, row in zip(numbers, zip(*columns, strict=True), strict=True):
        by_rest.setdefault((*row[:at], *row[at + 1 :]), []).append((row[at], number))
    for pairs in by_rest.values():
        for (a, first), (b, second) in pairwise(sorted(pairs)):
            if a != b and (second - first) % (b - a) == 0:
                yield (second - first) // (b - a)
                return


def _bounds(names: Sequence[str], columns: Sequence[Iterable[int]]) -> tuple[str, ...]:
    """Returns the condition on each result: it takes all numbers, or the first ones."""
    found = []
    for name, column in zip(names, columns, strict=True):
        values = set(column)
        top = max(values) + 1
        found.append(f"{name}<{top}" if len(columns) > 1 and top <= _SAMPLES // 8 and values == set(range(top)) else "")
    return tuple(found)
