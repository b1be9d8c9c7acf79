"""`migrate tune`: the same values in chunks that suit the loads to come."""

from __future__ import annotations

from dataclasses import replace

import click

from migrate.cli import options, running
from migrate.cli.arguments import refuse_rule_file
from migrate.cli.console import Console
from migrate.cli.places import CHECKPOINT
from migrate.cli.plan_origin import RuleFileOrigin


@click.command(
    "tune",
    short_help="Rewrite a checkpoint in chunks that suit the loads to come.",
    epilog=options.examples(
        "migrate tune old/ new/ --for data=1,fsdp=128", "migrate tune old/ new/ --partition partition.yaml --dry-run"
    ),
    context_settings=options.SETTINGS,
)
@click.argument("src", type=CHECKPOINT)
@click.argument("dst", type=CHECKPOINT)
@running.run_options
@options.output
def command(console: Console, src: str, dst: str, *, request: running.Request) -> None:
    """Write the checkpoint SRC to DST with the same values, in chunks that suit the loads to come.

    A device that needs a part of an array decodes every chunk that the part touches. With --for, every device of every
    named mesh decodes at most 1.05 times its own bytes; without it, those of any mesh up to 16x16 at most 1.5 times.
    Which dimensions are divided is taken from --partition, from the annotations of --template, or from the shardings
    with which SRC was saved.

    Arrays whose chunks suit already are linked. `migrate inspect SRC --for AXES` and --dry-run print how much devices
    decode, today and afterwards. Everything else is as in `migrate apply`.
    """
    from migrate.api.tuning import no_rules

    refuse_rule_file(src)
    chosen = replace(request, load_meshes=request.load_meshes or (options.ANY,))
    running.run(console, RuleFileOrigin(no_rules(), chosen), src, dst, chosen)
