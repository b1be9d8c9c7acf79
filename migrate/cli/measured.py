"""Statistics of values on the page of a run (`--report`), measured once the result is published."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from migrate.cli import options
from migrate.cli.console import Console
from migrate.engine.streaming.stopping import Stopping

if TYPE_CHECKING:
    from migrate.checkpoint import Checkpoint
    from migrate.engine.options import ApplyOptions
    from migrate.engine.receipt import Receipt
    from migrate.planning.model import Plan
    from migrate.report.view import Report


def with_statistics(
    planned: Report, receipt: Receipt, console: Console, plan: Plan, source: Checkpoint, chosen: ApplyOptions
) -> Report:
    """Measures the leaves that a run read and wrote, where a page is asked for; returns the report with statistics.

    A failure is a warning, since the result is complete.

    Args:
      planned: the report of the plan.
      receipt: of the run.
      console: the output of the command.
      plan: the plan.
      source: its source.
      chosen: the options of the run.
    """
    if console.report_file is None or receipt.already_done:
        return planned
    from migrate.engine.outputs.registry import output_of
    from migrate.engine.preflight import carried_out
    from migrate.engine.verification.run_statistics import measure_run
    from migrate.report.of_statistics import HEAD, statistics_problems, statistics_sentences, value_lines
    from migrate.report.picture_of_plan import plan_picture
    from migrate.report.view import Report

    dst = str(receipt.destination)
    done = carried_out(plan, source.reader, output_of(receipt.destination, plan), chosen)
    with Stopping() as stopped, console.progress() as listener:
        measured = measure_run(
            done,
            source.reader,
            receipt.destination,
            decodes_links=chosen.verify in ("decode", "full"),
            max_ram=chosen.max_ram,
            jobs=chosen.workers,
            listener=listener,
            stopped=stopped,
        )
    problems = tuple(statistics_problems(measured))
    if problems:
        console.text(Report("apply", summary=problems))
    return replace(
        planned,
        summary=(*planned.summary, *statistics_sentences(measured, dst), *problems),
        picture=lambda: plan_picture(plan, dst, options.text_of, measured),
        values=lambda: (HEAD, *value_lines(plan, measured)),
    )
