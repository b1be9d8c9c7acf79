"""The steps of a root as a report: what becomes of each one, before the reports of the steps themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from migrate.errors import Diagnostic
from migrate.report.amounts import plural
from migrate.report.view import Report, Row, findings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.formats.root import Root
    from migrate.planning.root_steps import StepSelection, StepSelector


class StepsOfRoot(Protocol):
    """What the report needs of `migrate.api.roots.ChosenSteps`."""

    @property
    def root(self) -> Root: ...

    @property
    def selector(self) -> StepSelector: ...

    @property
    def selection(self) -> StepSelection: ...

    @property
    def damaged(self) -> Mapping[int, tuple[Diagnostic, ...]]: ...

    @property
    def keep(self) -> int | None: ...

    @property
    def keep_period(self) -> int | None: ...

    def surplus(self, destination: str) -> list[Diagnostic]: ...


def root_report(chosen: StepsOfRoot, src: str, dst: str, checked: Sequence[Report], *, dry_run: bool) -> Report:
    """Returns the report of a root.

    Args:
      chosen: the steps.
      src: the old root as the user wrote it.
      dst: the new root as the user wrote it.
      checked: the reports of the steps that were chosen, from a dry run of each.
      dry_run: whether nothing will be written.
    """
    rows = list(_rows(chosen, dst, checked))
    count = len(chosen.selection.chosen)
    refused = sum(not report.ok for report in checked)
    summary = [f"{plural(count, 'step')} of {len(chosen.root.steps)} chosen."]
    if refused:
        summary.append(f"{plural(refused, 'step')} cannot be migrated. Nothing was written.")
    elif dry_run:
        summary.append("Nothing was written.")
    skipped = [problem for problems in chosen.damaged.values() for problem in problems]
    notes = [*_as_warnings(skipped), *chosen.surplus(dst)]
    return Report(
        "apply",
        title=f"{src} → {dst} ({_describe(chosen)})",
        rows=tuple(row for row, _ in rows),
        summary=tuple(summary),
        findings=findings(dict.fromkeys(notes)),
        data={"root": [data for _, data in rows]},
    )


def _describe(chosen: StepsOfRoot) -> str:
    """Returns the choice: `step all, keep 3 and multiples of 1,000`."""
    text = chosen.selector.describe()
    if chosen.keep is not None:
        text += f", keep {chosen.keep}"
    return text if chosen.keep_period is None else f"{text} and multiples of {chosen.keep_period:,}"


def _as_warnings(problems: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    for problem in problems:
        yield replace(problem, severity="warning")


def _rows(chosen: StepsOfRoot, dst: str, checked: Sequence[Report]) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Yields a line and its values for every step of the root, in rising order."""
    selection = chosen.selection
    fates = {step.number: ("-", "dropped", "not kept") for step in selection.dropped}
    fates |= {step.number: ("-", "left out", "not selected") for step in selection.unselected}
    fates |= dict.fromkeys(chosen.damaged, ("-", "skipped", "damaged"))
    for step, report in zip(selection.chosen, checked, strict=True):
        fates[step.number] = _fate(report, blocked=any(not one.ok for one in checked))
    places = {step.number: os.path.join(dst, step.name) for step in selection.chosen}
    for number in sorted(fates):
        symbol, verb, detail = fates[number]
        values = {"step": number, "action": verb, "destination": places.get(number)}
        yield Row(symbol, verb, str(number), places.get(number, ""), detail), values
    for name in chosen.root.unfinished:
        yield Row("-", "skipped", name, "", "unfinished"), {"step": None, "action": "unfinished", "name": name}


def _fate(report: Report, *, blocked: bool) -> tuple[str, str, str]:
    if not report.ok:
        return "-", "refused", ""
    if report.data.get("already_done"):
        return "=", "done", ""
    return (">", "write", "") if not blocked else ("-", "held back", "")
