"""Commands on pseudo-terminals."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

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
record = progress.Progress.__call__
signals = [getattr(signal, name) for name in os.environ.get("SIGNALS", "").split()]
staged = []


def record_slowly(self, event):
    record(self, event)
    if isinstance(event, LeafDone) and event.phase == "stage":
        time.sleep(0.25)
        staged.append(event)
        for number in signals if len(staged) == 2 else ():
            os.kill(os.getpid(), number)
            time.sleep(0.25)


progress.Progress.__call__ = record_slowly
main()
"""
"""The command, which takes 0.25 seconds for each leaf, and sends itself the signals in SIGNALS after the second."""


@dataclass(frozen=True)
class Shown:
    """What a command printed on a terminal, with all control codes, and its exit code."""

    text: str
    code: int

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
        shown = b""
        with suppress(OSError):  # the end of a terminal
            while part := os.read(control, 1 << 16):
                shown += part
        code = process.wait()
    return Shown(shown.decode(errors="replace").replace("\r\n", "\n"), code)
