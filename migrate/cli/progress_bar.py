"""The progress of a phase as one line on a terminal, drawn with rich. Only a live bar imports this module."""

from __future__ import annotations

from typing import IO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from migrate.cli.phase_state import PhaseState, whole_seconds
from migrate.cli.terminal import width_of
from migrate.report.amounts import size

_NARROWEST_BAR, _WIDEST_BAR = 8, 40
_SIZE, _RATE, _LEFT = len("1023 KiB"), len("1023 KiB/s"), len("59 s left")


class _Terminal(Console):
    """A terminal whose cursor stays visible: no signal handler could show it again after SIGKILL."""

    def show_cursor(self, show: bool = True) -> bool:
        """Leaves the cursor alone."""
        del show
        return False


class LiveBar:
    """A line that is drawn again in its place: phase, bar, leaves, bytes, rate and remaining time.

    It stays a single line, so that Ctrl-C and libraries can print between two drawings without loss.
    """

    def __init__(self, stream: IO[str], *, color: bool) -> None:
        self._stream = stream
        self._console = _Terminal(
            file=stream,
            force_terminal=True,
            force_interactive=True,
            force_jupyter=False,
            color_system="auto" if color else None,
            no_color=not color,
        )
        self._live: Live | None = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )

    def draw(self, state: PhaseState) -> None:
        """Draws the line; a terminal that fails gets no further line."""
        if self._live is None:
            return
        self._console.size = (width_of(self._stream) - 1, 1)  # the last column would make some terminals wrap
        try:
            self._live.start()
            self._live.update(self._line(state), refresh=True)
        except OSError:
            self._live = None

    def clear(self) -> None:
        """Erases the line."""
        try:
            if self._live is not None:
                self._live.stop()
        except OSError:
            self._live = None

    def _line(self, state: PhaseState) -> Table:
        name = f"  {state.name}"
        bar, numbers = _fit(self._console.width - len(name), state)
        line = Table.grid(padding=(0, 2, 0, 0))
        cells: list[Text | ProgressBar] = [Text(name)]
        if bar:
            share = state.share
            cells.append(
                ProgressBar(
                    total=1.0,
                    completed=share or 0.0,
                    pulse=share is None,
                    width=bar,
                    style="bright_black",
                    complete_style="cyan",
                    finished_style="green",
                    pulse_style="cyan",
                )
            )
        line.add_row(*cells, Text(numbers, no_wrap=True, overflow="ellipsis"))
        return line


def _fit(width: int, state: PhaseState) -> tuple[int, str]:
    """Returns the columns of the bar, 0 for none, and the numbers beside it: what fits into that width.

    On a narrow terminal, the numbers of leaves give way first, then the rate, the bar and the bytes.
    """
    leaves, nbytes, rate, left = _columns(state)
    for shown in ((leaves, nbytes, rate, left), (nbytes, rate, left), (nbytes, left)):
        numbers = "  ".join(filter(None, shown))
        if (bar := width - len(numbers) - 4) >= _NARROWEST_BAR:
            return min(bar, _WIDEST_BAR), numbers
    return 0, numbers if len(numbers) + 2 <= width else left or nbytes


def _columns(state: PhaseState) -> tuple[str, str, str, str]:
    """Returns the numbers, padded so that they keep their places while they grow; at first with the elapsed time."""
    leaves, nbytes, rate, left = state.numbers
    left = left or whole_seconds(state.elapsed)
    if not state.phase.leaves:
        return "", nbytes, "", left
    return (
        leaves.rjust(2 * len(f"{state.phase.leaves:,}") + len("/ leaves")),
        nbytes.rjust(_SIZE + 1 + len(size(state.phase.nbytes))),
        rate.rjust(_RATE),
        left.ljust(_LEFT),
    )
