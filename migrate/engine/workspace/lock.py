"""The lock of a working directory: one run at a time; the lock of a dead process is replaced.

A lock records the host, the process and the start time of the process: process ids are reused, in containers soon and
often.
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
    """The holder of a lock; `started` is the kernel's start time of the process, empty where unknown."""

    host: str
    pid: int
    started: str


def take(folder: Path) -> Diagnostic | None:
    """Takes the lock of a working directory.

    Returns:
      A note where the lock of a dead process was replaced.

    Raises:
      RefusedError: another run holds it, or may hold it on another host (`DestinationLocked`).
    """
    path = folder / NAME
    with _one_at_a_time(folder):
        holder = _read(path)
        if holder is not None and may_live(holder):
            raise RefusedError(_held(path, holder))
        left_over = os.path.lexists(path)
        path.unlink(missing_ok=True)
        _write(path, myself())
    if not left_over:
        return None
    owner = f"process {holder.pid}, which has ended" if holder else "a process that ended while it took the lock"
    return LeftoverWorkspace.at(f"the lock `{path}` was held by {owner}; this run replaced it")


def refuse_held(folder: Path) -> None:
    """Refuses a working directory that a run holds, for a process that needs no lock itself.

    Raises:
      RefusedError: another run holds it, or may hold it on another host (`DestinationLocked`).
    """
    holder = _read(folder / NAME)
    if holder is not None and may_live(holder):
        raise RefusedError(_held(folder / NAME, holder))


def release(folder: Path) -> None:
    """Releases the lock."""
    (folder / NAME).unlink(missing_ok=True)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Keeps two runs on this host from replacing the same stale lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no flock; then O_EXCL alone protects the lock
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
    """Returns the holder; None without a lock, or where the holder ended before it wrote its record."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Holder(str(found["host"]), int(found["pid"]), str(found["started"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def myself() -> Holder:
    """Returns this process."""
    return Holder(socket.gethostname(), os.getpid(), _started(os.getpid()))


def may_live(holder: Holder) -> bool:
    """Returns whether a process may be running; true for one on another host, which cannot be checked from here."""
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
    """Returns the start time of a process in ticks since boot; empty for a zombie, and where it is unknown."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if after_name[0] in "ZX" else after_name[19]


def _held(path: Path, holder: Holder) -> Diagnostic:
    if holder.host == socket.gethostname():
        return DestinationLocked.at(
            f"another run, process {holder.pid}, is writing this: `{path}`",
            help=f"wait for it, or stop it with `kill -INT {holder.pid}`",
        )
    return DestinationLocked.at(
        f"process {holder.pid} on host {holder.host} holds `{path}`",
        help=f"wait for it; if it has ended, `rm {path}` and run the command again",
    )
