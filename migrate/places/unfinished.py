"""The mark of a DST in a bucket that is being written: its objects appear one by one, under their final names.

The marker that Orbax writes last, `commit_success.txt`, completes DST. Until then the object `UNFINISHED` in it keeps
every reader of migrate from taking a part for the whole.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrate.places.bucket_path import BucketPath

UNFINISHED = "migrate_unfinished"
"""The object that marks an unfinished DST; it contains the name of its working directory."""

COMMITTED = "commit_success.txt"
"""The object that completes a checkpoint."""

_written_here: Counter[str] = Counter()
_lock = threading.Lock()


def is_unfinished(place: Path) -> bool:
    """Whether a path in a bucket is a DST that a run began and has not published; not one that this process writes."""
    if not isinstance(place, BucketPath) or _written_here[str(place)]:
        return False
    return (place / UNFINISHED).is_file() and not (place / COMMITTED).is_file()


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Lets this process read a DST that is not published, to verify it."""
    with _lock:
        _written_here[str(place)] += 1
    try:
        yield
    finally:
        with _lock:
            _written_here[str(place)] -= 1
