"""Replaces the objects of a checkpoint in a bucket by those of a verified one in the same bucket.

Readers take a checkpoint for complete by its marker, and Orbax an item of it by the item's own. So the markers are
deleted first, and each is written once everything that it completes is there. From the first deletion to the last
marker, DST is no checkpoint. A kill in between leaves it so; the next run of the same plan copies again from the
result, which stays in the working directory.
"""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote

from migrate.codes import DestinationExists
from migrate.errors import StoppedError
from migrate.places.copies import copy_files
from migrate.places.objects import Objects
from migrate.places.unfinished import COMMITTED, UNFINISHED
from migrate.places.writable_path import WritableBucketPath


def replace(destination: WritableBucketPath, result: WritableBucketPath, name: str) -> None:
    """Gives DST the objects of the result, apart from the marker of DST itself.

    Args:
      destination: DST.
      result: a directory of the same bucket.
      name: the name of the working directory, with which DST is marked meanwhile.

    Raises:
      StoppedError: another run is writing DST (`DestinationExists`).
      CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
    """
    _take(destination, name)
    new = {file.relative_to(result).as_posix() for file in _files(result)}
    old = {file.relative_to(destination).as_posix() for file in _files(destination)} - {UNFINISHED}
    markers = {name for name in new if _is_marker(name)}
    _delete(destination, filter(_is_marker, old))
    _copy(result, destination, new - markers)
    _delete(destination, (name for name in old - new if not _is_marker(name)))
    _copy(result, destination, markers)


def _take(destination: WritableBucketPath, name: str) -> None:
    """Deletes the marker of DST and marks it as unfinished, unless an earlier run of this plan did."""
    mark: WritableBucketPath = destination / UNFINISHED
    committed: WritableBucketPath = destination / COMMITTED
    complete, found = committed.read_new(), mark.read_new()
    if found is None:
        if complete is not None and committed.exchange(None, complete[1]) is None:
            raise _busy(destination)
        try:
            mark.write_new(name.encode())
        except FileExistsError:
            raise _busy(destination) from None
    elif found[0] != name.encode() or complete is not None:
        raise _busy(destination)


def _busy(destination: WritableBucketPath) -> StoppedError:
    message = f"another run is writing `{destination}`; this one has replaced nothing"
    advice = f"wait for that run, or look at what it left: `migrate inspect {quote(str(destination))}`"
    return StoppedError(DestinationExists.at(message, help=f"{advice}; the same command resumes this one"))


def _files(folder: WritableBucketPath) -> list[WritableBucketPath]:
    folder.refresh()
    return list(folder.files_below())  # type: ignore[arg-type]


def _copy(source: WritableBucketPath, target: WritableBucketPath, names: Iterable[str]) -> None:
    copy_files([(source / name, target / name) for name in sorted(names)])
    target.refresh()


def _delete(folder: WritableBucketPath, names: Iterable[str]) -> None:
    Objects(folder.bucket).delete([(folder / name).key for name in names])
    folder.refresh()


def _is_marker(name: str) -> bool:
    return name.rpartition("/")[2] == COMMITTED
