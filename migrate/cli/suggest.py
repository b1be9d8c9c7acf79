"""`migrate suggest`: drafts a rule file for review, with marks where nothing proves an assignment."""

from __future__ import annotations

import click

from migrate.cli import candidates, options, rule_output
from migrate.cli.arguments import refuse_rule_file
from migrate.cli.console import Console, exit_with
from migrate.cli.places import CHECKPOINT


@click.command(
    "suggest",
    short_help="Draft a rule file for review.",
    epilog=options.examples(
        "migrate suggest old/ --template my_model:make_state -o rules.yaml",
        "migrate suggest old/ --template my_model:make_state --probe my_model:probe",
    ),
    context_settings=options.SETTINGS,
)
@click.argument("src", type=CHECKPOINT)
@click.option(
    "--template",
    metavar="M:F|FILE",
    shell_complete=candidates.file,
    required=True,
    help="The target: a callable that returns the model, as `module:callable`, or its recorded tree, FILE.tree.json.",
)
@click.option(
    "--families/--no-families",
    default=True,
    help="Suggest a bundled rule file that moves every array of the model, if there is one (default: --families).",
)
@options.probe
@click.option(
    "--probe-budget",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most runs of the --probe (default: 64).",
)
@options.tolerance
@options.rtol
@rule_output.output
@rule_output.overwrite
@options.step
@options.item
@options.follow_links
@options.output
def command(
    console: Console,
    src: str,
    template: str,
    families: bool,
    probe: str | None,
    probe_budget: int | None,
    tolerance: float | None,
    rtol: float | None,
    output: str | None,
    overwrite: bool,
    step: int | str | None,
    item: str | None,
    follow_links: bool,
) -> None:
    """Draft a rule file that leads from the checkpoint SRC to a model. Nothing is applied.

    Assignments that names and shapes do not prove are marked `unproved:` and list the alternatives; leaves without a
    counterpart are listed, not guessed. With --probe, the outputs of both models settle what names and shapes leave
    open: the probe runs on the suggestion, then on alternatives, until all outputs agree. Exit code 1 means that the
    draft needs edits: its plan cannot be applied, or outputs differ.
    """
    from migrate import api
    from migrate.report.of_suggestion import suggestion_report

    refuse_rule_file(src)
    rule_output.refuse_existing(output, overwrite=overwrite)
    chosen = options.chosen_step(step)
    with api.open_checkpoint(src, chosen, item, follow_links=follow_links, template=template) as source:
        with console.progress() as listener:
            suggestion = api.suggest(
                source,
                template,
                families=families,
                probe=probe,
                probe_budget=probe_budget,
                tolerance=tolerance,
                rtol=rtol,
                listener=listener,
            )
        report = suggestion_report(suggestion, src, output or "rules.yaml")
    rule_output.show(console, report, suggestion.text, output)
    exit_with(report.exit_code)
