"""Writes text files whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from migrate.places.writable_path import WritableBucketPath


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a file by one rename, so that a reader finds the old content or the new; the permissions are kept.

    An object in a bucket is written as a whole.

    A link is followed. What is no regular file, such as `/dev/stdout`, is written in place.

    Args:
      path: the file.
      text: its new content, written in UTF-8 with the line ends that it has.

    Raises:
      OSError: it cannot be written.
    """
    if isinstance(path, WritableBucketPath):
        path.write_text(text)
    elif os.path.exists(path) and not os.path.isfile(path):
        Path(path).write_text(text, encoding="utf-8", newline="\n")
    else:
        write_texts({os.fspath(path): text})


def write_texts(texts: Mapping[str, str]) -> None:
    """Writes local files by renames that begin when the content of all is on disk, so that a full disk changes none.

    Args:
      texts: the new content by file, as for `write_text`.

    Raises:
      OSError: one of them cannot be written.
    """
    places = {Path(os.path.realpath(path)): text for path, text in texts.items()}
    folder = next((place for place in places if place.is_dir()), None)
    if folder is not None:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(folder))
    drafts = {place: place.with_name(draft_of(place.name, os.getpid())) for place in places}
    try:
        for place, draft in drafts.items():
            with draft.open("w", encoding="utf-8", newline="\n") as file:
                file.write(places[place])
                file.flush()
                os.fsync(file.fileno())
            if place.exists():
                draft.chmod(stat.S_IMODE(place.stat().st_mode))
        for place, draft in drafts.items():
            draft.replace(place)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
    for parent in {place.parent for place in places}:
        _sync_directory(parent)


def draft_of(name: str, process: int | str) -> str:
    """Returns the name of the file in which a process writes the new content of a file."""
    return f".{name}.{process}.new"


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
