"""Arguments that name files or directories: a URL is refused before anything else is done."""

from __future__ import annotations

from typing import Any

import click

from migrate.formats.places import local_path


class _Place(click.ParamType[str]):
    """A local file or directory; its text is passed on as it was given."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the text.

        Raises:
          UsageError: it is a URL (`UnsupportedPlace`).
        """
        del param, ctx
        local_path(value)
        return str(value)


class _File(click.Path):
    """A local file that may not exist."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the path.

        Raises:
          UsageError: it is a URL (`UnsupportedPlace`).
        """
        local_path(value)
        return super().convert(value, param, ctx)


PLACE = _Place()
"""The type of a checkpoint, a rule file or a folder of rule files."""

FILE = _File(dir_okay=False)
"""The type of a file that is read or written."""
