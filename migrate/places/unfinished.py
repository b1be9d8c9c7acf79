"""The mark of a DST in a bucket that is being written: its objects appear one by one, under their final names.

The marker that Orbax writes last, `commit_success.txt`, completes DST. Until then the object `UNFINISHED` in it keeps
every reader of migrate from taking a part for the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrate.places.bucket_path import BucketPath

UNFINISHED = "migrate_unfinished"
"""The object that marks an unfinished DST; it contains the name of its working directory."""

COMMITTED = "commit_success.txt"
"""The object that completes a checkpoint."""

_written_here: set[str] = set()


def is_unfinished(place: Path) -> bool:
    """Whether a path in a bucket is a DST that a run began and has not published; not one that this process writes."""
    if not isinstance(place, BucketPath) or str(place) in _written_here:
        return False
    return (place / UNFINISHED).is_file() and not (place / COMMITTED).is_file()


@contextmanager
def writing(place: BucketPath) -> Iterator[None]:
    """Lets this process read a DST that it has not published, to verify it."""
    _written_here.add(str(place))
    try:
        yield
    finally:
        _written_here.discard(str(place))
