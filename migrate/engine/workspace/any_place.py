"""The working directory of a DST, on a local file system or in a bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrate.engine.workspace import bucket_directory, bucket_file, directory, lock
from migrate.engine.workspace import publish as local
from migrate.engine.workspace.attempts import attempts
from migrate.engine.workspace.bucket_directory import BucketWorkspace
from migrate.engine.workspace.bucket_file import BucketFileWorkspace
from migrate.engine.workspace.directory import Workspace
from migrate.engine.workspace.journal import names_arrays
from migrate.places.names import destination_path
from migrate.places.writable_path import WritableBucketPath


def is_there(destination: Path) -> bool:
    """Returns whether there is anything at DST, apart from what a killed run left in a bucket to resume from."""
    if isinstance(destination, WritableBucketPath):
        return bucket_directory.is_occupied(destination)
    return os.path.lexists(destination)


def is_unfinished(destination: Path, plan_digest: str) -> bool:
    """Returns whether an earlier run of this plan left arrays to resume from."""
    if isinstance(destination, WritableBucketPath):
        folder = bucket_directory.workspace_of(destination, plan_digest)
        folder.refresh()
        return names_arrays(folder / "journal") or any(names_arrays(one.journal) for one in attempts(folder))
    return directory.is_unfinished(destination, plan_digest)


def clear_needless(destination: Path, beside: Path | None = None) -> None:
    """Removes the working directories beside DST that no run needs; arguments as in `directory.clear_needless`."""
    if isinstance(destination, WritableBucketPath):
        bucket_directory.clear_published(destination)
    else:
        directory.clear_needless(destination, beside)


def clear_finished(destination: Path, plan_digest: str) -> None:
    """Removes the working directory of a plan whose finished result DST is, if it is a single file in a bucket."""
    if isinstance(destination, WritableBucketPath) and destination.is_file():
        bucket_file.discard_needless(destination, plan_digest)


@contextmanager
def open_workspace(
    destination: Path,
    plan_digest: str,
    source: str | None = None,
    beside: Path | None = None,
    *,
    overwrite: bool = False,
    single_file: bool = False,
) -> Iterator[Workspace]:
    """Creates the working directory, or opens it again, and locks it; arguments as in `directory.open_workspace`.

    In a bucket, two more of them decide where the result is: `overwrite`, since a checkpoint in DST stays until the new
    one is verified, and `single_file`, since no part of an object can be written.

    Raises:
      RefusedError: another run holds it (`DestinationLocked`), or an unfinished run of another plan is in a DST in a
        bucket (`DestinationExists`).
      CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
      OSError: it cannot be created.
    """
    if isinstance(destination, WritableBucketPath) and single_file:
        with bucket_file.open_file_workspace(destination, plan_digest, source) as work:
            yield work
    elif isinstance(destination, WritableBucketPath):
        with bucket_directory.open_bucket_workspace(destination, plan_digest, source, overwrite=overwrite) as work:
            yield work
    else:
        with directory.open_workspace(destination, plan_digest, source, beside) as work:
            yield work


def join_workspace(
    destination: Path,
    plan_digest: str,
    source: str | None = None,
    beside: Path | None = None,
    *,
    overwrite: bool = False,
) -> Workspace:
    """Creates or opens the working directory for a process that stages a share, and takes no lock; as `open_workspace`.

    Raises:
      RefusedError: a run holds it (`DestinationLocked`), or another plan is being written (`DestinationExists`).
      CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
      OSError: it cannot be created.
    """
    if isinstance(destination, WritableBucketPath):
        return bucket_directory.join(destination, plan_digest, source, overwrite=overwrite)
    work = Workspace(directory.workspace_path(beside or destination, plan_digest), source)
    work.path.mkdir(parents=True, exist_ok=True)
    lock.refuse_held(work.path)
    return work


def shared_workspace(destination: str, folder: str) -> Workspace:
    """Returns the working directory of a run of which this process is a worker, by the texts of both paths."""
    place, found = destination_path(destination), destination_path(folder)
    if isinstance(place, WritableBucketPath) and isinstance(found, WritableBucketPath):
        return bucket_directory.shared(place, found)
    return Workspace(found)


def publish(work: Workspace, destination: Path, *, overwrite: bool) -> None:
    """Makes the verified result DST in one step.

    Raises:
      StoppedError: DST appeared during the run and must not be replaced (`DestinationExists`), or another run took the
        lock of a bucket (`LostLock`).
      CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
      OSError: the result cannot be moved.
    """
    if isinstance(work, BucketFileWorkspace):
        assert isinstance(destination, WritableBucketPath)
        bucket_file.publish(work, destination, overwrite=overwrite)
    elif isinstance(work, BucketWorkspace):
        bucket_directory.publish(work)
    else:
        local.publish(work, destination, overwrite=overwrite)
