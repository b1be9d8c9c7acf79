"""Where a checkpoint is stored: in local files. A URL of a bucket or a server is refused before it becomes a path."""

from __future__ import annotations

import os
import re
from pathlib import Path
from shlex import quote

from migrate.codes import UnsupportedPlace
from migrate.errors import UsageError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/+)")
"""The start of a URL. `Path` makes one slash of two; a single letter can be a drive."""

_DOWNLOADS = {
    "gs": "gcloud storage cp --recursive {} .",
    "s3": "aws s3 cp --recursive {} checkpoint/",
    "http": "curl -LO {}",
    "https": "curl -LO {}",
}
"""The commands that copy from a place to the current directory, by scheme."""


def local_path(place: str | os.PathLike[str]) -> Path:
    """Returns the path of a local file or directory.

    Args:
      place: a path; a directory whose name ends with a colon, such as `gs:`, has to exist.

    Raises:
      UsageError: it is a URL (`UnsupportedPlace`).
    """
    text = os.fspath(place)
    found = _SCHEME.match(text)
    if found is None or (len(found[2]) == 1 and os.path.lexists(found[1] + ":")):
        return Path(place)
    scheme, rest = found[1].lower(), text[found.end() :]
    raise UsageError(
        UnsupportedPlace.at(
            f"`{text}` is not a local path: migrate reads and writes local files", help=_help(scheme, rest)
        )
    )


def _help(scheme: str, rest: str) -> str:
    if scheme == "file":
        return f"name the path: `{quote('/' + rest.lstrip('/'))}`"
    if scheme in _DOWNLOADS:
        command = _DOWNLOADS[scheme].format(quote(f"{scheme}://{rest}"))
        return f"migrate a local copy and upload the result; `{command}` downloads it"
    return "download it, and name the local directory or file"
