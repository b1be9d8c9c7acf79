"""The working directory of a DST in a bucket.

A bucket has no rename, so arrays are staged where DST has them, and all other objects are written under their final
names too. The working directory beside DST, whose name contains the plan's digest, has the lock and the journal.
`UNFINISHED` in DST names it until the marker of Orbax completes DST (`migrate.places.unfinished`).

A DST that is replaced stays as it was until the new checkpoint, which the working directory contains, is verified; then
the server copies the objects (`migrate.engine.workspace.bucket_replacement`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from shlex import quote

from migrate.codes import DestinationExists
from migrate.engine.workspace import bucket_lock, bucket_replacement
from migrate.engine.workspace.attempts import FOLDERS, Attempt, attempts
from migrate.engine.workspace.bucket_lock import BucketLock
from migrate.engine.workspace.directory import INCURABLE, Workspace, workspace_path
from migrate.errors import CheckpointError, RefusedError, StoppedError
from migrate.places.objects import Objects
from migrate.places.unfinished import COMMITTED, UNFINISHED, writing
from migrate.places.writable_path import WritableBucketPath

_REPLACES = "replaces"
"""The object of the working directory by which a resumed run knows that it replaces a checkpoint."""


@dataclass(frozen=True)
class BucketWorkspace(Workspace):
    """A working directory in a bucket that this run holds.

    Attributes:
      destination: DST.
      lock: the lock; None in a process that only stages a share.
      replaces: whether DST has a checkpoint until the new one is verified.
    """

    destination: WritableBucketPath = field(kw_only=True)
    lock: BucketLock | None = field(kw_only=True)
    replaces: bool = field(kw_only=True)

    @property
    def journal(self) -> Path:
        """The directory of the journal of staged arrays."""
        return self.path / "journal"

    @property
    def result(self) -> WritableBucketPath:
        """DST itself, or a directory of the working directory for a DST that is replaced."""
        return self.path / "result" if self.replaces else self.destination  # type: ignore[return-value]

    def store(self, place: str) -> Path:
        """Returns the staging store of an item: its directory in the result."""
        return self.result / place

    def start_over(self, keep: Collection[Attempt] = (), *, stores: bool = False) -> None:
        """Removes what earlier runs staged: journals first, so that none names an array that is gone.

        Args:
          keep: attempts at shares whose journals and databases stay.
          stores: not used: attempts have databases of their own.
        """
        del stores
        assert isinstance(self.journal, WritableBucketPath)
        self.journal.remove_below()
        self._remove_journals(keep)
        kept = {attempt.folder for attempt in keep}
        self._remove(lambda parts: parts != (UNFINISHED,) and not kept.intersection(parts))

    def remove_attempt(self, attempt: Attempt) -> None:
        """Removes an attempt."""
        attempt.remove_journal()
        self._remove(lambda parts: attempt.folder in parts)

    def remove_attempts(self, keep: Collection[Attempt] = ()) -> None:
        """Removes the attempts at shares that are not kept."""
        self._remove_journals(keep)
        kept = {attempt.folder for attempt in keep}
        self._remove(lambda parts: any(fnmatchcase(part, FOLDERS) and part not in kept for part in parts))

    def _remove_journals(self, keep: Collection[Attempt]) -> None:
        for attempt in attempts(self.path):
            if attempt not in keep:
                attempt.remove_journal()

    def _remove(self, is_needless: Callable[[tuple[str, ...]], bool]) -> None:
        """Removes the objects of the result whose names, as parts relative to it, are needless."""
        self.result.refresh()
        files = [file for file in self.result.files_below() if is_needless(file.relative_to(self.result).parts)]
        Objects(self.result.bucket).delete([file.key for file in files])
        self.result.refresh()


def workspace_of(destination: WritableBucketPath, plan_digest: str) -> WritableBucketPath:
    """Returns the working directory of a plan."""
    found = workspace_path(destination, plan_digest)
    assert isinstance(found, WritableBucketPath)
    return found


def is_occupied(destination: WritableBucketPath) -> bool:
    """Returns whether there is anything at DST but what a killed run has left to resume from."""
    destination.refresh()
    if not destination.exists():
        return False
    return (destination / COMMITTED).is_file() or not (destination / UNFINISHED).is_file()


def clear_published(destination: WritableBucketPath) -> None:
    """Removes what a run left that was killed after it had published DST."""
    with suppress(CheckpointError, RefusedError):
        destination.refresh()
        mark = destination / UNFINISHED
        if mark.is_file() and (destination / COMMITTED).is_file():
            folder = destination.parent / mark.read_text()
            with bucket_lock.held(folder):
                _discard_workspace(folder)
                mark.unlink(missing_ok=True)


@contextmanager
def open_bucket_workspace(
    destination: WritableBucketPath, plan_digest: str, source: str | None = None, *, overwrite: bool = False
) -> Iterator[BucketWorkspace]:
    """Creates the working directory, or opens it again, and locks it; what stays is as in `open_workspace`.

    Args:
      destination: DST.
      plan_digest: `sha256:` and hex digits.
      source: the fingerprint of the source's files.
      overwrite: whether a checkpoint in DST is replaced.

    Raises:
      RefusedError: another run holds it (`DestinationLocked`), or an unfinished run of another plan is in DST
        (`DestinationExists`).
      CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
    """
    folder = workspace_of(destination, plan_digest)
    with bucket_lock.held(folder) as lock, writing(destination):
        folder.refresh()
        notes, replaces = [lock.note] if lock.note else [], _replaces(destination, folder, overwrite=overwrite)
        work = BucketWorkspace(folder, source, notes, destination=destination, lock=lock, replaces=replaces)
        destination.refresh()
        if not replaces and not (destination / COMMITTED).is_file():
            _mark(destination, folder, alone=True)
        try:
            yield work
        except BaseException as error:
            with suppress(CheckpointError, StoppedError):  # then the next run of this plan finds it
                is_kept = work.has_arrays or work.has_live_attempts or _is_replacing(work)
                if isinstance(error, INCURABLE) or not is_kept:
                    lock.require()
                    _discard(work)
            raise
        _discard_workspace(folder)
        (destination / UNFINISHED).unlink(missing_ok=True)  # last, since it names the working directory


def _replaces(destination: WritableBucketPath, folder: WritableBucketPath, *, overwrite: bool) -> bool:
    """Whether a run replaces a checkpoint, as it or an earlier run of its plan has recorded."""
    record: WritableBucketPath = folder / _REPLACES
    if record.is_file():
        return True
    if not overwrite or not is_occupied(destination):
        return False
    record.write_bytes(b"")
    return True


def _is_replacing(work: BucketWorkspace) -> bool:
    """Whether a run has begun to replace the objects of DST, so that only its result is complete."""
    found = work.destination.joinpath(UNFINISHED).read_new() if work.replaces else None
    return found is not None and found[0] == work.path.name.encode()


def join(
    destination: WritableBucketPath, plan_digest: str, source: str | None = None, *, overwrite: bool = False
) -> BucketWorkspace:
    """Returns the working directory of a run that stages a share and takes no lock; arguments as above.

    Raises:
      RefusedError: as `open_bucket_workspace`.
      CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
    """
    folder = workspace_of(destination, plan_digest)
    bucket_lock.refuse_held(folder)
    folder.refresh()
    replaces = _replaces(destination, folder, overwrite=overwrite)
    if not replaces:
        _mark(destination, folder, alone=False)
    return BucketWorkspace(folder, source, destination=destination, lock=None, replaces=replaces)


def shared(destination: WritableBucketPath, folder: WritableBucketPath) -> BucketWorkspace:
    """Returns the working directory of a run of which this process is a worker."""
    folder.refresh()
    replaces = (folder / _REPLACES).is_file()
    return BucketWorkspace(folder, destination=destination, lock=None, replaces=replaces)


def _mark(destination: WritableBucketPath, folder: WritableBucketPath, *, alone: bool) -> None:
    """Marks DST as unfinished, unless an earlier run of this plan did.

    Args:
      destination: DST.
      folder: the working directory.
      alone: whether no other process of this plan may write to DST at the same time.

    Raises:
      RefusedError: an unfinished run of another plan, or anything else, is in DST (`DestinationExists`).
    """
    mark = destination / UNFINISHED
    try:
        mark.write_new(folder.name.encode())
        destination.refresh()
        if alone and [entry.name for entry in destination.iterdir()] != [UNFINISHED]:
            mark.unlink(missing_ok=True)
            message = f"`{destination}` appeared while this run began"
            raise RefusedError(DestinationExists.at(message, help="choose another DST"))
    except FileExistsError:
        found = mark.read_new()
        if found is not None and found[0] != folder.name.encode():
            other = destination.parent / found[0].decode(errors="replace")
            message = f"an unfinished run of another plan is in `{destination}`; its working directory is `{other}`"
            advice = "run that command again to resume it, or delete both directories"
            raise RefusedError(DestinationExists.at(message, help=advice)) from None
    destination.refresh()


def _discard(work: BucketWorkspace) -> None:
    """Removes DST, if this plan began it and it was not published, and the working directory but for the lock."""
    mark = work.destination / UNFINISHED
    found = None if work.replaces else mark.read_new()
    if found is not None and found[0] == work.path.name.encode() and (work.destination / COMMITTED).read_new() is None:
        work.start_over()
        mark.unlink(missing_ok=True)
    assert isinstance(work.path, WritableBucketPath)
    _discard_workspace(work.path)


def _discard_workspace(folder: WritableBucketPath) -> None:
    folder.remove_below(keep=frozenset({bucket_lock.NAME}))


def publish(work: BucketWorkspace) -> None:
    """Completes DST by its marker, which is written last; before that, the objects of the old DST are replaced.

    Raises:
      StoppedError: another run took the lock (`LostLock`), or is writing or has completed DST (`DestinationExists`).
      CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
    """
    assert work.lock is not None
    work.lock.require()
    place = work.destination
    if work.replaces:
        bucket_replacement.replace(place, work.result, work.path.name)
        work.lock.require()
    try:
        (place / COMMITTED).write_new(f"Checkpoint commit was successful to {place.name}".encode())
    except FileExistsError:
        message = f"`{place}` was completed while this run was writing"
        raise StoppedError(
            DestinationExists.at(message, help=f"`migrate verify {quote(str(place))}` checks it")
        ) from None
