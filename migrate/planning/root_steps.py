"""The steps of a root that a run takes: `--step` selects, `--keep` and `--keep-period` retain as Orbax does.

Retention is that of a `CheckpointManager` that saves the selected steps in rising order: the latest (or best) `keep`,
and those whose numbers are multiples of `keep_period` (`tests/planning/test_root_steps.py` compares them).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from migrate.codes import InvalidUsage, NoSelectedStep, UnknownDirection, UnknownMetric
from migrate.errors import CheckpointError, UsageError, did_you_mean, listed

if TYPE_CHECKING:
    from migrate.formats.root import Root, RootStep

Direction = Literal["min", "max"]

FORMS = "a number, a list such as `100,200`, `latest`, `all`, `every:N` or `best:METRIC`"
"""What `--step` accepts, for messages."""

_SMALLER_IS_BETTER = frozenset({"loss", "error", "perplexity", "ppl", "nll", "mse", "mae", "rmse", "wer", "cer", "fid"})
_LARGER_IS_BETTER = frozenset({"accuracy", "acc", "f1", "auc", "bleu", "precision", "recall", "reward", "score"})
_REVERSED = frozenset({"neg", "negative", "minus", "inverse", "inv"})
_LISTED = 20
_DEEPEST = 20
"""Levels of metrics whose names are listed."""


@dataclass(frozen=True, slots=True)
class StepSelector:
    """A parsed `--step`.

    Attributes:
      text: as it was given.
      kind: what it selects.
      numbers: the numbers of a list.
      period: the N of `every:N`.
      metric: the METRIC of `best:METRIC`.
      direction: `min` or `max`, if it was given or the name of the metric tells.
    """

    text: str
    kind: Literal["all", "latest", "numbers", "every", "best"]
    numbers: tuple[int, ...] = ()
    period: int = 1
    metric: str = ""
    direction: Direction | None = None

    @property
    def is_single(self) -> bool:
        """Whether it names one step: a number, or the latest."""
        return self.kind == "latest" or (self.kind == "numbers" and len(self.numbers) == 1)

    def describe(self) -> str:
        """Returns what it selects, for a title."""
        if self.kind == "best":
            return f"best: the {'smallest' if self.direction == 'min' else 'largest'} `{self.metric}`"
        return f"step {self.text}"


@dataclass(frozen=True, slots=True)
class StepSelection:
    """The steps that a run takes, and those that it leaves out.

    Attributes:
      chosen: the steps to migrate, in rising order.
      dropped: the steps that were selected and that retention drops.
      unselected: the steps that were not selected.
    """

    chosen: tuple[RootStep, ...]
    dropped: tuple[RootStep, ...] = ()
    unselected: tuple[RootStep, ...] = ()


def parse_selector(text: str | int) -> StepSelector:
    """Returns the selector of a `--step`.

    Raises:
      UsageError: it has no such form (`InvalidUsage`), or the direction of a metric is not known (`UnknownDirection`).
    """
    given = str(text).strip()
    word, _, rest = given.partition(":")
    if given in ("all", "latest"):
        return StepSelector(given, "all" if given == "all" else "latest")
    if re.fullmatch(r"-?\d{1,18}(\s*,\s*-?\d{1,18})*", given, re.ASCII):
        numbers = tuple(dict.fromkeys(int(number) for number in given.split(",")))
        return StepSelector(given, "numbers", numbers=numbers)
    if word == "every" and re.fullmatch(r"\d{1,18}", rest, re.ASCII) and int(rest):
        return StepSelector(given, "every", period=int(rest))
    if word == "best" and rest:
        return _best(given, rest)
    raise UsageError(InvalidUsage.at(f"`{given}` is not {FORMS}", help="`--step all` takes every step of a root"))


def _best(text: str, rest: str) -> StepSelector:
    name, _, last = rest.rpartition(":")
    if name and last in ("min", "max"):
        return StepSelector(text, "best", metric=name, direction="min" if last == "min" else "max")
    direction = _direction_of(rest)
    if direction is None:
        message = f"it is not known whether the largest or the smallest `{rest}` is the best"
        raise UsageError(UnknownDirection.at(message, help=f"`--step best:{rest}:max`, or `--step best:{rest}:min`"))
    return StepSelector(text, "best", metric=rest, direction=direction)


def _direction_of(metric: str) -> Direction | None:
    """Returns the direction of a metric whose name ends in a common word, such as `eval/loss`."""
    words = re.findall(r"[a-z]+\d*", metric.rpartition("/")[2].lower())
    if not words or _REVERSED.intersection(words):
        return None
    return "min" if words[-1] in _SMALLER_IS_BETTER else "max" if words[-1] in _LARGER_IS_BETTER else None


def choose_steps(
    root: Root,
    selector: StepSelector,
    keep: int | None = None,
    keep_period: int | None = None,
    *,
    skipped: Collection[int] = (),
) -> StepSelection:
    """Returns the steps that a run takes.

    Args:
      root: the root, with metrics for `best`.
      selector: what is selected.
      keep: how many of the latest selected steps are kept, or of the best (default: all; for `best`, one).
      keep_period: steps whose numbers are multiples of it are kept as well.
      skipped: steps that are left out before anything is counted.

    Raises:
      UsageError: `keep_period` is given without `keep` (`InvalidUsage`).
      CheckpointError: no step is selected (`NoSelectedStep`), a number is not that of a finished step (`UnknownItem`,
        `UnfinishedSave`), or no step has the metric (`UnknownMetric`).
    """
    _check_retention(keep, keep_period, selector)
    selected = [step for step in _selected(root, selector) if step.number not in skipped]
    values = {step.number: _value(step.metrics, selector.metric) for step in selected} if selector.metric else {}
    if selector.kind == "best":
        _refuse_unknown_metric(root, selector, values)
        keep = 1 if keep is None else keep
    ranked = _ranked(selected, values, selector)
    kept = {step.number for step in (ranked if keep is None else ranked[-keep:])}
    kept |= {step.number for step in selected if keep_period and step.number % keep_period == 0}
    if not kept and not skipped:
        raise _none_selected(root, selector)
    numbers = {step.number for step in selected}
    return StepSelection(
        tuple(step for step in selected if step.number in kept),
        tuple(step for step in selected if step.number not in kept),
        tuple(step for step in root.steps if step.number not in numbers and step.number not in skipped),
    )


def _check_retention(keep: int | None, keep_period: int | None, selector: StepSelector) -> None:
    if keep_period is not None and keep is None and selector.kind != "best":
        advice = f"add `--keep N`, or take only those steps: `--step every:{keep_period}`"
        raise UsageError(
            InvalidUsage.at("without `--keep`, every step is kept, so `--keep-period` has no effect", help=advice)
        )
    for name, value in (("--keep", keep), ("--keep-period", keep_period)):
        if value is not None and value < 1:
            raise UsageError(InvalidUsage.at(f"`{name} {value}` is below 1", help=f"give `{name}` at least 1"))


def _selected(root: Root, selector: StepSelector) -> Sequence[RootStep]:
    if selector.kind == "latest":
        return root.steps[-1:]
    if selector.kind == "numbers":
        return [root.step(number) for number in sorted(selector.numbers)]
    return [step for step in root.steps if step.number % selector.period == 0]


def _ranked(
    steps: Sequence[RootStep], values: Mapping[int, float | None], selector: StepSelector
) -> Sequence[RootStep]:
    """Returns the steps in rising order of quality; of equal ones, the later is better, as for `best_step`."""
    if selector.kind != "best":
        return steps
    measured = [(value, step) for step in steps if (value := values[step.number]) is not None]
    rising = sorted(measured, key=lambda pair: pair[0], reverse=selector.direction == "min")
    return [step for _, step in rising]


def _value(metrics: object, name: str) -> float | None:
    """Returns the number of a metric by its path; None where there is none, or where it is not a number."""
    for part in (name,) if isinstance(metrics, Mapping) and name in metrics else name.split("/"):
        metrics = metrics.get(part) if isinstance(metrics, Mapping) else None
    if isinstance(metrics, bool) or not isinstance(metrics, int | float):
        return None
    return None if isinstance(metrics, float) and math.isnan(metrics) else metrics


def _refuse_unknown_metric(root: Root, selector: StepSelector, values: Mapping[int, float | None]) -> None:
    if any(value is not None for value in values.values()):
        return
    names = sorted({name for step in root.steps for name in _names(step.metrics)})
    known = (
        f"the steps have {listed(names, _LISTED)}" if names else "no step has metrics; `--step latest` takes the newest"
    )
    hints = [hint for hint in (did_you_mean(selector.metric, names), known) if hint]
    message = f"no step of `{root.path}` has a number `{selector.metric}` in its metrics"
    raise CheckpointError(UnknownMetric.at(message, help="; ".join(hints)))


def _names(metrics: Any, above: str = "") -> Iterator[str]:
    for name, value in metrics.items() if isinstance(metrics, Mapping) else ():
        if isinstance(value, Mapping) and above.count("/") < _DEEPEST:
            yield from _names(value, f"{above}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{above}{name}"


def _none_selected(root: Root, selector: StepSelector) -> CheckpointError:
    numbers = [str(number) for number in root.numbers]
    shown = ", ".join(numbers[:_LISTED]) + (f" and {len(numbers) - _LISTED} more" if len(numbers) > _LISTED else "")
    message = f"`--step {selector.text}` matches no step of `{root.path}`, which has {shown}"
    return CheckpointError(NoSelectedStep.at(message, help="`--step all` takes every step"))
