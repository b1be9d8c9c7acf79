"""The name `module:callable` that was meant where the user wrote the name of a file."""

from __future__ import annotations

import ast
import os
import shlex
from pathlib import Path, PurePath

SUFFIX = ".py"


def meant_spec(spec: str) -> str | None:
    """Returns `module:callable` for `module.py:callable` and `folder/module.py:callable`; None for other text."""
    place, colon, attribute = spec.rpartition(":")
    file = PurePath(place.removesuffix(SUFFIX))
    names = [part for part in file.parts if part != "."]
    if not colon or (str(file) == place and len(file.parts) < 2) or file.is_absolute():
        return None
    meant = ".".join(names)
    words = [*meant.split("."), *attribute.split(".")]
    return f"{meant}:{attribute}" if all(word.isidentifier() for word in words) else None


def advise_on_spec(spec: str) -> str | None:
    """Returns the help for a name that is not `module:callable`, or whose module does not exist; None if it is unclear.

    The files of the current directory are looked up, and nothing is run.
    """
    place, attribute = _parts(spec)
    if place is None:
        return None
    below = _below_here(place)
    if below is None:
        named = _named(place.stem, place, attribute)
        return f"change to its directory, `cd {shlex.quote(str(place.parent))}`, and write {named}"
    named = _named(".".join(below.with_suffix("").parts), place, attribute)
    return f"write {named}; the current directory is on the import path"


def _parts(spec: str) -> tuple[Path | None, str]:
    """Returns the Python file that a name means, if there is one, and the attribute."""
    place, colon, attribute = spec.rpartition(":")
    if not colon:
        place, attribute = (spec, "") if spec.endswith(SUFFIX) or _file(spec) else _at_last_dot(spec)
    file = _file(place)
    return file, attribute


def _at_last_dot(spec: str) -> tuple[str, str]:
    place, _, attribute = spec.rpartition(".")
    return place, attribute


def _file(place: str) -> Path | None:
    stem = place.removesuffix(SUFFIX)
    candidates = [Path(f"{stem}{SUFFIX}"), Path(f"{stem.replace('.', os.sep)}{SUFFIX}")] if stem else []
    return next((one for one in candidates if os.path.isfile(one)), None)


def _below_here(file: Path) -> Path | None:
    try:
        return Path(os.path.abspath(file)).relative_to(Path.cwd())
    except (OSError, ValueError):
        return None


def _named(module: str, file: Path, attribute: str) -> str:
    if attribute:
        return f"`{module}:{attribute}`"
    names = _defined(file)
    return " or ".join(f"`{module}:{name}`" for name in names[:3]) or f"`{module}:NAME`"


def _defined(file: Path) -> list[str]:
    """Returns the functions and classes at the top of a file, functions that make something first."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return []
    names = [one.name for one in body if isinstance(one, (ast.FunctionDef, ast.ClassDef)) and one.name[0] != "_"]
    return sorted(names, key=lambda name: not name.startswith(("make", "create", "build")))
