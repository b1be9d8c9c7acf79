"""Statistics of values as a page has them: compact rows for its script, lines of a table, and sentences."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from migrate.report.amounts import plural
from migrate.tree import KeyPath, format_path

if TYPE_CHECKING:
    from migrate.engine.verification.run_statistics import RunStatistics
    from migrate.engine.verification.value_statistics import Number, ValueStatistics
    from migrate.planning.model import Plan, Task

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""The heights of bars; the tallest is `z`."""

_TRILLIONTH = 1e-12

HEAD = ("leaves", "side", "values", "min", "max", "mean", "std", "zeros", "NaN", "−∞", "+∞")
"""The head of the table of values."""


def joined_statistics(task: Task, measured: RunStatistics) -> tuple[ValueStatistics | None, ValueStatistics | None]:
    """Returns the statistics of all sources of a task, and of all its arrays; None where not all were measured.

    Tied targets are one array.
    """
    arrays = dict(zip(reversed(task.outputs), reversed(task.targets), strict=True))
    return _joined(task.sources, measured.before), _joined(arrays.values(), measured.after)


def _joined(paths: Iterable[KeyPath], known: Mapping[KeyPath, ValueStatistics]) -> ValueStatistics | None:
    found = [known.get(path) for path in paths]
    every = [one for one in found if one is not None]
    if not every or len(every) < len(found):
        return None
    return sum(every[1:], every[0])


def compact_statistics(one: ValueStatistics) -> list[Any]:
    """Returns statistics in JSON types, as the script of the page reads them.

    They are the numbers of values, zeros, NaN, -inf and +inf; min, max, mean and standard deviation as text or None;
    the ends of the histogram, and the heights of its bars as digits of base 36.
    """
    return [
        one.elements,
        one.zeros,
        one.nan,
        one.negative_infinities,
        one.positive_infinities,
        *_moments(one),
        *_histogram(one),
    ]


def _moments(one: ValueStatistics) -> tuple[str, str, str, str] | tuple[None, None, None, None]:
    """The text of min, max, mean and standard deviation.

    The mean is rounded to a trillionth of the largest value: digits below depend on the order of a sum.
    """
    if one.low is None or one.high is None or one.mean is None or one.std is None:
        return None, None, None, None
    least = _TRILLIONTH * max(abs(float(one.low)), abs(float(one.high)))
    mean = round(one.mean / least) * least if least else one.mean
    return number_text(one.low), number_text(one.high), number_text(mean), number_text(one.std)


def number_text(value: Number) -> str:
    """Returns an integer with all digits, a float with six."""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _histogram(one: ValueStatistics) -> list[Any]:
    if one.histogram is None or one.low is None:
        return []
    if one.low == one.high:
        return [float(one.low), float(one.low), _DIGITS[-1]]
    counts, tallest = one.histogram.counts, max(one.histogram.counts)
    heights = (max(round(count * (len(_DIGITS) - 1) / tallest), min(count, 1)) for count in counts)
    return [*map(_within_float, one.histogram.edges), "".join(_DIGITS[height] for height in heights)]


def _within_float(edge: Fraction) -> float:
    """Returns an edge; that of the last bin may be beyond the largest float."""
    largest = sys.float_info.max
    return float(max(min(edge, Fraction(largest)), -Fraction(largest)))


def value_lines(plan: Plan, measured: RunStatistics) -> Iterator[tuple[str, ...]]:
    """Yields a line for each side of each task that was measured, and for each created leaf; see `HEAD`."""
    for task in plan.tasks:
        for side, paths, one in zip(
            ("before", "after"), (task.sources, task.targets), joined_statistics(task, measured), strict=True
        ):
            if one is not None:
                yield ", ".join(map(format_path, paths)), side, *_cells(one)
    for creation in plan.created:
        if (one := measured.after.get(creation.target)) is not None:
            yield format_path(creation.target), "after", *_cells(one)


def _cells(one: ValueStatistics) -> tuple[str, ...]:
    elements, *counts = compact_statistics(one)[:5]
    return f"{elements:,}", *(text or "" for text in _moments(one)), *(f"{count:,}" for count in counts)


def statistics_sentences(measured: RunStatistics, destination: str) -> Iterator[str]:
    """Yields the numbers of measured leaves, and of those in the result that are not finite."""
    before, after = (plural(len(side), "leaf") for side in (measured.before, measured.after))
    yield f"Measured the values of {before} before and {after} after the run."
    found = [path for path, one in measured.after.items() if one.finite < one.elements]
    if found:
        first = f"`{format_path(found[0])}`"
        has, which = ("has", first) if len(found) == 1 else ("have", f"the first is {first}")
        yield f"{plural(len(found), 'leaf')} of {destination} {has} NaN or infinite values: {which}."


def statistics_problems(measured: RunStatistics) -> Iterator[str]:
    """Yields warnings about leaves that were not measured."""
    if measured.failures:
        more = f" ({len(measured.failures) - 1:,} more)" if len(measured.failures) > 1 else ""
        yield f"Warning: values were not measured: {measured.failures[0]}{more}. The result is complete."
    if measured.stopped:
        yield "Warning: the measurement was stopped, so that values of some leaves are missing. The result is complete."
