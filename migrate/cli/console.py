"""Where things are printed and in which form: the answer on stdout, all else on stderr.

Colour follows `--color`, then NO_COLOR, then FORCE_COLOR, then whether the stream is a terminal; nothing is said by
colour alone. Progress shows only to those who can use it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import click

from migrate.codes import WriteFailed
from migrate.errors import ExitCode, UsageError
from migrate.events import Event, LeafDone, Listener, PhaseDone, PhaseStarted, ignore
from migrate.report import github, html, json, text
from migrate.report.amounts import seconds, size
from migrate.report.diagnostics import Paint, draw_findings, plain
from migrate.report.view import Report

Format = Literal["text", "json", "github", "html"]
Colour = Literal["auto", "always", "never"]

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
    """How this run of the command speaks.

    Attributes:
      format: the form of the answer.
      colour: what `--color` says.
      quiet: whether notes and progress are left out.
      verbose: whether lists are complete.
      report_file: where an HTML copy of the answer goes.
    """

    format: Format = "text"
    colour: Colour = "auto"
    quiet: bool = False
    verbose: bool = False
    report_file: str | None = None

    def paint(self, stream: IO[str]) -> Paint:
        """How text for this stream is coloured."""
        return _ansi if wants_colour(self.colour, stream) else plain

    def out(self, message: str) -> None:
        """Print a part of the answer."""
        click.echo(message, nl=False, color=True)

    def error(self, message: str) -> None:
        """Print what is not the answer."""
        click.echo(message, nl=False, err=True, color=True)

    def text(self, report: Report, *, findings_are_the_answer: bool = False) -> None:
        """Print a report at once when text was asked for; findings go to stderr unless they are the answer."""
        if self.format != "text":
            return
        out, err = sys.stdout, sys.stderr
        self.out(text.draw(report, self.paint(out)))
        shown = [f for f in report.findings if f.severity != "note" or not self.quiet]
        paint = self.paint(out if findings_are_the_answer else err)
        (self.out if findings_are_the_answer else self.error)(draw_findings(shown, paint, verbose=self.verbose))

    def finish(self, reports: Sequence[Report]) -> None:
        """Print the whole answer in the forms other than text, and write the HTML copy."""
        if self.format == "json":
            self.out(json.draw(reports[0]))
        elif self.format == "github":
            self.out("".join(github.draw(report) for report in reports))
        elif self.format == "html":
            self.out(html.draw(*reports))
        if self.report_file is not None:
            _write(self.report_file, html.draw(*reports))

    @property
    def complete(self) -> bool:
        """Whether reports are built with every line."""
        return self.verbose or self.format in ("html", "github") or self.report_file is not None

    def progress(self) -> AbstractContextManager[Listener]:
        """Who watches the engine: a live line on a terminal, a plain line now and then elsewhere, or nobody."""
        if self.quiet:
            return nullcontext(ignore)
        stream = sys.stderr
        return Progress(stream, live=stream.isatty())


def _write(file: str, page: str) -> None:
    try:
        Path(file).write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(WriteFailed.at(f"cannot write the report {file}: {error.strerror}")) from error


def wants_colour(choice: Colour, stream: IO[str]) -> bool:
    """`--color` over NO_COLOR over FORCE_COLOR over what the stream is."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def _ansi(message: str, style: str) -> str:
    return f"\x1b[{_CODES[style]}m{message}\x1b[0m" if message else ""


def exit_with(code: ExitCode) -> None:
    """End the command with this code."""
    click.get_current_context().exit(int(code))


class Progress:
    """A listener that says how far the engine is: leaves, bytes, rate and the time that is left.

    A context manager: while it is entered, a thread shows the line, lest a large leaf look like a standstill.
    """

    def __init__(self, stream: IO[str], *, live: bool) -> None:
        self._stream = stream
        self._live = live
        self._pause = 0.1 if live else 10.0
        self._lock = threading.Lock()
        self._phase: PhaseStarted | None = None
        self._started = 0.0
        self._leaves = self._nbytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self._clear()

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        with self._lock:
            if isinstance(event, PhaseStarted):
                self._phase, self._started = event, time.monotonic()
                self._leaves = self._nbytes = 0
            elif isinstance(event, LeafDone):
                self._leaves += 1
                self._nbytes += event.nbytes
            elif isinstance(event, PhaseDone):
                self._phase = None
                self._clear()

    def tick(self) -> None:
        """Show where things are, if anything is being done."""
        with self._lock:
            if self._phase is None:
                return
            line = self._line(self._phase, max(time.monotonic() - self._started, 1e-9))
            self._stream.write(f"\r\x1b[2K{line}" if self._live else f"{line}\n")
            self._stream.flush()

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            self.tick()

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()

    def _line(self, phase: PhaseStarted, elapsed: float) -> str:
        """Rate and time left are those of this run: what an earlier one did cost no time now."""
        if not phase.leaves:
            return f"  {phase.phase} …"
        leaves, nbytes = phase.done_leaves + self._leaves, phase.done_nbytes + self._nbytes
        line = f"  {phase.phase:<7} {leaves:,}/{phase.leaves:,} leaves  {size(nbytes)}/{size(phase.nbytes)}"
        if not self._nbytes:
            return line
        rate = self._nbytes / elapsed
        return f"{line}  {size(rate)}/s  {seconds(max(phase.nbytes - nbytes, 0) / rate)} left"
