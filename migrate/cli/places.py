"""Arguments that name files or directories: a URL that is not supported is refused before anything else is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrate.cli import candidates
from migrate.places.names import local_path, place_of

if TYPE_CHECKING:
    _TextType = click.ParamType[str]
else:
    _TextType = click.ParamType  # generic only since click 8.4


class _Place(_TextType):
    """A local file or directory; the text is passed on as it was given, a `file://` URL as its path."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the text.

        Raises:
          UsageError: it is a URL that is not local (`UnsupportedPlace`).
        """
        del param, ctx
        return _text(value, local_path(value))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> candidates.Candidates:
        """Offers paths, and for RULES the bundled rule files."""
        offer = candidates.rule_files if param.name == "rules" else candidates.file
        return offer(ctx, param, incomplete)


class _Checkpoint(_Place):
    """A checkpoint, local or in a bucket."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the text.

        Raises:
          UsageError: it is a URL that is not supported (`UnsupportedPlace`).
        """
        del param, ctx
        return _text(value, place_of(value))


def _text(value: Any, place: Path) -> str:
    return str(place if str(value).lower().startswith("file:/") and place != Path(value) else value)


class _File(click.Path):
    """A local file that may not exist."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the path.

        Raises:
          UsageError: it is a URL (`UnsupportedPlace`).
        """
        return super().convert(_text(value, local_path(value)), param, ctx)


PLACE = _Place()
"""The type of a step that is changed, a rule file or a folder of rule files."""

CHECKPOINT = _Checkpoint()
"""The type of a checkpoint that may be in a bucket."""

FILE = _File(dir_okay=False)
"""The type of a file that is read or written."""

DIRECTORY = _File(exists=True, file_okay=False, path_type=Path)
"""The type of a directory that is read."""
