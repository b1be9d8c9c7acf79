"""Options that several commands share."""

from __future__ import annotations

import logging
import re
import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal, ParamSpec

import click

from migrate.cli import candidates
from migrate.cli.console import Console
from migrate.cli.places import CHECKPOINT, FILE
from migrate.codes import InvalidUsage
from migrate.engine.options import COMPRESSIONS, MINIMUM_RAM, is_compression
from migrate.errors import UsageError
from migrate.planning.root_steps import StepSelector, parse_selector
from migrate.rules import files

P = ParamSpec("P")
Command = Callable[..., None]

HELP = ["-h", "--help"]
"""The names of the help option."""

SETTINGS = {"help_option_names": HELP, "max_content_width": 100}
"""Click's settings for every command."""


STEP_HELP = "Step of a `CheckpointManager` root (default: latest)"


def _bundled_help() -> str:
    """Returns the bundled names as a paragraph that click does not wrap: it would break names at their hyphens."""
    names = textwrap.wrap(", ".join(files.bundled_names()), 74, break_on_hyphens=False)
    return "\n  ".join(["\b\nRULES is a file, or the name of a bundled rule file:", *names])


BUNDLED = _bundled_help()
"""The text below the help of commands that take a rule file."""


def examples(*commands: str, bundled: bool = False) -> str:
    """Returns the text below the help of a command.

    Args:
      commands: the examples.
      bundled: whether the command takes a rule file, so that the bundled ones are listed first.
    """
    shown = "\n  ".join(["\b\nExamples:", *commands])
    return f"{BUNDLED}\n\n{shown}" if bundled else shown


class StepType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """`--step` of one checkpoint: a number or `latest`."""

    name = "step"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Returns the number or the word."""
        if value == "latest":
            return str(value)
        try:
            return int(value)
        except ValueError:
            self.fail(f"`{value}` is neither a number nor `latest`", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> candidates.Candidates:
        """Offers the steps of the checkpoint."""
        del param
        return candidates.steps(ctx, incomplete, ("latest",))


class SelectorType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """`--step` of a run, which may choose several steps of a root."""

    name = "step"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> StepSelector:
        """Returns the selector.

        Raises:
          UsageError: it is none (`InvalidUsage`, `UnknownDirection`).
        """
        del param, ctx
        return value if isinstance(value, StepSelector) else parse_selector(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> candidates.Candidates:
        """Offers the steps of the root, and all of them."""
        del param
        return candidates.steps(ctx, incomplete, ("latest", "all"))


class SizeType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """A number of bytes: `512MiB`, `2GB`, `1000000`."""

    name = "size"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Returns the bytes."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", str(value).strip(), re.ASCII)
        unit = _UNITS.get(found[2].lower()) if found else None
        if found is None or unit is None:
            self.fail(f"`{value}` is not a size such as 512MiB, 2GB or 1000000 (bytes)", param, ctx)
        nbytes = int(float(found[1]) * unit)
        if nbytes < self.least:
            least = f"{self.least >> 20}MiB" if self.least >> 20 else f"{self.least} bytes"
            self.fail(f"{value} is too small; the minimum is {least}", param, ctx)
        return nbytes


_UNITS = {"": 1, "b": 1} | {
    f"{letter}{ending}": base**power
    for power, letter in enumerate("kmgt", start=1)
    for ending, base in (("b", 1000), ("ib", 1024))
}


class CompressionType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """`--compression`: `zstd:N` with a level, or `none`."""

    name = "compression"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the text if it is valid."""
        if not is_compression(value):
            self.fail(f"`{value}` is neither `none` nor {COMPRESSIONS}", param, ctx)
        return str(value)


StepChoice = int | Literal["latest"] | None
"""The step of one checkpoint, as the readers take it."""


def chosen_step(step: int | str | None) -> StepChoice:
    """Returns a `--step` of one checkpoint as a `StepChoice`."""
    return step if isinstance(step, int) or step is None else "latest"


def output(function: Command) -> Command:
    """Adds the output options to a command, which gets them as its first argument, a `Console`."""

    @wraps(function)
    def command(
        *args: Any,
        format: str,
        as_json: bool,
        report: str | None,
        quiet: bool,
        verbose: bool,
        color: Any,
        **kwargs: Any,
    ) -> None:
        _silence_libraries()
        chosen: Any = "json" if as_json else format
        function(Console(chosen, color, quiet, verbose, report), *args, **kwargs)

    for option in reversed(_OUTPUT_OPTIONS):
        command = option(command)
    return command


def _silence_libraries() -> None:
    """Hides the warnings that Orbax logs about its own storage, which users of the command cannot act on."""
    if logging.lastResort is not None:
        logging.lastResort.setLevel(logging.ERROR)


_OUTPUT_OPTIONS = (
    click.option("--json", "as_json", is_flag=True, help="Short for --format json."),
    click.option(
        "--format",
        type=click.Choice(["text", "json", "github", "html"]),
        default="text",
        help="Output format (default: text).",
    ),
    click.option("--report", type=FILE, metavar="FILE.html", help="Also write the report as HTML."),
    click.option("-q", "--quiet", is_flag=True, help="Print one line, without progress and notes."),
    click.option("-v", "--verbose", is_flag=True, help="Show complete lists."),
    click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        help="When to use color (default: auto).",
    ),
)

template = click.option(
    "--template",
    metavar="M:F|FILE",
    shell_complete=candidates.file,
    help="The target: a callable that returns the model, as `module:callable`, or a tree that `migrate template` "
    "recorded, FILE.tree.json (default: from the rule file).",
)


class ArgumentType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """`--arg`: a name and its value."""

    name = "argument"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Returns the name and the value."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not name or not equals:
            self.fail(f"`{value}` is not NAME=VALUE", param, ctx)
        return name, text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> candidates.Candidates:
        """Offers the arguments of RULES."""
        del param
        return candidates.arguments(ctx, incomplete)


arguments = click.option(
    "--arg",
    "arguments",
    type=ArgumentType(),
    multiple=True,
    metavar="NAME=VALUE",
    help="Value of an argument that RULES declares; may be given several times (default: that of RULES).",
)
config = click.option(
    "--config",
    type=CHECKPOINT,
    metavar="FILE",
    help="The model's config.json, or its folder, from which RULES take values (default: beside the tensors of SRC; "
    "with --reverse, in the folder of --files-from).",
)


class SourceType(ArgumentType):
    """`--source`: the name of a source, and its path or URL."""

    name = "source"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Returns the name and the path."""
        name, path = super().convert(value, param, ctx)
        return name, CHECKPOINT.convert(path, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> candidates.Candidates:
        """Offers files after the name."""
        return candidates.file(ctx, param, incomplete.partition("=")[2])


sources = click.option(
    "--source",
    "sources",
    type=SourceType(),
    multiple=True,
    metavar="NAME=PATH",
    help="Path of a source that RULES declares beside SRC; may be given several times (default: that of RULES).",
)
reverse = click.option(
    "--reverse",
    is_flag=True,
    help="Apply RULES backwards: SRC is a checkpoint of their target, and --template the old model (default: derived "
    "from RULES and SRC).",
)
step = click.option("--step", type=StepType(), metavar="N|latest", help=f"{STEP_HELP}.")
item = click.option("--item", metavar="NAME", shell_complete=candidates.items, help="Item of a step (default: all).")
follow_links = click.option(
    "--follow-links",
    is_flag=True,
    help="Read links that lead out of a checkpoint, as in storage that is built of links (default: refuse them).",
)


def versions(source: str) -> Callable[[Command], Command]:
    """Returns the options `--to` and `--from` of a command that takes a folder of rule files.

    Args:
      source: the argument that names the checkpoint.
    """
    start = click.option(
        "--from", "start", metavar="V", help=f"Version of {source} (default: from the record of {source})."
    )
    to = click.option("--to", metavar="V", help="Version to upgrade to (default: the newest).")
    return lambda function: to(start(function))


probe = click.option(
    "--probe",
    metavar="M:F",
    help="Compare outputs: a `module:function` that takes the old tree and the new model and yields pairs.",
)
tolerance = click.option(
    "--tolerance",
    "--atol",
    type=click.FloatRange(min=0),
    metavar="X",
    help="Largest allowed difference between the outputs of a --probe, beyond --rtol (default: 1e-5).",
)
rtol = click.option(
    "--rtol",
    type=click.FloatRange(min=0),
    metavar="X",
    help="Allowed difference relative to the old output, added to --tolerance as in `numpy.allclose` (default: 1e-5).",
)
require_proof = click.option(
    "--require-proof",
    is_flag=True,
    help="Make unproved leaves errors: those that the rule file alone assigns.",
)
allow_code = click.option(
    "--allow-code",
    is_flag=True,
    help="Run code that the rule file names, wherever it is (default: only if the rule file and the code are below "
    "the current directory).",
)
mesh = click.option(
    "--mesh", metavar="AXES", help="Device mesh of the target, such as data=-1,model=4 (default: loads on any devices)."
)
for_load = click.option(
    "--for-load", metavar="AXES", help="Also print the bytes that each device of a mesh reads in `migrate.load`."
)
ANY = "any"
"""The value of `--for` that stands for every mesh up to 16×16."""

load_meshes = click.option(
    "--for",
    "load_meshes",
    multiple=True,
    metavar="AXES",
    help="Choose chunks for loads onto a mesh, such as data=1,fsdp=128, or `any` for every mesh up to 16x16; may be "
    "given several times (default: a chunk is a shard of --mesh, or large).",
)
partition = click.option(
    "--partition",
    type=FILE,
    metavar="FILE.yaml",
    help="File that assigns leaves to mesh axes; needs a mesh.",
)


def meshes_of(chosen: Sequence[str]) -> tuple[str, ...]:
    """Returns the meshes of `--for`, none for `any`.

    Raises:
      UsageError: `any` is one of several (`InvalidUsage`).
    """
    if ANY in chosen and len(chosen) > 1:
        advice = f"leave out the other meshes, or `--for {ANY}`"
        raise UsageError(InvalidUsage.at(f"`--for {ANY}` stands for every mesh up to 16×16", help=advice))
    return tuple(text for text in chosen if text != ANY)


max_ram = click.option(
    "--max-ram",
    type=SizeType(MINIMUM_RAM),
    default="2GiB",
    help="Memory budget for array data (default: 2GiB).",
)
jobs = click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Leaves to process at a time (default: the number of CPUs)."
)

text_of = files.text_of
"""Returns the text of a rule file, for excerpts."""
