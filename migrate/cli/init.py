"""`migrate init`: writes a template and a first rule file from a checkpoint."""

from __future__ import annotations

import itertools
import keyword
import os
from shlex import join, quote
from typing import TYPE_CHECKING

import click

from migrate.cli import options, rule_output
from migrate.cli.arguments import refuse_rule_file
from migrate.cli.console import Console, exit_with
from migrate.cli.places import CHECKPOINT, PLACE
from migrate.places.names import bucket_path

if TYPE_CHECKING:
    from migrate.report.of_starter import NextCommands

TEMPLATE = "template.py"
RULES = "rules.yaml"


@click.command(
    "init",
    short_help="Write a template and a first rule file for a checkpoint.",
    epilog=options.examples("migrate init old/", "migrate init root/ migrations/ --step 1000 --model lm"),
    context_settings=options.SETTINGS,
)
@click.argument("src", type=CHECKPOINT)
@click.argument("folder", type=PLACE, metavar="[DIR]", default=".")
@click.option("--model", metavar="NAME", help="Name of the model (default: from the record of SRC).")
@click.option("--overwrite", is_flag=True, help=f"Replace {TEMPLATE} and {RULES} if they exist.")
@options.step
@options.item
@options.follow_links
@options.output
def command(
    console: Console,
    src: str,
    folder: str,
    model: str | None,
    overwrite: bool,
    step: int | str | None,
    item: str | None,
    follow_links: bool,
) -> None:
    """Write template.py and rules.yaml for the checkpoint SRC to the folder DIR (default: the current directory).

    The template returns the tree of SRC, so that the plan of the rule file can be applied at once and keeps every leaf.
    Return the new model from it, and `migrate suggest` drafts the rules. Only metadata of SRC is read. Exit
    code 1 means that the rule file needs edits before its plan can be applied.
    """
    from migrate import api
    from migrate.planning.starter import start
    from migrate.report.of_starter import starter_report
    from migrate.template.stub import FUNCTION

    refuse_rule_file(src)
    files = [os.path.join("" if folder == "." else folder, name) for name in (TEMPLATE, RULES)]
    for name in files:
        rule_output.refuse_existing(name, overwrite=overwrite)
    module = _module(folder)
    spec = f"{module or _MODULE}:{FUNCTION}"
    with api.open_checkpoint(src, options.chosen_step(step), item, follow_links=follow_links) as source:
        source.require_complete()
        made = start(source.abstract, spec, model=model)
    rule_output.make_folder(folder)
    rule_output.write_all(dict(zip(files, (made.template, made.rules), strict=True)))
    chosen = [] if step is None else ["--step", str(step)]
    chosen += [] if item is None else ["--item", item]
    chosen += ["--follow-links"] if follow_links else []
    where = None if module else folder
    report = starter_report(made, files, _commands(src, where, files[1], spec, chosen))
    console.text(report)
    console.finish([report])
    exit_with(report.exit_code)


_MODULE = TEMPLATE.removesuffix(".py")


def _module(folder: str) -> str | None:
    """Returns the name under which the current directory has the template; None if it can only be imported inside DIR.

    Python would prefer an installed package to a folder of the same name.
    """
    from migrate.template.module_files import NoSuchModuleError, is_module_below_here

    names = os.path.relpath(os.path.realpath(folder), os.path.realpath(os.curdir)).split(os.sep)
    names = [] if names == [os.curdir] else names
    if not all(name.isidentifier() and not keyword.iskeyword(name) for name in names):
        return None
    try:
        if names and not is_module_below_here(names[0]):
            return None
    except NoSuchModuleError:
        pass
    return ".".join([*names, _MODULE])


def _commands(src: str, folder: str | None, rules: str, spec: str, chosen: list[str]) -> NextCommands:
    """Returns the commands to run next: in the folder, if its template can only be imported there."""
    from migrate.report.of_starter import NextCommands

    start = ""
    if folder is not None:
        start, rules = f"cd {quote(folder)} && ", RULES
        src = src if bucket_path(src) else os.path.abspath(src)
    names = itertools.chain(["new"], map("new{}".format, itertools.count(2)))
    new = next(name for name in names if not os.path.lexists(os.path.join(folder or "", name)))
    plan = join(["migrate", "apply", rules, src, new, *chosen, "--dry-run"])
    suggest = join(["migrate", "suggest", src, *chosen, "--template", spec, "-o", rules, "--overwrite"])
    return NextCommands(start + plan, start + suggest)
