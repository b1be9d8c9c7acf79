"""The names of sources in key paths: those of a named source begin with a segment such as `lora:`.

The main source has no name, and its key paths are those of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection


class SourceSegment(str):
    """The first segment of the key paths of a named source, such as `lora:`.

    It is a type of its own, so that wildcards of the main source match no leaf of another one
    (`migrate.rules.pattern.Pattern.match`), even where a checkpoint has a name that ends in `:`.
    """

    __slots__ = ()


def source_start(name: str) -> tuple[str, ...]:
    """Returns the start of the key paths of a named source."""
    return (SourceSegment(f"{name}:"),)


def source_of(path: tuple[str, ...]) -> str:
    """Returns the name of the source that has a leaf; an empty text for the main source."""
    return path[0][:-1] if path and isinstance(path[0], SourceSegment) else ""


def source_path(path: tuple[str, ...], names: Collection[str]) -> tuple[str, ...]:
    """Returns a key path that was read as text, marked as that of the named source with which it begins, if any."""
    is_named = bool(path) and path[0].endswith(":") and path[0][:-1] in names
    return (SourceSegment(path[0]), *path[1:]) if is_named else path
