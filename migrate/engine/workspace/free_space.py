"""The place of DST before a run: whether it can be written, and whether it has room for what the plan writes.

Compression is not known before a run, so needed bytes are a lower bound: arrays count as compressible as the source,
constants as nothing, linked arrays only where links cannot be made. What is refused here cannot succeed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from migrate.codes import NoRoom, UnwritableDestination
from migrate.engine.workspace.directory import workspace_path
from migrate.errors import Diagnostic
from migrate.formats.reader import Reader
from migrate.places.bucket_path import BucketPath
from migrate.planning.model import Plan, Task

FILES = 8
"""The fewest inodes that a run needs: the working directory, its lock, journal and stores, and the result."""

MARGIN = 0.9
"""The part of an estimated compressed size that counts as needed."""


def unwritable(place: Path, beside: Path | None = None) -> Iterator[Diagnostic]:
    """Finds reasons why nothing can be created at DST (`UnwritableDestination`).

    Args:
      place: DST, absolute; missing directories above it are created by the run.
      beside: the path beside which the working directory is, where it is not DST.
    """
    yield from _unwritable(place, existing_parent(place))
    beside = beside or place
    if beside != place:
        yield from _unwritable(place, existing_parent(beside))
    parent = existing_parent(beside)
    longest = os.pathconf(parent, "PC_NAME_MAX") if parent.is_dir() else 0
    name = len(os.fsencode(workspace_path(beside, "0" * 12).name))
    if 0 < longest < name:
        spare = longest - (name - len(os.fsencode(place.name)))
        yield UnwritableDestination.at(
            f"cannot write `{place}`: the name is too long for the working directory beside it",
            help=f"choose a name of at most {spare} bytes",
        )


def _unwritable(place: Path, parent: Path) -> Iterator[Diagnostic]:
    """Finds reasons why nothing can be created in a directory."""
    other = "choose another DST"
    if not parent.is_dir():
        yield UnwritableDestination.at(f"cannot write `{place}`: `{parent}` is not a directory", help=other)
        return
    if os.statvfs(parent).f_flag & os.ST_RDONLY:
        yield UnwritableDestination.at(f"cannot write `{place}`: `{parent}` is on a read-only file system", help=other)
    elif not os.access(parent, os.W_OK | os.X_OK):
        yield UnwritableDestination.at(
            f"cannot write `{place}`: no permission to create files in `{parent}`",
            help="choose a DST below a directory that you may write to",
        )


def short_of_space(
    plan: Plan, reader: Reader, place: Path, beside: Path | None = None, *, encoded: bool
) -> Iterator[Diagnostic]:
    """Finds a file system without the bytes or the inodes that the plan needs at least (`NoRoom`).

    Args:
      plan: the plan as it is carried out.
      reader: the source.
      place: DST, absolute.
      beside: the path beside which the working directory is, where it is not DST.
      encoded: whether arrays are compressed; all others need their size.
    """
    parent = existing_parent(place)
    device = os.statvfs(parent)
    free = device.f_bavail * device.f_frsize
    needed = needed_bytes(plan, reader, place, encoded=encoded) - staged_bytes(plan, beside or place)
    if device.f_blocks and needed > free:
        yield NoRoom.at(
            f"`{place}` needs at least {_mib(needed)}, and its file system has {_mib(free)} free",
            help=f"free some space on the file system of {parent}, or choose a DST on another one",
        )
    elif device.f_files and device.f_favail < FILES:
        yield NoRoom.at(
            f"`{place}` needs at least {FILES} inodes, and its file system has {device.f_favail} free",
            help=f"delete files on the file system of {parent}, or choose a DST on another one",
        )


def existing_parent(place: Path) -> Path:
    """Returns the nearest directory (or whatever else it is) above DST that exists."""
    return next(parent for parent in place.parents if os.path.lexists(parent))


def needed_bytes(plan: Plan, reader: Reader, place: Path, *, encoded: bool) -> int:
    """Returns a lower bound of the bytes that a run adds to DST's file system; arguments as in `short_of_space`."""
    rest = MARGIN * compressibility(plan, reader)
    linked = _same_device(plan.source.path, existing_parent(place))
    written = [_least(task) if encoded else task.out_bytes for task in plan.tasks if task.mode == "stream"]
    created = [] if encoded else [creation.leaf.nbytes for creation in plan.created]
    copied = sum(task.in_bytes for task in plan.tasks if task.mode == "copy" or (task.mode == "relink" and not linked))
    return int(sum((*written, *created)) * (rest if encoded else 1) + copied * rest)


def compressibility(plan: Plan, reader: Reader) -> float:
    """Returns the bytes of the source's files divided by those of its arrays; at most 1."""
    arrays = sum(leaf.nbytes for leaf in plan.source.tree.leaves.values())
    stored = sum(map(_blocks, reader.files()))
    return min(1.0, stored / arrays) if arrays else 1.0


def staged_bytes(plan: Plan, place: Path) -> int:
    """Returns the bytes that an earlier run of this plan has in the working directory already."""
    folder = workspace_path(place, plan.digest)
    files = (Path(here) / name for here, _, names in os.walk(folder) for name in names)
    return sum(map(_blocks, files))


def _blocks(file: Path) -> int:
    """Returns the bytes that a file occupies; holes and a file that is gone count as nothing."""
    try:
        return os.stat(file).st_blocks * 512
    except FileNotFoundError:
        return 0


def _mib(nbytes: int) -> str:
    return f"{nbytes / 2**20:,.1f} MiB"


def _least(task: Task) -> int:
    """Returns the bytes that count for a task whose results are compressed; padding and copies count as nothing."""
    return min(task.in_bytes, task.out_bytes)


def _same_device(source: Path, parent: Path) -> bool:
    return not isinstance(source, BucketPath) and source.stat().st_dev == parent.stat().st_dev
