"""`migrate stamp`: adds the record of its model, or digests of its values, to an existing checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from migrate.cli import candidates, options
from migrate.cli.console import Console
from migrate.cli.places import PLACE

if TYPE_CHECKING:
    from migrate.engine.verification.record_stamp import RecordStamped
    from migrate.engine.verification.stamp import Stamped


@click.command(
    "stamp",
    short_help="Record the model or digests of an existing checkpoint.",
    epilog=options.examples("migrate stamp old/ --model lm --version 3", "migrate stamp old/ --digests"),
    context_settings=options.SETTINGS,
)
@click.argument("ckpt", type=PLACE)
@click.option("--model", metavar="NAME", help="The name of the model (default: the recorded one).")
@click.option("--version", metavar="V", help="The version of the model (default: the recorded one).")
@click.option(
    "--template",
    metavar="M:F|FILE",
    shell_complete=candidates.file,
    help="The model that was saved, or its recorded tree, FILE.tree.json; its hyperparameters and digests of its code "
    "are recorded as well.",
)
@click.option("--digests", is_flag=True, help="Decode every leaf and record its digest.")
@options.step
@options.follow_links
@options.max_ram
@options.jobs
@options.output
def command(
    console: Console,
    ckpt: str,
    model: str | None,
    version: str | None,
    template: str | None,
    digests: bool,
    step: int | str | None,
    follow_links: bool,
    max_ram: int,
    jobs: int | None,
) -> None:
    """Add a record to the checkpoint CKPT, a directory that Orbax or migrate wrote. Arrays are not touched.

    With --model and --version: the model of the checkpoint, its version and its tree are recorded in the custom
    metadata of Orbax, by one rename of one small file. Rule files that name another model or version are then refused.

    With --digests: every leaf is decoded once, and the digests of all values are written to one small file, so that
    `migrate verify` finds any later change. Nothing is written if a leaf cannot be decoded, or differs from a digest
    that is recorded already.
    """
    from migrate import api
    from migrate.report.view import Report

    if not digests and (model, version, template) == (None, None, None):
        raise click.UsageError("Nothing to record; add --model and --version, or --digests.")
    with console.progress() as listener:
        done = api.stamp(
            ckpt,
            model=model,
            version=int(version) if version and version.isascii() and version.isdecimal() else version,
            template=template,
            digests=digests,
            step=options.chosen_step(step),
            max_ram=max_ram,
            jobs=jobs,
            follow_links=follow_links,
            listener=listener,
        )
    report = Report("stamp", summary=tuple(_summary(done, ckpt)), data=_data(done))
    console.text(report)
    console.finish([report])


def _summary(done: Stamped, ckpt: str) -> Iterator[str]:
    from migrate.report.amounts import plural

    if done.record is not None:
        yield f"Recorded: {_named(done.record)} in {done.record.file}."
    if done.file is not None:
        yield f"Recorded: digests of {plural(done.leaves, 'leaf')} in {done.file}; {done.added:,} had none before."
        yield f"`migrate verify {ckpt}` compares every value with them."


def _named(stamped: RecordStamped) -> str:
    record, before = stamped.record, stamped.before
    was = f" (was {before.model}, version {before.version})" if before and before.model else ""
    is_same = before is not None and (before.model, before.version) == (record.model, record.version)
    return f"{record.model}, version {record.version}{'' if is_same else was},"


def _data(done: Stamped) -> dict[str, Any]:
    data = {
        "file": None if done.file is None else str(done.file),
        "leaves": done.leaves,
        "added": done.added,
        "root": done.root,
    }
    if done.record is None:
        return data
    return {**data, "record_file": str(done.record.file), "record": done.record.record.to_json()}
