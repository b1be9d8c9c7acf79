"""Output of the command line: the report on stdout, everything else on stderr, in the chosen format.

Color follows `--color`, then NO_COLOR, then FORCE_COLOR, then whether the stream is a terminal; color is never the
only carrier of information. Progress is a live line on a terminal and an occasional plain line elsewhere.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import IO, Literal

import click

from migrate.cli.encoding import Escape, fitting
from migrate.codes import WriteFailed
from migrate.errors import ExitCode, UsageError
from migrate.events import Event, LeafDone, Listener, PhaseDone, PhaseStarted, ProbeRun, ignore
from migrate.report import github, html, json, text
from migrate.report.amounts import seconds, size
from migrate.report.diagnostics import Paint, draw_findings, plain
from migrate.report.layout import NARROWEST, UNBOUNDED, WIDE, WIDEST, Layout
from migrate.report.view import Report
from migrate.text_files import write_text

Format = Literal["text", "json", "github", "html"]
Color = Literal["auto", "always", "never"]

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
        stream = sys.stderr
        return Progress(stream, live=stream.isatty())


def _write(file: str, page: str) -> None:
    try:
        write_text(file, page)
    except OSError as error:
        raise UsageError(WriteFailed.at(f"cannot write the report `{file}`: {error.strerror}")) from error


def uses_color(choice: Color, stream: IO[str]) -> bool:
    """Decides on color: `--color`, then NO_COLOR, then FORCE_COLOR, then whether the stream is a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def layout_of(stream: IO[str]) -> Layout:
    """Returns the layout for a stream: the width of a terminal, within limits, or that of a pipe."""
    if not stream.isatty():
        return WIDE
    return Layout(min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST), continued=True)


def _ansi(message: str, style: str) -> str:
    return f"\x1b[{_CODES[style]}m{message}\x1b[0m" if message else ""


def exit_with(code: ExitCode) -> None:
    """Ends the command with this exit code."""
    click.get_current_context().exit(int(code))


class Progress:
    """A listener that prints the engine's progress: leaves, bytes, rate and remaining time.

    While entered as a context manager, a thread refreshes the line, so that progress is visible during a large leaf.
    """

    def __init__(self, stream: IO[str], *, live: bool) -> None:
        self._stream = stream
        self._live = live
        self._pause = 0.1 if live else 10.0
        self._lock = threading.Lock()
        self._phase: PhaseStarted | None = None
        self._started = 0.0
        self._leaves = self._nbytes = 0
        self._run_of_probe: ProbeRun | None = None
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
        """Records an event."""
        with self._lock:
            if isinstance(event, PhaseStarted):
                self._phase, self._started = event, time.monotonic()
                self._leaves = self._nbytes = 0
            elif isinstance(event, LeafDone):
                self._leaves += 1
                self._nbytes += event.nbytes
            elif isinstance(event, ProbeRun):
                self._run_of_probe = event
            elif isinstance(event, PhaseDone):
                self._phase = None
                self._clear()

    def tick(self) -> None:
        """Prints the current state, if a phase is running."""
        with self._lock:
            if self._phase is None:
                return
            line = self._line(self._phase, max(time.monotonic() - self._started, 1e-9))
            line = fitting(line, self._stream)
            with suppress(OSError):  # a full disk under stderr stops the progress, not the run
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
        """Returns the line; its rate and remaining time leave out leaves that an earlier run staged."""
        if phase.phase == "probe" and self._run_of_probe:
            return f"  probe   {self._run_of_probe.run:,} of at most {self._run_of_probe.budget:,} runs"
        if not phase.leaves:
            return f"  {phase.phase} …"
        leaves, nbytes = phase.done_leaves + self._leaves, phase.done_nbytes + self._nbytes
        line = f"  {phase.phase:<7} {leaves:,}/{phase.leaves:,} leaves  {size(nbytes)}/{size(phase.nbytes)}"
        if not self._nbytes:
            return line
        rate = self._nbytes / elapsed
        return f"{line}  {size(rate)}/s  {seconds(max(phase.nbytes - nbytes, 0) / rate)} left"
