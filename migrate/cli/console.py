"""Output of the command line: the report on stdout, everything else on stderr, in the chosen format.

Color is never the only carrier of information.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import IO, Literal

import click

from migrate.cli.encoding import Escape, fitting
from migrate.cli.progress import progress_on
from migrate.cli.terminal import Color, layout_of, uses_color
from migrate.codes import WriteFailed
from migrate.errors import ExitCode, UsageError
from migrate.events import Listener, ignore
from migrate.report import github, html, json, text
from migrate.report.diagnostics import Paint, draw_findings, plain
from migrate.report.layout import UNBOUNDED
from migrate.report.view import Report
from migrate.text_files import write_text

Format = Literal["text", "json", "github", "html"]

_CODES = {
    "error": "1;31",
    "warning": "1;33",
    "note": "1;36",
    "good": "32",
    "new": "32",
    "gone": "31",
    "changed": "33",
    "strong": "1",
    "faint": "2",
}


@dataclass(frozen=True)
class Console:
    """The output options of one run of the command.

    Attributes:
      format: the output format.
      color: the value of `--color`.
      quiet: whether a report is one line, and notes and progress are omitted.
      verbose: whether lists are complete.
      report_file: the file for an HTML copy of the report.
    """

    format: Format = "text"
    color: Color = "auto"
    quiet: bool = False
    verbose: bool = False
    report_file: str | None = None

    def paint(self, stream: IO[str]) -> Paint:
        """Returns the paint for text on this stream."""
        return _ansi if uses_color(self.color, stream) else plain

    def out(self, message: str, escape: Escape = "text") -> None:
        """Prints a part of the report to stdout; `escape` is the format of the message."""
        click.echo(fitting(message, sys.stdout, escape), nl=False, color=True)

    def error(self, message: str) -> None:
        """Prints to stderr."""
        click.echo(fitting(message, sys.stderr), nl=False, err=True, color=True)

    def text(self, report: Report, *, findings_to_stdout: bool = False) -> None:
        """Prints a report immediately if the format is text; findings go to stderr by default."""
        if self.format != "text":
            return
        out, err = sys.stdout, sys.stderr
        self.out(text.draw_briefly(report) if self.quiet else text.draw(report, self.paint(out), layout_of(out)))
        shown = [f for f in report.findings if f.severity != "note" or not self.quiet]
        paint = self.paint(out if findings_to_stdout else err)
        stream = out if findings_to_stdout else err
        layout = layout_of(stream) if stream.isatty() else UNBOUNDED  # logs are searched for whole messages
        drawn = draw_findings(shown, paint, verbose=self.verbose, layout=layout)
        (self.out if findings_to_stdout else self.error)(drawn)

    def finish(self, reports: Sequence[Report]) -> None:
        """Prints all reports in a format other than text, and writes the HTML copy."""
        if self.format == "json":
            self.out(json.draw(reports[0]), "json")
        elif self.format == "github":
            self.out("".join(github.draw(report) for report in reports))
        elif self.format == "html":
            self.out(html.draw(*reports), "html")
        if self.report_file is not None:
            _write(self.report_file, html.draw(*reports))

    @property
    def complete(self) -> bool:
        """Whether reports contain every line."""
        return self.verbose or self.format in ("html", "github") or self.report_file is not None

    def progress(self) -> AbstractContextManager[Listener]:
        """Returns the engine's listener: progress on stderr, or none if quiet."""
        if self.quiet:
            return nullcontext(ignore)
        return progress_on(sys.stderr, self.color)


def _write(file: str, page: str) -> None:
    try:
        write_text(file, page)
    except OSError as error:
        raise UsageError(WriteFailed.at(f"cannot write the report `{file}`: {error.strerror}")) from error


def _ansi(message: str, style: str) -> str:
    return f"\x1b[{_CODES[style]}m{message}\x1b[0m" if message else ""


def exit_with(code: ExitCode) -> None:
    """Ends the command with this exit code."""
    click.get_current_context().exit(int(code))
