"""Progress of the engine on stderr: a bar on a terminal, an occasional plain line elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import IO, Protocol

from migrate.cli.encoding import fitting
from migrate.cli.phase_state import PhaseState
from migrate.cli.terminal import Color, can_redraw, uses_color
from migrate.events import Event, LeafDone, PhaseDone, PhaseStarted, ProbeRun


class Drawing(Protocol):
    """The form in which progress appears."""

    def draw(self, state: PhaseState) -> None:
        """Draws the state of the current phase."""

    def clear(self) -> None:
        """Erases what can be erased; the next state is drawn in its place."""


class PlainLines:
    """One line for each state, for files, pipes and terminals that cannot erase a line."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def draw(self, state: PhaseState) -> None:
        """Prints a line."""
        numbers = "  ".join(filter(None, state.numbers))
        line = f"  {state.name} {numbers}" if numbers else f"  {state.phase.phase} …"
        with suppress(OSError):  # a full disk under stderr stops the progress, not the run
            self._stream.write(f"{fitting(line, self._stream)}\n")
            self._stream.flush()

    def clear(self) -> None:
        """Keeps the lines."""


class Progress:
    """A listener that draws the engine's progress.

    While entered as a context manager, a thread draws at regular intervals, so that progress is visible during a large
    leaf, and a terminal that is slow or stopped does not slow the engine down.
    """

    def __init__(self, open_drawing: Callable[[], Drawing], pause: float) -> None:
        """Begins without a phase.

        Args:
          open_drawing: returns the drawing; called when there is something to draw, in the thread.
          pause: the seconds before each drawing.
        """
        self._open_drawing = open_drawing
        self._pause = pause
        self._drawing: Drawing | None = None
        self._lock = threading.Lock()
        self._state: PhaseState | None = None
        self._started = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        if self._drawing is not None:
            self._drawing.clear()

    def __call__(self, event: Event) -> None:
        """Records an event."""
        with self._lock:
            if isinstance(event, PhaseStarted):
                self._state, self._started = PhaseState(event), time.monotonic()
            elif isinstance(event, PhaseDone):
                self._state = None
            elif self._state is not None and isinstance(event, LeafDone):
                leaves, nbytes = self._state.leaves + 1, self._state.nbytes + event.nbytes
                self._state = replace(self._state, leaves=leaves, nbytes=nbytes)
            elif self._state is not None and isinstance(event, ProbeRun):
                self._state = replace(self._state, probe=event)

    def tick(self) -> None:
        """Draws the current state; between two phases, clears the drawing."""
        with self._lock:
            state, elapsed = self._state, time.monotonic() - self._started
        if state is not None:
            self._drawing = self._drawing or self._open_drawing()
            self._drawing.draw(replace(state, elapsed=elapsed))
        elif self._drawing is not None:
            self._drawing.clear()

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            self.tick()


def progress_on(stream: IO[str], color: Color) -> Progress:
    """Returns the listener that draws progress on a stream."""
    if not can_redraw(stream):
        return Progress(lambda: PlainLines(stream), pause=10.0)

    def open_bar() -> Drawing:
        from migrate.cli.progress_bar import LiveBar  # imports rich: short runs and pipes do without it

        return LiveBar(stream, color=uses_color(color, stream))

    return Progress(open_bar, pause=0.1)
