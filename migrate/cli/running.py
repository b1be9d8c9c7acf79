"""Runs of plans from the command line: the options that such commands share, and what happens to each step.

`apply` and `upgrade` differ in the origin of their plans (`PlanOrigin`) and in nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, Protocol

import click

from migrate.cli import options
from migrate.cli.chunks import chosen_chunks, refuse_single_file, with_reads
from migrate.cli.console import Console, exit_with
from migrate.cli.hugging_face import FOLDER_OPTIONS
from migrate.cli.measured import with_statistics
from migrate.cli.options import StepChoice
from migrate.cli.planned import checked, fitted_plan, saved
from migrate.cli.pool import LOCAL, PoolChoice
from migrate.cli.sources import open_source
from migrate.codes import InvalidUsage
from migrate.engine.options import ApplyOptions
from migrate.engine.streaming.stopping import Stopping
from migrate.errors import ExitCode, MigrateError, UsageError
from migrate.places.names import destination_path
from migrate.planning.root_steps import StepSelector

if TYPE_CHECKING:
    from migrate.api.roots import ChosenSteps
    from migrate.checkpoint import Checkpoint
    from migrate.engine.sharing.workers import Workers
    from migrate.planning.model import Plan
    from migrate.report.view import Report
    from migrate.rules.model import RuleSet

Command = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The options of a run, beyond the origin of its plan, SRC and DST.

    Attributes:
      template: as on the command line.
      step: which steps of a root; None for the default.
      keep: how many steps of a root are kept; None for all.
      keep_period: multiples of it are kept as well.
      skip_damaged: whether steps of a root that cannot be read are left out.
      root: whether DST is a root although one step is chosen.
      item, follow_links, mesh, partition: as on the command line.
      load_meshes: the meshes of `--for`, or `any`; empty where chunks are not chosen.
      dry_run: whether to stop after the plan.
      link: whether arrays whose bytes do not change are linked.
      layout: how DST is stored; None for what the rule file states.
      options: the options of the engine.
      output: the plan file that a dry run writes; None for none.
      pool: the processes that stage arrays.
      reverse: whether the rules are applied in reverse.
      arguments, sources: the names and values of `--arg`, the names and paths of `--source`.
      config: the model's `config.json`, or its folder; None for the one beside the tensors of SRC.
    """

    template: str | None
    item: str | None
    follow_links: bool
    mesh: str | None
    partition: str | None
    dry_run: bool
    options: ApplyOptions
    step: StepSelector | None = None
    keep: int | None = None
    keep_period: int | None = None
    skip_damaged: bool = False
    root: bool = False
    link: Literal["auto", "never"] = "auto"
    layout: Literal["huggingface", "zarr"] | None = None
    output: str | None = None
    load_meshes: tuple[str, ...] = ()
    pool: PoolChoice = LOCAL
    reverse: bool = False
    arguments: tuple[tuple[str, str], ...] = ()
    config: str | None = None
    sources: tuple[tuple[str, str], ...] = ()

    @property
    def target_partition(self) -> str | None:
        """The partition file as far as it concerns the shardings of the target, and not only the loads to come."""
        return self.partition if self.mesh is not None or not options.meshes_of(self.load_meshes) else None

    @property
    def as_step(self) -> bool:
        """Whether what is written is a step of a root, below DST."""
        several = self.step is not None and not self.step.is_single
        return several or self.root or self.skip_damaged or (self.keep, self.keep_period) != (None, None)

    @property
    def one_step(self) -> StepChoice:
        """The step of a run that writes one checkpoint."""
        if self.step is None:
            return None
        return self.step.numbers[0] if self.step.numbers else "latest"


class PlanOrigin(Protocol):
    """Where a command takes its plans from."""

    @property
    def rules(self) -> RuleSet:
        """The rules, as far as they are known before a checkpoint is read: how it is read, and the probe."""

    def target_version(self, source: Checkpoint) -> int | str | None:
        """The version of the model to which the plan of a checkpoint leads; None if it is not known."""

    def plan(self, source: Checkpoint, *, probed: bool) -> Plan:
        """Returns the plan for a checkpoint and any DST."""


_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.option("-n", "--dry-run", is_flag=True, help="Show the plan and stop; exit with 1 if it cannot be applied."),
    options.template,
    click.option(
        "--step",
        type=options.SelectorType(),
        metavar="N|latest|all|…",
        help=f"{options.STEP_HELP}. `all`, a list such as `100,200`, `every:1000` and `best:METRIC[:min|:max]` make "
        "DST a root, with DST/N for each step N.",
    ),
    click.option(
        "--keep",
        type=click.IntRange(min=1),
        metavar="N",
        help="Write only the latest N of the steps, or with `best:METRIC` the best N, as `max_to_keep` of a "
        "`CheckpointManager` keeps them (default: all; of `best:METRIC`, one).",
    ),
    click.option(
        "--keep-period",
        type=click.IntRange(min=1),
        metavar="N",
        help="With --keep, also write the steps whose numbers are multiples of N.",
    ),
    click.option(
        "--skip-damaged",
        is_flag=True,
        help="Leave out steps of a root that cannot be read (default: refuse the run before anything is written).",
    ),
    click.option(
        "--root",
        is_flag=True,
        help="Make DST a root also for a single step (default: only where `--step` can choose several).",
    ),
    options.item,
    options.follow_links,
    options.mesh,
    options.partition,
    options.load_meshes,
    click.option(
        "--verify",
        type=click.Choice(["full", "decode", "digest", "none"]),
        default="digest",
        help="What to verify before DST is published (default: digest). `digest` compares written leaves, read back, "
        "and streamed leaves of SRC with their digests, and linked chunks by index entry or bytes, not decoded. "
        "`decode` also decodes linked chunks once, so that a damaged one of SRC is refused, and compares digests that "
        "SRC records. `full` does too, and compares all leaves, restored through plain Orbax, with the rules' result.",
    ),
    options.probe,
    options.tolerance,
    options.rtol,
    options.require_proof,
    click.option(
        "--overwrite",
        is_flag=True,
        help="Replace DST, if it is one checkpoint of the kind that is written, once the new one is complete.",
    ),
    options.allow_code,
    click.option(
        "--link",
        type=click.Choice(["auto", "never"]),
        default="auto",
        help="`auto` links arrays that do not change, `never` copies their chunks as encoded (default: auto).",
    ),
    click.option(
        "--compact",
        is_flag=True,
        help="Share no files with SRC, so that DST has no unused bytes; implies --link never.",
    ),
    options.max_ram,
    options.jobs,
    click.option(
        "--compression",
        type=options.CompressionType(),
        metavar="zstd:N|none",
        help="Compression of every array, with N from -5 (fastest) to 22 (smallest) (default: that of SRC).",
    ),
    *FOLDER_OPTIONS,
)


def _taken(values: dict[str, Any], kind: type) -> dict[str, Any]:
    """Removes the fields of a dataclass from keyword arguments, and returns them; `output` belongs to the command."""
    return {each.name: values.pop(each.name) for each in fields(kind) if each.name in values and each.name != "output"}


def run_options(function: Command) -> Command:
    """Adds the options of a run to a command, which gets them as one argument, `request`."""

    @wraps(function)
    def command(
        *args: Any, link: Literal["auto", "never"], compact: bool, compression: str | None, **others: Any
    ) -> None:
        linked: Literal["auto", "never"] = "never" if compact or compression is not None else link
        chosen = ApplyOptions(compression=compression, **_taken(others, ApplyOptions))
        function(*args, request=Request(options=chosen, link=linked, **_taken(others, Request)), **others)

    decorated: Command = command
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def run(console: Console, origin: PlanOrigin, src: str, dst: str, request: Request) -> None:
    """Plans and runs one checkpoint, or the chosen steps of a root; exits with the code of the worst report."""
    with request.pool.workers(dry_run=request.dry_run) as workers:
        if request.as_step:
            reports = _run_root(console, origin, src, dst, request, workers)
        else:
            reports = [_run(console, origin, src, request.one_step, dst, request, workers)]
    console.finish(reports)
    exit_with(max(ExitCode(report.exit_code) for report in reports))


def _run_root(
    console: Console, origin: PlanOrigin, src: str, dst: str, request: Request, workers: Workers
) -> list[Report]:
    """Checks every chosen step of a root before any is written, then runs them; stops at the first that fails."""
    from migrate.report.of_root import root_report

    chosen = _choose_steps(origin, src, dst, request)
    silent, dry = replace(console, format="json"), replace(request, dry_run=True)
    runs = [(one.number, os.path.join(dst, one.name)) for one in chosen.selection.chosen]
    checked = [_run_step(silent, origin, src, number, where, dry, workers) for number, where in runs]
    refused = [report for report in checked if not report.ok]
    of_root = root_report(chosen, src, dst, checked, dry_run=request.dry_run)
    console.text(of_root)
    if request.dry_run or refused:
        for report in checked if request.dry_run else refused:
            console.text(report)
        _tell_done(console, checked, len(runs))
        return _together(console, of_root, checked, runs)
    reports: list[Report] = []
    for number, where in runs:
        reports.append(_run_step(console, origin, src, number, where, request, workers))
        if not reports[-1].ok:
            break
    _tell_done(console, reports, len(runs))
    return _together(console, of_root, reports, runs)


def _choose_steps(origin: PlanOrigin, src: str, dst: str, request: Request) -> ChosenSteps:
    from migrate import api
    from migrate.engine.outputs.registry import is_single_file

    if is_single_file(dst):
        advice = "`--step N` chooses one; or make DST a directory"
        raise UsageError(InvalidUsage.at(f"{dst} is a single file, which holds one step", help=advice))
    return api.choose_steps(
        src,
        request.step.text if request.step else "all",
        keep=request.keep,
        keep_period=request.keep_period,
        skip_damaged=request.skip_damaged,
        follow_links=request.follow_links,
        opened=lambda number: _open(origin, src, number, request),
    )


def _open(origin: PlanOrigin, src: str, step: StepChoice, request: Request) -> Checkpoint:
    template = None if request.reverse else request.template
    how: dict[str, Any] = {"follow_links": request.follow_links, "template": template, "sources": request.sources}
    return open_source(src, origin.rules, step=step, item=request.item, **how)


def open_chosen(origin: PlanOrigin, src: str, request: Request) -> Checkpoint:
    """Opens the checkpoint of a run that writes one."""
    return _open(origin, src, request.one_step, request)


def _run_step(
    console: Console, origin: PlanOrigin, src: str, step: int, dst: str, request: Request, workers: Workers
) -> Report:
    """Runs one of several steps; an error becomes a report, beside those of the other steps."""
    from migrate.report.view import Report, findings

    try:
        return _run(console, origin, src, step, dst, request, workers)
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


def _run(
    console: Console, origin: PlanOrigin, src: str, step: StepChoice, dst: str, request: Request, workers: Workers
) -> Report:
    """Plans and runs one checkpoint; returns plan and receipt as one report."""
    from migrate.report.of_plan import plan_report

    chosen = request.options
    probe = chosen.probe or origin.rules.probe
    refuse_single_file(dst, request.load_meshes)
    with _open(origin, src, step, request) as source:
        made, plan = made_and_fitted(origin, source, dst, request, probed=probe is not None)
        shown = {"dry_run": request.dry_run, "verbose": console.complete}
        planned = plan_report(plan, dst, **shown, probe=probe, text_of=options.text_of)
        planned = with_reads(
            planned,
            plan,
            request.load_meshes,
            request.partition,
            of_target=request.dry_run,
            verbose=console.complete,
            ends=request.dry_run,
        )
        if request.dry_run and plan.applicable:
            planned = checked(plan, source, dst, chosen, planned, workers)
        if request.output is not None and plan.applicable:
            planned = saved(made, planned, request.output)
        stops = request.dry_run or not plan.applicable
        if stops or not console.quiet:
            console.text(planned)
        if stops:
            return planned
        return _apply(console, plan, source, dst, chosen, planned, workers)


def made_and_fitted(
    origin: PlanOrigin, source: Checkpoint, dst: str, request: Request, *, probed: bool
) -> tuple[Plan, Plan]:
    """Returns the plan for any DST, which a plan file holds, and the plan that a run for this DST carries out."""
    made = chosen_chunks(origin.plan(source, probed=probed), request.load_meshes, request.partition, request.link)
    return made, fitted_plan(made, dst, mesh=request.mesh is not None, compression=request.options.compression)


def _apply(
    console: Console,
    plan: Plan,
    source: Checkpoint,
    dst: str,
    chosen: ApplyOptions,
    planned: Report,
    workers: Workers,
) -> Report:
    """Runs a plan; returns its report with the receipt."""
    from migrate.engine.run import apply
    from migrate.planning.proof import after_probe
    from migrate.report.of_plan import plan_data
    from migrate.report.of_receipt import receipt_report
    from migrate.report.view import DeferredData

    with Stopping() as stopped, console.progress() as listener:
        how: dict[str, Any] = {"listener": listener, "stopped": stopped, "workers": workers}
        receipt = apply(plan, source.reader, destination_path(dst), chosen, **how)
    done = receipt_report(receipt)
    console.text(done)
    proved = plan_data(after_probe(plan, receipt.probe.seen)) if receipt.probe else {}
    planned = with_statistics(planned, receipt, console, plan, source, chosen)
    return replace(
        planned,
        summary=(*planned.summary, *done.summary),
        findings=(*planned.findings, *done.findings),
        data=DeferredData(lambda: {**planned.data, **proved}, {**done.data, "already_done": receipt.already_done}),
    )


def _together(console: Console, of_root: Report, reports: list[Report], runs: list[tuple[int, str]]) -> list[Report]:
    """Returns the reports of a root and its steps; in JSON, one report with the worst exit code and a list of steps."""
    from migrate.report.json import payload
    from migrate.report.view import Report

    if console.format != "json":
        return [of_root, *reports]
    if len(runs) == 1:
        return [replace(reports[0], data={**reports[0].data, **of_root.data})]
    steps = [{"step": step, **payload(report)} for (step, _), report in zip(runs, reports, strict=False)]
    found = tuple(finding for report in (of_root, *reports) for finding in report.findings)
    done = sum(bool(report.data.get("already_done")) for report in reports)
    data = {"steps": steps, "already_done": done, **of_root.data}
    return [Report("apply", max(ExitCode(r.exit_code) for r in reports), findings=found, data=data)]
