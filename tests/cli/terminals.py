"""Commands on pseudo-terminals, in processes of their own or in this one."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from migrate.cli.main import migrate

CHECKOUT = str(Path(__file__).parents[2])

SLOW = """
import os, signal, sys, time
from migrate.cli import progress
from migrate.cli.main import main
from migrate.engine.outputs import orbax_store as staging
from migrate.engine.streaming import pipeline
from migrate.events import LeafDone

staging.BATCH_ARRAYS = pipeline.GROUP_PIECES = 1  # each array is durable before the next
staging._COMMITTERS = staging._MOST_COMMITTING = 1
record, tick = progress.Progress.__call__, progress.Progress.tick
signals = [getattr(signal, name) for name in os.environ.get("SIGNALS", "").split()]
staged, drawn = [], []


def tick_and_count(self):
    tick(self)
    drawn.append(self)


def wait_for_a_drawing(seen):
    until = time.monotonic() + 60
    while len(drawn) <= seen and time.monotonic() < until:
        time.sleep(0.01)


def record_slowly(self, event):
    record(self, event)
    if isinstance(event, LeafDone) and event.phase == "stage":
        if self._pause < 1:
            wait_for_a_drawing(len(drawn))
        staged.append(event)
        for number in signals if len(staged) == 2 else ():
            os.kill(os.getpid(), number)
            time.sleep(0.25)


progress.Progress.__call__, progress.Progress.tick = record_slowly, tick_and_count
main()
"""
"""The command, which draws on a terminal after each leaf, and sends itself the signals in SIGNALS after the second."""


@dataclass(frozen=True)
class Shown:
    """What a command printed on a terminal, with all control codes, and its exit code."""

    text: str
    code: int

    @classmethod
    def of(cls, parts, code):
        """The text of the bytes that a terminal got."""
        return cls(b"".join(parts).decode(errors="replace").replace("\r\n", "\n"), code)

    @property
    def kept(self):
        """The text that is still there at the end."""
        return self.text.rpartition("\x1b[2K")[2]


def environment(**changes):
    """This process's environment without what decides on width and color, and with these changes."""
    removed = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING")
    kept = {name: value for name, value in os.environ.items() if name not in removed}
    return {**kept, "TERM": "xterm", "PYTHONPATH": CHECKOUT, "JAX_PLATFORMS": "cpu", **changes}


@contextmanager
def terminal_of(columns):
    """Yields both ends of a pseudo-terminal: the one to read from, and the terminal."""
    control, terminal = pty.openpty()
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        yield control, terminal
    finally:
        for end in (control, terminal):
            with suppress(OSError):
                os.close(end)


def on_terminal(columns, *arguments, slow=False, **changes):
    """Runs a command on a terminal of that width, with changes of the environment."""
    program = ["-c", SLOW] if slow else ["-m", "migrate"]
    with terminal_of(columns) as (control, terminal):
        streams = {"stdout": terminal, "stderr": terminal, "stdin": terminal}
        process = subprocess.Popen([sys.executable, *program, *arguments], **streams, env=environment(**changes))
        os.close(terminal)
        shown = []
        _read(control, shown)
        code = process.wait()
    return Shown.of(shown, code)


def on_terminal_here(columns, *arguments, **changes):
    """Runs a command in this process with a terminal of that width as stdout and stderr."""
    shown, code = [], 0
    with terminal_of(columns) as (control, terminal):
        reader = threading.Thread(target=_read, args=(control, shown))
        reader.start()
        with (
            patch.dict(os.environ, environment(**changes), clear=True),
            open(terminal, "w", encoding="utf-8") as stream,
            redirect_stdout(stream),
            redirect_stderr(stream),
        ):
            try:
                migrate([*arguments])
            except SystemExit as ended:
                code = ended.code or 0
        reader.join()
    return Shown.of(shown, code)


def _read(control, shown):
    """Reads a terminal to its end."""
    with suppress(OSError):
        while part := os.read(control, 1 << 16):
            shown.append(part)
