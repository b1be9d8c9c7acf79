"""Output of commands that write rule files or plan files: stdout, or a file that is replaced only on request."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrate.cli.places import FILE
from migrate.codes import DestinationExists, WriteFailed
from migrate.errors import UsageError
from migrate.text_files import write_text, write_texts

if TYPE_CHECKING:
    from migrate.cli.console import Console
    from migrate.report.view import Report


output = click.option(
    "-o", "--output", type=FILE, metavar="FILE", help="Write the rule file to FILE (default: stdout)."
)
dry_run_output = click.option(
    "-o", "--output", type=FILE, metavar="FILE", help="With --dry-run: write the plan file to FILE."
)
plan_output = click.option(
    "-o", "--output", type=FILE, metavar="FILE", help="Write the plan file to FILE (default: stdout)."
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")


def refuse_existing(output: str | None, *, overwrite: bool) -> None:
    """Refuses a file that exists.

    Raises:
      UsageError: it exists, and `overwrite` is false.
    """
    if output is not None and not overwrite and os.path.lexists(output):
        raise UsageError(
            DestinationExists.at(f"`{output}` exists", help="`--overwrite` replaces it, edits made by hand included")
        )


def show(console: Console, report: Report, text: str, output: str | None) -> None:
    """Writes a rule file or a plan file and shows the report about it.

    With the file on stdout, the report goes to stderr.

    Raises:
      UsageError: the file cannot be written.
    """
    from migrate.cli.terminal import layout_of
    from migrate.report import text as drawing

    if output is not None:
        write(output, text)
    if console.format != "text" or output is not None:
        console.text(report)
    else:
        console.out(text)
        if not console.quiet:
            console.error(drawing.draw(report, layout=layout_of(sys.stderr)))
    console.finish([report])


def make_folder(folder: str) -> None:
    """Creates a folder and its parents, unless they exist.

    Raises:
      UsageError: it cannot be created (`WriteFailed`).
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(WriteFailed.at(f"cannot create {folder}: {error.strerror}")) from error


def write_all(files: Mapping[str, str]) -> None:
    """Writes several files, or none if the content of one cannot be written.

    Raises:
      UsageError: one of them cannot be written (`WriteFailed`).
    """
    try:
        write_texts(files)
    except OSError as error:
        names = " and ".join(f"`{name}`" for name in files)
        raise UsageError(WriteFailed.at(f"cannot write {names}: {error.strerror}")) from error


def write(output: str, text: str) -> None:
    """Writes a file.

    Raises:
      UsageError: it cannot be written (`WriteFailed`).
    """
    try:
        write_text(output, text)
    except OSError as error:
        raise UsageError(WriteFailed.at(f"cannot write `{output}`: {error.strerror}")) from error
