"""The working directory of a DST that is one object of a bucket.

Arrays are written at their offsets of a file in the directory for temporary files of this machine: no part of an object
can be written. The commit uploads the file into the working directory beside DST, where it is verified, and the server
copies it to DST. A run on another machine finds the journal but not the file, and stages everything again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from migrate.codes import DestinationExists
from migrate.engine.workspace import bucket_lock
from migrate.engine.workspace.attempts import Attempt
from migrate.engine.workspace.bucket_lock import BucketLock
from migrate.engine.workspace.directory import INCURABLE, Workspace, workspace_path
from migrate.engine.workspace.journal import names_arrays
from migrate.errors import CheckpointError, RefusedError, StoppedError
from migrate.places.copies import copy_files, copy_new
from migrate.places.writable_path import WritableBucketPath


@dataclass(frozen=True)
class BucketFileWorkspace(Workspace):
    """A working directory in a bucket, and one of this machine, that this run holds.

    Attributes:
      folder: the directory in the bucket.
      lock: the lock.
    """

    folder: WritableBucketPath = field(kw_only=True)
    lock: BucketLock = field(kw_only=True)

    @property
    def journal(self) -> WritableBucketPath:
        """The directory of the journal of staged arrays."""
        return self.folder / "journal"

    @property
    def result(self) -> WritableBucketPath:
        """The uploaded file."""
        return self.folder / "result"

    @property
    def staged(self) -> Path:
        """The directory of the file on this machine."""
        name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"migrate-{os.getuid()}-{name}"

    def start_over(self, keep: Collection[Attempt] = (), *, stores: bool = False) -> None:
        """Removes what an earlier run staged: the journal first, so that it never names an array that is gone.

        Args:
          keep: attempts at shares, of which a single file in a bucket has none.
          stores: not used.
        """
        del stores
        assert not keep
        self.journal.remove_below()
        self.result.unlink(missing_ok=True)
        shutil.rmtree(self.staged, ignore_errors=True)

    def remove_attempts(self, keep: Collection[Attempt] = ()) -> None:
        """Does nothing: a file in a bucket is staged by one process."""
        del keep


@contextmanager
def open_file_workspace(
    destination: WritableBucketPath, plan_digest: str, source: str | None = None
) -> Iterator[BucketFileWorkspace]:
    """Creates the working directory, or opens it again, and locks it; what stays is as in `open_workspace`.

    Raises:
      RefusedError: another run holds it (`DestinationLocked`).
      CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
      OSError: the directory for temporary files cannot be written to.
    """
    folder = workspace_path(destination, plan_digest)
    assert isinstance(folder, WritableBucketPath)
    with bucket_lock.held(folder) as lock:
        work = BucketFileWorkspace(folder, source, [lock.note] if lock.note else [], folder=folder, lock=lock)
        folder.refresh()
        _make_private(work.staged)
        try:
            yield work
        except BaseException as error:
            if isinstance(error, INCURABLE) or not names_arrays(work.journal):
                with suppress(CheckpointError, StoppedError):
                    lock.require()
                    _discard(work)
            raise
        _discard(work)


def _make_private(folder: Path) -> None:
    """Creates a directory that nobody else can write to.

    Raises:
      PermissionError: it is someone else's.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = os.lstat(folder)
    if found.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
        raise PermissionError(f"{folder} belongs to another user")


def _discard(work: BucketFileWorkspace) -> None:
    work.start_over()
    work.folder.remove_below(keep=frozenset({bucket_lock.NAME}))


def discard_needless(destination: WritableBucketPath, plan_digest: str) -> None:
    """Removes what a run of a plan left that was killed after it had published DST."""
    folder = workspace_path(destination, plan_digest)
    assert isinstance(folder, WritableBucketPath)
    with suppress(CheckpointError, RefusedError):
        folder.refresh()
        if folder.exists():
            with bucket_lock.held(folder) as lock:
                _discard(BucketFileWorkspace(folder, folder=folder, lock=lock))


def publish(work: BucketFileWorkspace, destination: WritableBucketPath, *, overwrite: bool) -> None:
    """Lets the server copy the result to DST, in one step; an object is replaced only with `overwrite`.

    Raises:
      StoppedError: another run took the lock (`LostLock`), or DST appeared (`DestinationExists`).
      CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
    """
    work.lock.require()
    try:
        if overwrite:
            copy_files([(work.result, destination)])
        else:
            copy_new(work.result, destination)
    except FileExistsError:
        message = f"`{destination}` appeared while this run was writing; nothing was published"
        advice = f"`migrate inspect {quote(str(destination))}` shows it; `--overwrite` replaces it"
        raise StoppedError(DestinationExists.at(message, help=advice)) from None
