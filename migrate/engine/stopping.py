"""Ctrl-C, in two strengths: the first asks the engine to stop when the leaves in flight are done, the second aborts."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Any

from migrate.errors import ExitCode


def never() -> bool:
    """For those who cannot be stopped."""
    return False


class Stopping:
    """A context manager that listens to Ctrl-C; called, it says whether the engine is to stop.

    Only a command may use it, since signals belong to the process and its main thread.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __call__(self) -> bool:
        """Whether Ctrl-C was pressed."""
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
            _say("Aborted. Run the same command to go on.")
            # An exception would wait for the threads that write; what they leave behind is what a kill leaves.
            os._exit(ExitCode.INTERRUPTED)
        self._asked = True
        _say("Stopping when the leaves in flight are done. Ctrl-C again aborts at once.")


def _say(sentence: str) -> None:
    """Past Python's own buffers, which a signal may have found half filled."""
    clear = "\r\x1b[2K" if os.isatty(2) else ""
    os.write(2, f"{clear}{sentence}\n".encode())
