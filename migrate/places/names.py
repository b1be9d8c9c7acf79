"""The places that callers name: local paths, `file://` URLs, and `gs://` and `s3://` URLs of buckets."""

from __future__ import annotations

import os
import re
from pathlib import Path
from shlex import quote
from typing import Any, BinaryIO
from urllib.parse import unquote

from migrate.codes import UnsupportedPlace
from migrate.errors import UsageError
from migrate.places.bucket_path import BucketPath, is_bucket_url
from migrate.places.writable_path import WritableBucketPath

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/+)")
"""The start of a URL. `Path` makes one slash of two; a single letter can be a drive."""

_DOWNLOADS = {"http": "curl -LO {}", "https": "curl -LO {}"}
"""The commands that copy from a place to the current directory, by scheme."""

_UPLOADS = {"gs": "gcloud storage cp --recursive DST/* {}/", "s3": "aws s3 cp --recursive DST {}"}
"""The commands that copy a local directory `DST` to a place, by scheme."""


def place_of(place: str | os.PathLike[str]) -> Path:
    """Returns the path of a file or directory, local or in a bucket.

    Args:
      place: a path or a URL; a local directory whose name ends with a colon, such as `gs:`, has to exist.

    Raises:
      UsageError: it is a URL of another kind, or names no bucket (`UnsupportedPlace`).
    """
    if isinstance(place, BucketPath):
        return place
    text = os.fspath(place)
    found = _SCHEME.match(text)
    if found is None or (len(found[2]) == 1 and os.path.lexists(found[1] + ":")):
        return Path(place)
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme == "file":
        return Path(unquote(_local_part(rest, len(found[2]))))
    url = f"{scheme}://{rest}"
    if not is_bucket_url(url):
        message = f"`{text}` is neither a local path nor a URL of `gs://`, `s3://` or `file://`"
        raise UsageError(UnsupportedPlace.at(message, help=_download(scheme, url)))
    if not rest.strip("/"):
        raise UsageError(UnsupportedPlace.at(f"`{text}` names no bucket", help=f"such as `{scheme}://bucket/path`"))
    return BucketPath(url)


def local_path(place: str | os.PathLike[str]) -> Path:
    """Returns the path of a local file or directory that is written, or that only local commands read.

    Args:
      place: as in `place_of`.

    Raises:
      UsageError: it is a URL that is not local (`UnsupportedPlace`).
    """
    found = place_of(place)
    if not isinstance(found, BucketPath):
        return found
    upload = _UPLOADS[found.bucket.scheme].format(quote(str(found)))
    raise UsageError(
        UnsupportedPlace.at(
            f"`{found}` is not a local path, and this command needs one",
            help=f"use a local directory DST, and upload it: `{upload}`",
        )
    )


def destination_path(place: str | os.PathLike[str]) -> Path:
    """Returns the path of a checkpoint that is written, local or in a bucket; arguments and errors as `place_of`."""
    found = place_of(place)
    return WritableBucketPath(str(found)) if isinstance(found, BucketPath) else found


def refresh(place: Path) -> None:
    """Forgets what is known about a path of a bucket; local paths are always asked again."""
    if isinstance(place, BucketPath):
        place.refresh()


def bucket_path(place: str | os.PathLike[str]) -> BucketPath | None:
    """Returns a path in a bucket, given as one or as its text; None for local paths."""
    if isinstance(place, BucketPath):
        return place
    return BucketPath(place) if isinstance(place, str) and is_bucket_url(place) else None


def path_of(text: str) -> Path:
    """Returns the path whose text was made by `str` of a path, local or in a bucket."""
    return bucket_path(text) or Path(text)


def reaches(place: str | Path, end: int) -> bool:
    """Whether a file exists and has at least `end` bytes."""
    far = bucket_path(place)
    if far is not None:
        return far.reaches(end)
    try:
        return os.stat(place).st_size >= end
    except OSError:
        return False


def open_range(place: Path, start: int, stop: int) -> BinaryIO:
    """Opens a file at its byte `start`, to read up to `stop`.

    Raises:
      OSError: it cannot be opened.
    """
    if isinstance(place, BucketPath):
        return place.open_range(start, stop)
    file = place.open("rb")
    file.seek(start)
    return file


def readable(place: Path) -> Any:
    """Returns what libraries that read a file by themselves can open: the path, or an open object of a bucket."""
    return place.open("rb") if isinstance(place, BucketPath) else place


def version_of(place: str | Path) -> Any:
    """Returns a value that changes whenever a file is written; None if there is none."""
    far = bucket_path(place)
    if far is not None:
        return far.version()
    try:
        found = os.stat(place)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _local_part(rest: str, slashes: int) -> str:
    """Returns the path of a `file://` URL, whose host can be `localhost`."""
    host, _, below = rest.partition("/")
    return f"/{below}" if slashes == 2 and host == "localhost" else f"/{rest}"


def _download(scheme: str, url: str) -> str:
    if scheme in _DOWNLOADS:
        return f"download it, and name the file: `{_DOWNLOADS[scheme].format(quote(url))}`"
    return "download it, and name the local directory or file"
