"""`migrate plan`: the plan as a file, which is reviewed and applied later."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import click

from migrate.cli import hugging_face, options, rule_output
from migrate.cli.chunks import chosen_chunks, with_reads
from migrate.cli.console import Console, exit_with
from migrate.cli.places import CHECKPOINT, PLACE
from migrate.cli.sources import open_source

if TYPE_CHECKING:
    from migrate.engine.loading.forecast import Forecast
    from migrate.planning.model import Plan
    from migrate.report.view import Report


@click.command(
    "plan",
    short_help="Save the plan for review.",
    epilog=options.examples(
        "migrate plan rules.yaml old/ -o plan.json",
        "migrate plan rules.yaml old/ --template model.tree.json --mesh data=-1,model=4",
        bundled=True,
    ),
    context_settings=options.SETTINGS,
)
@click.argument("rules", type=PLACE)
@click.argument("src", type=CHECKPOINT)
@options.arguments
@options.config
@options.sources
@options.reverse
@options.template
@rule_output.plan_output
@rule_output.overwrite
@options.step
@options.item
@options.follow_links
@options.mesh
@options.partition
@options.load_meshes
@hugging_face.layout
@options.for_load
@options.require_proof
@options.allow_code
@options.output
def command(
    console: Console,
    rules: str,
    src: str,
    arguments: tuple[tuple[str, str], ...],
    config: str | None,
    sources: tuple[tuple[str, str], ...],
    reverse: bool,
    template: str | None,
    output: str | None,
    overwrite: bool,
    step: int | str | None,
    item: str | None,
    follow_links: bool,
    mesh: str | None,
    partition: str | None,
    load_meshes: tuple[str, ...],
    layout: Literal["huggingface", "zarr"] | None,
    for_load: str | None,
    require_proof: bool,
    allow_code: bool,
) -> None:
    """Write the plan of RULES on SRC as a file that `migrate apply FILE SRC DST` carries out exactly.

    The file is bound to the structure of SRC: it serves every checkpoint with the same key paths, shapes and dtypes. To
    apply it, neither the model's code nor JAX is needed, except for leaves that the model initializes. Exit code 1
    means that RULES cannot be applied to SRC; then no file is written.
    """
    from migrate import api
    from migrate.api.loading import forecast_load

    rule_output.refuse_existing(output, overwrite=overwrite)
    rule_set = api.load_rules(rules, dict(arguments), config)
    chosen = options.chosen_step(step)
    read_as, named = (None, None) if reverse else (rule_set, template)
    how: dict[str, Any] = {"follow_links": follow_links, "template": named, "sources": sources}
    with open_source(src, read_as, step=chosen, item=item, **how) as source:
        plan = api.plan(
            source,
            rule_set,
            template,
            mesh=mesh,
            partition=partition if mesh is not None or not load_meshes else None,
            require_proof=require_proof and rule_set.probe is None,
            allow_code=allow_code,
            reverse=reverse,
            layout=layout,
        )
        plan = chosen_chunks(plan, load_meshes, partition)
        report = _report(plan, verbose=console.complete)
        report = with_reads(report, plan, load_meshes, partition, of_target=False, verbose=console.complete, ends=False)
        if for_load is not None and plan.applicable:
            made = forecast_load(
                source, plan.rules if reverse else rule_set, plan, for_load, template, allow_code=allow_code
            )
            report = _with_forecast(report, made, for_load)
    if plan.applicable:
        _write(console, plan, report, output)
    else:
        console.text(report)
        console.finish([report])
    exit_with(report.exit_code)


def _report(plan: Plan, *, verbose: bool) -> Report:
    from migrate.report.of_plan import plan_report

    probe = plan.rules.probe
    report = plan_report(plan, "DST", dry_run=False, verbose=verbose, probe=probe, text_of=options.text_of)
    return replace(report, command="plan")


def _with_forecast(report: Report, made: Forecast, mesh: str) -> Report:
    from migrate.report.of_forecast import forecast_data, forecast_sentences

    summary = (*report.summary, *forecast_sentences(made, mesh))
    return replace(report, summary=summary, data={**report.data, "load": forecast_data(made)})


def _write(console: Console, plan: Plan, report: Report, output: str | None) -> None:
    from migrate.planning.plan_file.save import saved_text
    from migrate.report.of_plan_file import plan_file_sentences

    text = saved_text(plan)
    summary = (*report.summary, *plan_file_sentences(plan, output))
    rule_output.show(
        console, replace(report, summary=summary, data={**report.data, "plan_file": json.loads(text)}), text, output
    )
