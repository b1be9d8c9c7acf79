"""`migrate apply`: plan, show the plan, and run it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from migrate.cli import options
from migrate.cli.console import Console, exit_with
from migrate.codes import AmbiguousItem, InvalidUsage
from migrate.engine.stopping import Stopping
from migrate.errors import CheckpointError, ExitCode, UsageError

if TYPE_CHECKING:
    from migrate.report.view import Report
    from migrate.rules.model import RuleSet


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for, beyond source and destination."""

    template: str | None
    item: str | None
    mesh: str | None
    partition: str | None
    dry_run: bool
    as_step: bool
    """Whether DST is one step of a `CheckpointManager` root."""
    link: Literal["auto", "never"]
    engine: dict[str, Any]
    """Options of `api.apply`."""


@click.command(
    "apply",
    short_help="Show the plan, run it, verify the result.",
    epilog=options.BUNDLED,
    context_settings=options.SETTINGS,
)
@click.argument("rules")
@click.argument("src")
@click.argument("dst")
@click.option("-n", "--dry-run", is_flag=True, help="Show the plan and stop; exit code 1 if it cannot be applied.")
@options.template
@click.option("--step", type=options.Step(every=True), help="Which step of a root; `all` writes DST/STEP for each.")
@options.item
@options.mesh
@options.partition
@click.option(
    "--verify",
    type=click.Choice(["full", "digest", "none"]),
    default="digest",
    help="digest compares what was written, and chunks that are taken over by their entries or bytes, undecoded; full "
    "also decodes every leaf, and alone sees a chunk that is damaged in SRC.",
)
@options.probe
@options.tolerance
@options.require_proof
@click.option("--overwrite", is_flag=True, help="Replace DST when the new checkpoint is complete.")
@click.option("--allow-code", is_flag=True, help="Let the functions run that the rule file names.")
@click.option(
    "--link", type=click.Choice(["auto", "never"]), default="auto", help="Link what does not change, or copy it too."
)
@click.option("--compact", is_flag=True, help="Share no file with SRC, so that no dead byte is kept: --link never.")
@click.option("--max-ram", type=options.Size(64 << 20), default="2GiB", help="Memory for array data; 2GiB without it.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Leaves at a time; as many as CPUs without it.")
@click.option("--compression", type=options.Compression(), help="How to encode every array; as SRC without it.")
@options.speaking
def command(
    console: Console,
    rules: str,
    src: str,
    dst: str,
    dry_run: bool,
    template: str | None,
    step: int | str | None,
    item: str | None,
    mesh: str | None,
    partition: str | None,
    link: Literal["auto", "never"],
    compact: bool,
    **engine: Any,
) -> None:
    """Write to DST what RULES make of the checkpoint SRC.

    DST becomes a checkpoint of Orbax, or one file if its name ends with .safetensors or .msgpack (as Flax reads it).

    First the plan is shown. DST appears all at once, when it is complete and verified, or not at all; SRC is only read.
    After Ctrl-C or a kill, the same command goes on where it was.
    """
    from migrate import api
    from migrate.engine.outputs.registry import is_single_file

    rewritten = compact or engine["compression"] is not None
    linked: Literal["auto", "never"] = "never" if rewritten else link
    wish = Wish(template, item, mesh, partition, dry_run, step == "all", linked, engine)
    rule_set = api.load_rules(rules)
    if step == "all" and is_single_file(dst):
        raise UsageError(
            InvalidUsage.at(f"{dst} is a single file, which holds one step", help="name the step, or a directory")
        )
    runs: list[tuple[int | None, str]] = (
        [(None, dst)] if step != "all" else [(number, f"{dst}/{number}") for number in _every_step(src)]
    )
    reports = []
    for number, where in runs:
        chosen = options.chosen_step(step) if step != "all" else number
        reports.append(_run(console, rule_set, src, chosen, where, wish))
        if not reports[-1].ok:
            break
    console.finish(_together(console, reports, runs))
    exit_with(reports[-1].exit_code)


def _every_step(src: str) -> tuple[int, ...]:
    from migrate import api

    steps = api.list_steps(src)
    if not steps:
        raise CheckpointError(
            AmbiguousItem.at(f"{src} has no steps, so `--step all` says nothing", help="leave `--step` out")
        )
    return steps


def _run(console: Console, rules: RuleSet, src: str, step: options.StepChoice, dst: str, wish: Wish) -> Report:
    """One checkpoint: the plan, and what became of it, as one report."""
    from migrate import api
    from migrate.engine.probing.probe import chosen_probe
    from migrate.planning.proof import after_probe
    from migrate.report.of_plan import plan_data, plan_report
    from migrate.report.of_receipt import receipt_report

    with api.open_checkpoint(src, step, wish.item, rules.source.unbox) as source:
        probe = wish.engine["probe"] or rules.probe
        plan = api.plan(
            source,
            rules,
            wish.template,
            mesh=wish.mesh,
            partition=wish.partition,
            as_step=wish.as_step,
            link=wish.link,
            max_ram=wish.engine["max_ram"],
            destination=dst,
            require_proof=wish.engine["require_proof"] and probe is None,
        )
        shown = {"dry_run": wish.dry_run, "verbose": console.complete}
        planned = plan_report(plan, dst, **shown, probe=probe, text_of=options.text_of)
        console.text(planned)
        if wish.engine["probe"] and plan.applicable:
            chosen_probe(plan, wish.engine["probe"], wish.engine["tolerance"], dst)  # a dry run finds its mistakes
        if wish.dry_run or not plan.applicable:
            return planned
        with Stopping() as stopped, console.progress() as listener:
            receipt = api.apply(plan, source, Path(dst), listener=listener, stopped=stopped, **wish.engine)
    done = receipt_report(receipt)
    console.text(done)
    return replace(
        planned,
        summary=(*planned.summary, *done.summary),
        findings=(*planned.findings, *done.findings),
        data={**(plan_data(after_probe(plan, receipt.probe.seen)) if receipt.probe else planned.data), **done.data},
    )


def _together(console: Console, reports: list[Report], runs: list[tuple[int | None, str]]) -> list[Report]:
    """In JSON, several steps are one object: the last one's verdict, and a list with what each step has to say."""
    from migrate.report.json import payload
    from migrate.report.view import Report

    if console.format != "json" or len(runs) == 1:
        return reports
    steps = [{"step": step, **payload(report)} for (step, _), report in zip(runs, reports, strict=False)]
    found = tuple(finding for report in reports for finding in report.findings)
    return [Report("apply", max(ExitCode(r.exit_code) for r in reports), findings=found, data={"steps": steps})]
