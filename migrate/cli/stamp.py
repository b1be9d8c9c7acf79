"""`migrate stamp`: records digests of the values of an existing checkpoint."""

from __future__ import annotations

import click

from migrate.cli import options
from migrate.cli.console import Console


@click.command("stamp", short_help="Record digests of an existing checkpoint.", context_settings=options.SETTINGS)
@click.argument("ckpt")
@click.option("--digests", is_flag=True, help="Decode every leaf and record its digest.")
@options.step
@options.follow_links
@options.max_ram
@options.jobs
@options.output
def command(
    console: Console,
    ckpt: str,
    digests: bool,
    step: int | str | None,
    follow_links: bool,
    max_ram: int,
    jobs: int | None,
) -> None:
    """Add a record to the checkpoint CKPT, a directory that Orbax or migrate wrote.

    With --digests: every leaf is decoded once, and the digests of all values are written to one small file, so that
    `migrate verify` finds any later change. Arrays are not touched. Nothing is written if a leaf cannot be decoded, or
    differs from a digest that is recorded already.
    """
    from migrate import api
    from migrate.report.amounts import plural
    from migrate.report.view import Report

    if not digests:
        raise click.UsageError("Nothing to record; add --digests.")
    with console.progress() as listener:
        done = api.stamp(
            ckpt,
            digests=True,
            step=options.chosen_step(step),
            max_ram=max_ram,
            jobs=jobs,
            follow_links=follow_links,
            listener=listener,
        )
    report = Report(
        "stamp",
        summary=(
            f"Recorded: digests of {plural(done.leaves, 'leaf')} in {done.file}; {done.added:,} had none before.",
            f"`migrate verify {ckpt}` compares every value with them.",
        ),
        data={"file": str(done.file), "leaves": done.leaves, "added": done.added, "root": done.root},
    )
    console.text(report)
    console.finish([report])
