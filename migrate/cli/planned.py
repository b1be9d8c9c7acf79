"""A plan before it runs: as DST takes it, checked by a dry run, and saved as a plan file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from migrate.cli import options, rule_output
from migrate.errors import MigrateError
from migrate.places.names import destination_path

if TYPE_CHECKING:
    from migrate.checkpoint import Checkpoint
    from migrate.engine.options import ApplyOptions
    from migrate.engine.sharing.workers import Workers
    from migrate.planning.model import Plan
    from migrate.report.view import Report


def fitted_plan(made: Plan, dst: str, *, mesh: bool, compression: str | None) -> Plan:
    """Returns the plan that a run for a DST carries out.

    Args:
      made: the plan for any DST.
      dst: DST.
      mesh: whether the command names a mesh.
      compression: the compression of every array; None for each array's own.
    """
    from migrate.engine.outputs.registry import fitted
    from migrate.planning.relink import streamed_tasks

    plan = fitted(made, dst, mesh=mesh or made.has_mesh)
    return plan if compression is None else replace(plan, tasks=streamed_tasks(plan.tasks))


def checked(
    plan: Plan, source: Checkpoint, dst: str, chosen: ApplyOptions, planned: Report, workers: Workers
) -> Report:
    """Returns the report of a dry run with everything for which `apply` would refuse the plan before it writes."""
    from migrate.engine import preflight
    from migrate.report.of_receipt import done_before
    from migrate.report.view import findings

    try:
        job = preflight.check(plan, source.reader, destination_path(dst), chosen)
        done = job.done
        if done is None:
            workers.check(job, source.reader)
    except MigrateError as error:
        found = (*planned.findings, *findings(error.diagnostics, options.text_of))
        refused = "`apply` would refuse this plan. Nothing was written."
        return replace(planned, exit_code=error.exit_code, findings=found, summary=(*planned.summary[:-1], refused))
    if done is None:
        return planned
    sentence = done_before(dst, done.history[-1].date)
    return replace(planned, summary=(*planned.summary[:-1], sentence), data={**planned.data, "already_done": True})


def saved(plan: Plan, planned: Report, output: str) -> Report:
    """Writes the plan file of a dry run; returns the report with what a reviewer needs to know about it."""
    from migrate.planning.plan_file.write import plan_text
    from migrate.report.of_plan_file import plan_file_sentences

    rule_output.write(output, plan_text(plan))
    return replace(planned, summary=(*planned.summary, *plan_file_sentences(plan, output)))
