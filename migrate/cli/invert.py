"""`migrate invert`: the rule file that leads back, and the leaves that it does not restore."""

from __future__ import annotations

from typing import Any

import click

from migrate.cli import options, rule_output
from migrate.cli.arguments import require_order
from migrate.cli.console import Console, exit_with
from migrate.cli.places import CHECKPOINT, PLACE
from migrate.cli.sources import open_source
from migrate.errors import PlanError, RuleFileError, UsageError


@click.command(
    "invert",
    short_help="Write the rule file that leads back.",
    epilog=options.examples("migrate invert rules.yaml old/ -o back.yaml", bundled=True),
    context_settings=options.SETTINGS,
)
@click.argument("rules", type=PLACE)
@click.argument("src", type=CHECKPOINT)
@options.arguments
@options.config
@options.sources
@options.template
@rule_output.output
@rule_output.overwrite
@options.step
@options.item
@options.follow_links
@options.allow_code
@options.output
def command(
    console: Console,
    rules: str,
    src: str,
    arguments: tuple[tuple[str, str], ...],
    config: str | None,
    sources: tuple[tuple[str, str], ...],
    template: str | None,
    output: str | None,
    overwrite: bool,
    step: int | str | None,
    item: str | None,
    follow_links: bool,
    allow_code: bool,
) -> None:
    """Write the rule file that leads from the target of RULES on SRC back to the structure of SRC.

    Nothing is applied. The file needs no template. Leaves that it does not restore bit for bit are listed by reason;
    exit code 1 means that there are some, 2 that RULES cannot be applied to SRC.
    """
    from migrate import api
    from migrate.report.of_inversion import inversion_report

    require_order(rules, src)
    rule_output.refuse_existing(output, overwrite=overwrite)
    try:
        rule_set = api.load_rules(rules, dict(arguments), config)
        chosen = options.chosen_step(step)
        how: dict[str, Any] = {"follow_links": follow_links, "sources": sources}
        with open_source(src, rule_set, step=chosen, item=item, **how) as source:
            inversion = api.invert(api.plan(source, rule_set, template, allow_code=allow_code))
    except (PlanError, RuleFileError) as error:
        raise UsageError(*error.diagnostics) from error
    report = inversion_report(
        inversion, rules, src, output or "back.yaml", verbose=console.complete, text_of=options.text_of
    )
    rule_output.show(console, report, inversion.text, output)
    exit_with(report.exit_code)
