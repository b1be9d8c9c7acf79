"""Ctrl-C: the first stops the engine once the leaves in flight are finished, the second aborts."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Any

from migrate.errors import ExitCode


def never() -> bool:
    """Returns false: the run cannot be stopped."""
    return False


class Stopping:
    """A context manager that handles Ctrl-C; calling it returns whether the engine should stop.

    Only for commands: signal handlers belong to the process and its main thread.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __call__(self) -> bool:
        """Returns whether Ctrl-C was pressed."""
        return self._asked

    def __enter__(self) -> Stopping:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._asked:
            _print("Aborted. Run the same command to resume.")
            # An exception would wait for the writing threads; they leave the same state as a kill.
            os._exit(ExitCode.INTERRUPTED)
        self._asked = True
        _print("Stopping when the leaves in flight are done. Ctrl-C again aborts at once.")


def _print(sentence: str) -> None:
    """Writes past Python's own buffers, which a signal may interrupt half-filled."""
    clear = "\r\x1b[2K" if os.isatty(2) and os.environ.get("TERM") != "dumb" else ""
    os.write(2, f"{clear}{sentence}\n".encode())
