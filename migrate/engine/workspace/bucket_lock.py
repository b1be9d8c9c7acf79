"""The lock of a working directory in a bucket: an object that its holder renews.

Clocks of two machines are not compared. A run that finds the lock watches its generation: if it does not change for as
long as `LEASE_SECONDS`, the holder is gone, and the lock is taken over, by a write that succeeds only on the generation
that was watched. A dead process of this machine is known at once.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from migrate.codes import DestinationLocked, LeftoverWorkspace, LostLock
from migrate.engine.workspace.lock import Holder, may_live, myself
from migrate.errors import CheckpointError, Diagnostic, RefusedError, StoppedError
from migrate.places.objects import NONE
from migrate.places.writable_path import WritableBucketPath

NAME = "LOCK"
"""The object's name in the working directory."""

LEASE_SECONDS = 60.0
"""A lock that is not renewed for so long may be taken over."""

RENEW_SECONDS = 10.0
"""How often a lock is renewed."""

_WATCH_SECONDS = 1.0


class BucketLock:
    """A lock that this run holds; a thread renews it."""

    def __init__(self, place: WritableBucketPath, generation: bytes, token: str, note: Diagnostic | None) -> None:
        self._place = place
        self._token = token
        self._generation = generation
        self._mine = threading.Lock()
        self._released = threading.Event()
        self._lost = False
        self.note = note
        """A note where the lock of another run was taken over."""
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def require(self) -> None:
        """Renews the lock now.

        Raises:
          StoppedError: another run took it (`LostLock`).
          CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
        """
        self._renew_once()
        if self._lost:
            message = f"another run took over the lock `{self._place}`; nothing was published"
            raise StoppedError(LostLock.at(message, help="wait for that run, then run the same command again"))

    def release(self) -> None:
        """Deletes the lock, unless another run took it."""
        self._released.set()
        self._thread.join()
        if not self._lost:
            self._place.exchange(None, self._generation)

    def _renew(self) -> None:
        while not self._released.wait(RENEW_SECONDS) and not self._lost:
            try:
                self._renew_once()
            except CheckpointError:  # the next attempt may succeed, and `require` reports it otherwise
                continue

    def _renew_once(self) -> None:
        with self._mine:
            if self._lost:
                return
            renewed = self._place.exchange(_content(self._token), self._generation)
            if renewed is None:
                found = self._place.read_new()
                self._lost = found is None or json.loads(found[0]).get("run") != self._token
                renewed = None if found is None else found[1]  # an earlier attempt had succeeded without an answer
            self._generation = renewed or self._generation


def _content(token: str) -> bytes:
    """Returns the content of the lock, which no other write has: the ETag of S3 depends on nothing else."""
    return json.dumps({**asdict(myself()), "run": token, "renewed": uuid.uuid4().hex}).encode()


@contextmanager
def held(folder: WritableBucketPath) -> Iterator[BucketLock]:
    """Takes the lock of a working directory, and releases it at the end.

    Raises:
      RefusedError: another run holds it (`DestinationLocked`).
      CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
    """
    lock = take(folder)
    try:
        yield lock
    finally:
        lock.release()


def refuse_held(folder: WritableBucketPath) -> None:
    """Refuses a working directory that a run holds, for a process that needs no lock itself.

    Raises:
      RefusedError: another run holds it (`DestinationLocked`).
      CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
    """
    place: WritableBucketPath = folder / NAME
    found = place.read_new()
    if found is not None and not _is_abandoned(place, found[1], holder := _holder(found[0])):
        raise RefusedError(_held(place, holder))


def take(folder: WritableBucketPath) -> BucketLock:
    """Takes the lock of a working directory; arguments and errors as `held`."""
    place, token = folder / NAME, uuid.uuid4().hex
    generation, note = place.exchange(_content(token), NONE), None
    while generation is None:
        found = place.read_new()
        if found is None:
            generation = place.exchange(_content(token), NONE)
            continue
        holder = _holder(found[0])
        if not _is_abandoned(place, found[1], holder):
            raise RefusedError(_held(place, holder))
        generation = place.exchange(_content(token), found[1])
        note = LeftoverWorkspace.at(f"the lock `{place}` of {_named(holder)}, which ended, was taken over")
    return BucketLock(place, generation, token, note)


def _is_abandoned(place: WritableBucketPath, generation: bytes, holder: Holder | None) -> bool:
    """Whether the holder has ended on this machine, or does not renew the lock."""
    if holder is not None and not may_live(holder):
        return True
    end = time.monotonic() + LEASE_SECONDS
    while time.monotonic() < end:
        time.sleep(min(_WATCH_SECONDS, LEASE_SECONDS / 4))
        found = place.read_new()
        if found is None or found[1] != generation:
            return found is None
    return True


def _holder(content: bytes) -> Holder | None:
    try:
        found = json.loads(content)
        return Holder(str(found["host"]), int(found["pid"]), str(found["started"]))
    except (ValueError, KeyError, TypeError):
        return None


def _named(holder: Holder | None) -> str:
    return f"process {holder.pid} on host {holder.host}" if holder else "a run of an unknown version"


def _held(place: WritableBucketPath, holder: Holder | None) -> Diagnostic:
    return DestinationLocked.at(
        f"{_named(holder)} is writing this and renews its lock `{place}`", help="wait for it, or stop it there"
    )
