"""The names of rule files where no path of a machine may appear, as in plan files."""

from __future__ import annotations

import os


class PortableNames:
    """The names of a rule file and its includes: as given, but relative to the first one where that is absolute."""

    def __init__(self, path: str) -> None:
        """Prepares the names; `path` is the first file as the user named it."""
        self._folder = os.path.dirname(path) if os.path.isabs(path) else None

    def name(self, file: str) -> str:
        """Returns the name of a file."""
        return file if self._folder is None or not os.path.isabs(file) else os.path.relpath(file, self._folder)


def last_name(path: str) -> str:
    """Returns an absolute path without its directories; any other text unchanged."""
    return os.path.basename(path) if os.path.isabs(path) else path


def is_portable(name: str) -> bool:
    """Whether a name is no absolute path."""
    return not os.path.isabs(name)
