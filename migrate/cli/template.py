"""`migrate template`: records the tree of a model in a file that stands for it as `--template`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from migrate.cli import options, rule_output
from migrate.cli.console import Console
from migrate.cli.places import FILE, PLACE
from migrate.codes import InvalidUsage
from migrate.errors import UsageError

if TYPE_CHECKING:
    from migrate.report.view import Report
    from migrate.rules.recorded_tree import RecordedTree


@click.command(
    "template",
    short_help="Record the tree of a model.",
    epilog=options.examples(
        "migrate template my_model:make_state -o model.tree.json",
        "migrate template --rules rules.yaml -o model.tree.json",
    ),
    context_settings=options.SETTINGS,
)
@click.argument("template", metavar="[M:F]", required=False)
@click.option("-o", "--output", type=FILE, metavar="FILE", help="Write to FILE.tree.json (default: stdout).")
@rule_output.overwrite
@click.option(
    "--rules",
    type=PLACE,
    metavar="RULES",
    help="Take arguments and layout from the rule file RULES, and without M:F its template.",
)
@click.option(
    "--layout",
    type=click.Choice(["state", "pure_dict", "items"]),
    help="Layout of the checkpoint (default: from the rule file, or state).",
)
@options.allow_code
@options.output
def command(
    console: Console,
    template: str | None,
    output: str | None,
    rules: str | None,
    layout: Literal["state", "pure_dict", "items"] | None,
    overwrite: bool,
    allow_code: bool,
) -> None:
    """Record the tree of the model M:F, a `module:callable`: key paths, shapes, dtypes and what its checkpoints record.

    Every command takes the file in place of the model, as `--template FILE.tree.json`, and imports neither JAX nor the
    model's code then. Write the file again when the model changes.
    """
    from migrate import api
    from migrate.rules.recorded_tree import tree_text

    _refuse_other_suffix(output)
    rule_output.refuse_existing(output, overwrite=overwrite)
    rule_set = api.load_rules(rules) if rules else None
    recorded = api.record_template(template, rule_set, layout, allow_code=allow_code)
    rule_output.show(console, _report(recorded, output), tree_text(recorded), output)


def _refuse_other_suffix(output: str | None) -> None:
    from migrate.rules.recorded_tree import SUFFIX, is_recorded_tree

    if output is not None and not is_recorded_tree(output):
        message = f"`{output}` does not end in `{SUFFIX}`, by which `--template` recognizes a recorded tree"
        raise UsageError(InvalidUsage.at(message, help=f"`-o {output.removesuffix('.json')}{SUFFIX}`"))


def _report(recorded: RecordedTree, output: str | None) -> Report:
    from migrate.report.amounts import plural
    from migrate.report.view import Report

    tree = recorded.tree
    recorded_to = f" in {output}; `--template {output}` stands for the model" if output else ""
    data = {
        "template": recorded.spec,
        "leaves": len(tree.leaves),
        "structure_hash": tree.structure_hash,
        "file": output,
    }
    summary = f"Recorded: the tree of `{recorded.spec}`, {plural(len(tree.leaves), 'leaf')},{recorded_to}."
    return Report("template", summary=(summary.replace(",.", "."),), data=data)
