"""`migrate apply`: shows the plan and runs it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from migrate.cli import options, rule_output
from migrate.cli.arguments import require_order
from migrate.cli.console import Console, exit_with
from migrate.cli.plan_origin import PlanOrigin, Request, plan_origin
from migrate.codes import AmbiguousItem, InvalidUsage
from migrate.engine.options import ApplyOptions, VerifyMode
from migrate.engine.stopping import Stopping
from migrate.errors import CheckpointError, ExitCode, MigrateError, UsageError

if TYPE_CHECKING:
    from migrate.checkpoint import Checkpoint
    from migrate.planning.model import Plan
    from migrate.report.view import Report


@click.command(
    "apply",
    short_help="Show the plan, run it and verify the result.",
    epilog=options.BUNDLED,
    context_settings=options.SETTINGS,
)
@click.argument("rules")
@click.argument("src")
@click.argument("dst")
@click.option("-n", "--dry-run", is_flag=True, help="Show the plan and stop; exit with 1 if it cannot be applied.")
@rule_output.dry_run_output
@options.template
@click.option(
    "--step",
    type=options.StepType(every=True),
    metavar="N|latest|all",
    help=f"{options.STEP_HELP}; `all` writes DST/N for each step N.",
)
@options.item
@options.follow_links
@options.mesh
@options.partition
@click.option(
    "--verify",
    type=click.Choice(["full", "decode", "digest", "none"]),
    default="digest",
    help="What to verify before DST is published (default: digest). `digest` reads written leaves back and compares "
    "their digests; linked chunks are compared by index entry or bytes, not decoded. `decode` also decodes every "
    "linked chunk once, so that a damaged chunk of SRC is refused. `full` compares every leaf, restored through "
    "plain Orbax, with the result of the rules.",
)
@options.probe
@options.tolerance
@options.rtol
@options.require_proof
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace DST, if it is one checkpoint of the kind that is written, once the new one is complete.",
)
@options.allow_code
@click.option(
    "--link",
    type=click.Choice(["auto", "never"]),
    default="auto",
    help="`auto` links arrays that do not change, `never` copies them (default: auto).",
)
@click.option(
    "--compact", is_flag=True, help="Share no files with SRC, so that DST has no unused bytes; implies --link never."
)
@options.max_ram
@options.jobs
@click.option(
    "--compression",
    type=options.CompressionType(),
    metavar="zstd:N|none",
    help="Compression of every array (default: that of SRC).",
)
@options.output
def command(
    console: Console,
    rules: str,
    src: str,
    dst: str,
    dry_run: bool,
    output: str | None,
    template: str | None,
    step: int | str | None,
    item: str | None,
    follow_links: bool,
    mesh: str | None,
    partition: str | None,
    link: Literal["auto", "never"],
    compact: bool,
    verify: VerifyMode,
    probe: str | None,
    tolerance: float | None,
    rtol: float | None,
    require_proof: bool,
    overwrite: bool,
    allow_code: bool,
    max_ram: int,
    jobs: int | None,
    compression: str | None,
) -> None:
    """Apply RULES to the checkpoint SRC and write the result to DST.

    RULES may also be a plan file of `migrate plan`, whose plan is carried out exactly, or not at all.

    DST becomes an Orbax checkpoint, or a single file if its name ends in .safetensors or .msgpack (Flax's format).

    The plan is shown first: `relink` marks arrays whose chunks are linked unread, `stream` those that are read and
    written. DST appears all at once, complete and verified, or not at all; SRC is only read. After Ctrl-C or a kill,
    the same command resumes. A DST that is the finished result of the same plan already is left as it is.
    """
    from migrate.engine.outputs.registry import is_single_file

    require_order(rules, src, dst)
    linked: Literal["auto", "never"] = "never" if compact or compression is not None else link
    chosen = ApplyOptions(
        overwrite=overwrite,
        verify=verify,
        allow_code=allow_code,
        max_ram=max_ram,
        jobs=jobs,
        compression=compression,
        probe=probe,
        tolerance=tolerance,
        rtol=rtol,
        require_proof=require_proof,
    )
    _refuse_output(output, dry_run=dry_run, every=step == "all", overwrite=overwrite)
    request = Request(template, item, follow_links, mesh, partition, dry_run, output, step == "all", linked, chosen)
    origin = plan_origin(rules, request)
    if step == "all" and is_single_file(dst):
        raise UsageError(
            InvalidUsage.at(
                f"{dst} is a single file, which holds one step", help="`--step N` chooses one; or make DST a directory"
            )
        )
    runs: list[tuple[int | None, str]] = (
        [(None, dst)] if step != "all" else [(number, f"{dst}/{number}") for number in _every_step(src)]
    )
    reports = []
    for number, where in runs:
        which = options.chosen_step(step) if step != "all" else number
        reports.append(_run_step(console, origin, src, which, where, request))
        if not reports[-1].ok:
            break
    _tell_done(console, reports, len(runs))
    console.finish(_together(console, reports, runs))
    exit_with(reports[-1].exit_code)


def _refuse_output(output: str | None, *, dry_run: bool, every: bool, overwrite: bool) -> None:
    """Refuses `-o` where there is not exactly one plan that is not applied."""
    if output is not None and (not dry_run or every):
        advice = "add `--dry-run`, and choose a step; the plan serves every step"
        raise UsageError(InvalidUsage.at("`-o` writes the plan file of a dry run of one checkpoint", help=advice))
    rule_output.refuse_existing(output, overwrite=overwrite)


def _run_step(
    console: Console, origin: PlanOrigin, src: str, step: options.StepChoice, dst: str, request: Request
) -> Report:
    """Runs one checkpoint; for one of several steps, an error becomes a report, beside those of the other steps."""
    from migrate.report.view import Report, findings

    if not request.as_step:
        return _run(console, origin, src, step, dst, request)
    try:
        return _run(console, origin, src, step, dst, request)
    except MigrateError as error:
        failed = Report("apply", error.exit_code, findings=findings(error.diagnostics, options.text_of))
        console.text(failed)
        return failed


def _tell_done(console: Console, reports: list[Report], steps: int) -> None:
    """Prints the number of steps that were done before this run."""
    from migrate.report.view import Report

    done = sum(bool(report.data.get("already_done")) for report in reports)
    if done and steps > 1:
        console.text(Report("apply", summary=(f"{done} of {steps} steps already done.",)))


def _every_step(src: str) -> tuple[int, ...]:
    from migrate import api

    steps = api.list_steps(src)
    if not steps:
        raise CheckpointError(
            AmbiguousItem.at(f"{src} has no steps, so `--step all` does not apply", help="omit `--step`")
        )
    return steps


def _run(
    console: Console, origin: PlanOrigin, src: str, step: options.StepChoice, dst: str, request: Request
) -> Report:
    """Plans and runs one checkpoint; returns plan and receipt as one report."""
    from migrate import api
    from migrate.engine.outputs.registry import fitted
    from migrate.report.of_plan import plan_report

    chosen, rules = request.options, origin.rules
    probe = chosen.probe or rules.probe
    follow = request.follow_links
    unbox, separator, model = rules.source.unbox, rules.source.separator, request.template
    with api.open_checkpoint(
        src, step, request.item, unbox, follow_links=follow, separator=separator, template=model
    ) as source:
        made = origin.plan(source, probed=probe is not None)
        plan = fitted(made, dst, mesh=request.mesh is not None or made.has_mesh)
        shown = {"dry_run": request.dry_run, "verbose": console.complete}
        planned = plan_report(plan, dst, **shown, probe=probe, text_of=options.text_of)
        if request.dry_run and plan.applicable:
            planned = _checked(plan, source, dst, chosen, planned)
        if request.output is not None and plan.applicable:
            planned = _saved(made, planned, request.output)
        stops = request.dry_run or not plan.applicable
        if stops or not console.quiet:
            console.text(planned)
        if stops:
            return planned
        return _apply(console, plan, source, dst, chosen, planned)


def _checked(plan: Plan, source: Checkpoint, dst: str, chosen: ApplyOptions, planned: Report) -> Report:
    """Returns the report of a dry run with everything for which `apply` would refuse the plan before it writes."""
    from migrate.engine import preflight
    from migrate.report.of_receipt import done_before
    from migrate.report.view import findings

    try:
        done = preflight.check(plan, source.reader, Path(dst), chosen).done
    except MigrateError as error:
        found = (*planned.findings, *findings(error.diagnostics, options.text_of))
        refused = "`apply` would refuse this plan. Nothing was written."
        return replace(planned, exit_code=error.exit_code, findings=found, summary=(*planned.summary[:-1], refused))
    if done is None:
        return planned
    sentence = done_before(dst, done.history[-1].date)
    return replace(planned, summary=(*planned.summary[:-1], sentence), data={**planned.data, "already_done": True})


def _saved(plan: Plan, planned: Report, output: str) -> Report:
    """Writes the plan file of a dry run; returns the report with what a reviewer needs to know about it."""
    from migrate.planning.plan_file.save import saved_text
    from migrate.report.of_plan_file import plan_file_sentences

    rule_output.write(output, saved_text(plan))
    return replace(planned, summary=(*planned.summary, *plan_file_sentences(plan, output)))


def _apply(console: Console, plan: Plan, source: Checkpoint, dst: str, chosen: ApplyOptions, planned: Report) -> Report:
    """Runs a plan; returns its report with the receipt."""
    from migrate.engine.run import apply
    from migrate.planning.proof import after_probe
    from migrate.report.of_plan import plan_data
    from migrate.report.of_receipt import receipt_report

    with Stopping() as stopped, console.progress() as listener:
        receipt = apply(plan, source.reader, Path(dst), chosen, listener=listener, stopped=stopped)
    done = receipt_report(receipt)
    console.text(done)
    proved = plan_data(after_probe(plan, receipt.probe.seen)) if receipt.probe else planned.data
    return replace(
        planned,
        summary=(*planned.summary, *done.summary),
        findings=(*planned.findings, *done.findings),
        data={**planned.data, **proved, **done.data, "already_done": receipt.already_done},
    )


def _together(console: Console, reports: list[Report], runs: list[tuple[int | None, str]]) -> list[Report]:
    """Returns the reports of all steps; in JSON, one report with the worst exit code and a list of steps."""
    from migrate.report.json import payload
    from migrate.report.view import Report

    if console.format != "json" or len(runs) == 1:
        return reports
    steps = [{"step": step, **payload(report)} for (step, _), report in zip(runs, reports, strict=False)]
    found = tuple(finding for report in reports for finding in report.findings)
    done = sum(bool(report.data.get("already_done")) for report in reports)
    data = {"steps": steps, "already_done": done}
    return [Report("apply", max(ExitCode(r.exit_code) for r in reports), findings=found, data=data)]
