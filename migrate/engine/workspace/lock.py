"""The lock of a working directory: one run at a time, and a run that is dead keeps nobody out.

A lock names the host, the process and when the process started, because process ids are used again, soon and often in
containers.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from migrate.codes import DestinationLocked, LeftoverWorkspace
from migrate.errors import Diagnostic, RefusedError

NAME = "LOCK"
"""The file's name in the working directory."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock; `started` is the kernel's start time of the process, empty where it is not known."""

    host: str
    pid: int
    started: str


def take(folder: Path) -> Diagnostic | None:
    """Takes the lock of a working directory.

    Returns:
      A note when the lock of a dead process was taken over.

    Raises:
      RefusedError: another run holds it, or one on another host may (M509).
    """
    path = folder / NAME
    with _one_at_a_time(folder):
        holder = _read(path)
        if holder is not None and _may_live(holder):
            raise RefusedError(_held(path, holder))
        left_over = os.path.lexists(path)
        path.unlink(missing_ok=True)
        _write(path, _myself())
    if not left_over:
        return None
    who = f"process {holder.pid}, which is no longer there" if holder else "a process that died while it took it"
    return LeftoverWorkspace.at(f"the lock {path} was that of {who}; it was taken over")


def release(folder: Path) -> None:
    """Gives the lock back."""
    (folder / NAME).unlink(missing_ok=True)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Two runs on this host must not both take over the same stale lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot; then O_EXCL alone has to do
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, holder: Holder) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.write(descriptor, json.dumps(asdict(holder)).encode())
    finally:
        os.close(descriptor)


def _read(path: Path) -> Holder | None:
    """Who holds the lock; None where nobody does, or where the holder died before it could write its name."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Holder(str(found["host"]), int(found["pid"]), str(found["started"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _myself() -> Holder:
    return Holder(socket.gethostname(), os.getpid(), _started(os.getpid()))


def _may_live(holder: Holder) -> bool:
    if holder.host != socket.gethostname():
        return True
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not holder.started or holder.started == _started(holder.pid)


def _started(pid: int) -> str:
    """The start time of a process in ticks since boot; empty for one that is dead but not yet buried, and where the
    kernel does not say.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if after_name[0] in "ZX" else after_name[19]


def _held(path: Path, holder: Holder) -> Diagnostic:
    if holder.host == socket.gethostname():
        return DestinationLocked.at(
            f"another run, process {holder.pid}, is writing this: {path}",
            help=f"wait for it, or stop it with `kill -INT {holder.pid}`",
        )
    return DestinationLocked.at(
        f"process {holder.pid} on host {holder.host} holds {path}",
        help=f"wait for it; if it is dead, `rm {path}` and run the command again",
    )
