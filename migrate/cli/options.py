"""Options that several commands share, each written once."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec

import click

from migrate.cli.console import Console
from migrate.rules import files

P = ParamSpec("P")
Command = Callable[..., None]

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""Click's settings for every command."""


BUNDLED = f"Bundled rule files, which RULES can name: {', '.join(files.bundled_names())}."
"""Stands below the help of commands that take a rule file."""


class Step(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """`--step`: a number, `latest`, and where it makes sense `all`."""

    name = "N|latest"

    def __init__(self, *, every: bool = False) -> None:
        self.words = ("latest", "all") if every else ("latest",)
        self.name = "|".join(("N", *self.words))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number, or the word."""
        if value in self.words:
            return str(value)
        try:
            return int(value)
        except ValueError:
            self.fail(f"`{value}` is neither a number nor {' nor '.join(self.words)}", param, ctx)


class Size(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """A number of bytes: `512MiB`, `2GB`, `1000000`."""

    name = "SIZE"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The bytes."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", str(value).strip(), re.ASCII)
        unit = _UNITS.get(found[2].lower()) if found else None
        if found is None or unit is None:
            self.fail(f"`{value}` is not a size; write it as 512MiB, 2GB or in bytes", param, ctx)
        nbytes = int(float(found[1]) * unit)
        if nbytes < self.least:
            self.fail(f"{value} is too little; give at least {self.least >> 20}MiB", param, ctx)
        return nbytes


_UNITS = {"": 1, "b": 1} | {
    f"{letter}{ending}": base**power
    for power, letter in enumerate("kmgt", start=1)
    for ending, base in (("b", 1000), ("ib", 1024))
}


class Compression(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """`--compression`: `zstd:N` with a level, or `none`."""

    name = "zstd:N|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text itself, once it is known to make sense."""
        found = re.fullmatch(r"zstd:(\d{1,2})", value, re.ASCII)
        if value != "none" and not (found and 1 <= int(found[1]) <= 22):
            self.fail(f"`{value}` is neither `none` nor `zstd:N` with N from 1 to 22", param, ctx)
        return str(value)


StepChoice = int | Literal["latest"] | None
"""A step of one checkpoint, as the readers want it."""


def chosen_step(step: int | str | None) -> StepChoice:
    """A `--step` of one checkpoint as the readers want it."""
    return step if isinstance(step, int) or step is None else "latest"


def speaking(function: Command) -> Command:
    """Give a command the options that say how it speaks; it gets them as one `Console`, its first argument."""

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
        _hush_libraries()
        chosen: Any = "json" if as_json else format
        function(Console(chosen, color, quiet, verbose, report), *args, **kwargs)

    for option in reversed(_SPEAKING):
        command = option(command)
    return command


def _hush_libraries() -> None:
    """Orbax logs warnings about its own ways of saving; whoever runs a command can do nothing about them."""
    if logging.lastResort is not None:
        logging.lastResort.setLevel(logging.ERROR)


_SPEAKING = (
    click.option("--json", "as_json", is_flag=True, help="The same as --format json."),
    click.option(
        "--format", type=click.Choice(["text", "json", "github", "html"]), default="text", help="Form of the answer."
    ),
    click.option(
        "--report", type=click.Path(dir_okay=False), metavar="FILE.html", help="Also write the answer as HTML."
    ),
    click.option("-q", "--quiet", is_flag=True, help="No progress and no notes."),
    click.option("-v", "--verbose", is_flag=True, help="Complete lists."),
    click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="When to use colour."),
)

template = click.option(
    "--template", metavar="M:F", help="The target: a callable that returns the model, as `module:callable`."
)
step = click.option("--step", type=Step(), help="Which step of a root; the latest by default.")
item = click.option("--item", metavar="NAME", help="Which item of a step; all by default.")
probe = click.option(
    "--probe", metavar="M:F", help="Compare outputs: a function of the old tree and the new model that gives pairs."
)
tolerance = click.option(
    "--tolerance", type=click.FloatRange(min=0), default=1e-5, help="How far outputs may be apart; 1e-5 without it."
)
require_proof = click.option(
    "--require-proof", is_flag=True, help="Leaves that only the rule file assigns are errors; see --probe."
)
mesh = click.option(
    "--mesh", metavar="AXES", help="The target's mesh, such as data=-1,model=4; any devices by default."
)
partition = click.option(
    "--partition", type=click.Path(dir_okay=False), metavar="FILE.yaml", help="Which leaves are split over which axes."
)

text_of = files.text_of
"""Texts of rule files, for excerpts."""
