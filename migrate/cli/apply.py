"""`migrate apply`: shows the plan and runs it."""

from __future__ import annotations

from dataclasses import replace

import click

from migrate.cli import hugging_face, options, rule_output, running
from migrate.cli.arguments import require_order
from migrate.cli.console import Console
from migrate.cli.places import CHECKPOINT, PLACE
from migrate.cli.plan_origin import plan_origin
from migrate.cli.pool import PoolChoice, pool_options
from migrate.codes import InvalidUsage
from migrate.errors import UsageError


@click.command(
    "apply",
    short_help="Show the plan, run it and verify the result.",
    epilog=options.examples(
        "migrate apply rules.yaml old/ new/ --dry-run",
        "migrate apply rules.yaml root/ new_root/ --step all",
        "migrate apply linen/to-nnx old/ new.safetensors --template my_model:make_state",
        bundled=True,
    ),
    context_settings=options.SETTINGS,
)
@click.argument("rules", type=PLACE)
@click.argument("src", type=CHECKPOINT)
@click.argument("dst", type=CHECKPOINT)
@options.arguments
@options.config
@options.reverse
@options.sources
@running.run_options
@pool_options
@hugging_face.layout
@rule_output.dry_run_output
@options.output
def command(
    console: Console,
    rules: str,
    src: str,
    dst: str,
    *,
    output: str | None,
    pool: PoolChoice,
    request: running.Request,
) -> None:
    """Apply RULES to the checkpoint SRC and write the result to DST.

    RULES may also be a plan file of `migrate plan`, whose plan is carried out exactly, or not at all.

    DST becomes an Orbax checkpoint, or a single file if its name ends in .safetensors or .msgpack (Flax's format).

    The plan is shown first: `relink` marks arrays whose chunks are linked unread, `copy` those that are copied as
    they are encoded, `stream` those that are read and written. DST appears all at once, complete and verified, or
    not at all; SRC is only read. After Ctrl-C or a kill, the same command resumes. A DST that is the finished
    result of the same plan already is left as it is.
    """
    require_order(rules, src, dst)
    request = replace(request, output=output, pool=pool)
    _refuse_output(request)
    running.run(console, plan_origin(rules, request), src, dst, request)


def _refuse_output(request: running.Request) -> None:
    """Refuses `-o` where there is not exactly one plan that is not applied."""
    if request.output is not None and (not request.dry_run or request.as_step):
        advice = "add `--dry-run`, and choose a step; the plan serves every step"
        raise UsageError(InvalidUsage.at("`-o` writes the plan file of a dry run of one checkpoint", help=advice))
    rule_output.refuse_existing(request.output, overwrite=request.options.overwrite)
