"""Statistics of values on the page of a run (`--report`), measured once the result is published."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from migrate.cli import options
from migrate.cli.console import Console
from migrate.engine.streaming.stopping import Stopping
from migrate.places.names import destination_path

if TYPE_CHECKING:
    from migrate.checkpoint import Checkpoint
    from migrate.engine.options import ApplyOptions
    from migrate.planning.model import Plan
    from migrate.report.view import Report


def with_statistics(
    console: Console, plan: Plan, source: Checkpoint, dst: str, chosen: ApplyOptions, planned: Report
) -> Report:
    """Measures the leaves that a run read and wrote; returns the report of its plan with their statistics.

    What cannot be measured is a warning, since the result is complete.
    """
    from migrate.engine.outputs.registry import output_of
    from migrate.engine.preflight import carried_out
    from migrate.engine.verification.run_statistics import measure_run
    from migrate.report.of_statistics import HEAD, statistics_problems, statistics_sentences, value_lines
    from migrate.report.picture_of_plan import plan_picture
    from migrate.report.view import Report

    done = carried_out(plan, source.reader, output_of(dst, plan), chosen)
    with Stopping() as stopped, console.progress() as listener:
        measured = measure_run(
            done,
            source.reader,
            destination_path(dst),
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
