"""`migrate new`: the next rule file of a folder, as a draft, with the recorded tree of the new version."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

import click

from migrate.cli import candidates, options, rule_output
from migrate.cli.console import Console, exit_with
from migrate.cli.places import CHECKPOINT, PLACE


@click.command(
    "new",
    short_help="Draft the rule file of the next version.",
    epilog=options.examples(
        'migrate new rules/ --template my_model:make_state -m "wider head"',
        "migrate new rules/ --from old/ --template my_model:make_state --model lm",
    ),
    context_settings=options.SETTINGS,
)
@click.argument("folder", type=PLACE, metavar="RULES")
@click.option(
    "--from",
    "src",
    type=CHECKPOINT,
    metavar="SRC",
    help="Checkpoint of the newest version (default: its recorded tree, V.tree.json).",
)
@click.option(
    "--template",
    metavar="M:F|FILE",
    shell_complete=candidates.file,
    required=True,
    help="The new version: a callable that returns the model, as `module:callable`, or its recorded tree, "
    "FILE.tree.json.",
)
@click.option("-m", "--message", metavar="TEXT", default="", help="What changes; a part of the file's name.")
@click.option("--model", metavar="NAME", help="Name of the model (default: from the record of SRC, or the rule files).")
@click.option("--to", metavar="V", help="The new version (default: the number after the newest).")
@options.probe
@options.step
@options.item
@options.follow_links
@options.output
def command(
    console: Console,
    folder: str,
    src: str | None,
    template: str,
    message: str,
    model: str | None,
    to: str | None,
    probe: str | None,
    step: int | str | None,
    item: str | None,
    follow_links: bool,
) -> None:
    """Draft the rule file from the newest version to a model, and add it to the folder RULES. Nothing is applied.

    The file is numbered, and its `source:` and `target:` name model, version and structure. The trees of both versions
    are recorded beside it, unless they are already. With --probe, the outputs of both models settle what names and
    shapes leave open, and the file names the probe. Exit code 1 means that the draft needs edits before its plan can be
    applied.
    """
    from migrate import api
    from migrate.report.of_suggestion import suggestion_report
    from migrate.rules.recorded_tree import SUFFIX

    with ExitStack() as stack:
        chosen = options.chosen_step(step)
        opened = src and api.open_checkpoint(src, chosen, item, follow_links=follow_links, template=template)
        checkpoint = stack.enter_context(opened) if opened else None
        with console.progress() as listener:
            how: dict[str, Any] = {"message": message, "model": model, "to": to, "probe": probe, "listener": listener}
            made = api.new_version(folder, template, checkpoint, **how)
    files = {str(Path(folder, made.name)): made.text}
    files |= {str(Path(folder, name)): text for name, text in made.trees.items()}
    for name in files:
        rule_output.refuse_existing(name, overwrite=False)
    rule_output.make_folder(folder)
    rule_output.write_all(files)
    path, *trees = files
    source = src or str(Path(folder, f"{made.release.before}{SUFFIX}"))
    check = f"migrate check {quote(folder)} --write"
    report = suggestion_report(made.suggestion, source, path, takes_probe=False, check=check)
    wrote = f"Wrote {path} (version {made.release.before} to {made.release.after}) and {', '.join(trees)}."
    report = replace(
        report, command="new", summary=(wrote, *report.summary), data={**report.data, "files": list(files)}
    )
    console.text(report)
    console.finish([report])
    exit_with(report.exit_code)
