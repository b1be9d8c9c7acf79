"""Finds and reads rule files: the user's files, and the bundled ones, which are named without a suffix."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shlex import join

from migrate.codes import UnreadableRuleFile
from migrate.errors import Diagnostic, RuleFileError, Span, did_you_mean, nearest
from migrate.formats.boundary import is_utf_8, is_without_size, special_kind

MAX_BYTES = 4 * 2**20
"""The maximum size of a rule file in bytes, enough for more than ten thousand rules."""

_DESCRIPTOR = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/self/fd/\d+")
SUFFIXES = (".yaml", ".yml")
"""The suffixes of rule files."""

_PLAN_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class RuleFile:
    """An existing rule file: its name in diagnostics, and its path."""

    name: str
    place: Path


def bundled_names() -> list[str]:
    """Returns the names of the bundled rule files, such as `portable`, `linen/lstm-to-nnx` and `hf/qwen3`."""
    return sorted(_bundled_files())


def find(name: str, within: RuleFile | None = None) -> RuleFile:
    """Returns the file of this name, or the bundled rule file if no such file exists.

    Args:
      name: the name as the user wrote it.
      within: the including file, whose folder is the base of relative paths (default: the current directory).

    Raises:
      RuleFileError: neither exists, or an included file is a pipe or a device.
    """
    place = within.place.parent / name if within else Path(name)
    if within:
        _refuse_special(name, place, descriptors=False)
    if os.path.exists(place):  # unlike `Path.exists`, false for invalid file names
        return RuleFile(os.path.join(os.path.dirname(within.name), name) if within else name, place)
    bundled = _bundled_files().get(name)
    if bundled is not None:
        return RuleFile(name, bundled)
    raise RuleFileError(_unknown(name, place))


def read(file: RuleFile, most: int = MAX_BYTES) -> bytes:
    """Returns the content of a rule file or a plan file; `most` is its maximum size in bytes.

    Raises:
      RuleFileError: it cannot be read, or it is too large.
    """
    _refuse_special(file.name, file.place)
    try:
        with file.place.open("rb") as stream:
            content = b"" if is_without_size(stream.fileno()) else stream.read(most + 1)
    except (OSError, ValueError) as error:  # ValueError: an invalid file name
        if isinstance(error, FileNotFoundError) and file.place.suffix == _PLAN_SUFFIX:
            raise RuleFileError(_unknown(file.name, file.place)) from None
        reason = getattr(error, "strerror", None) or str(error)
        raise RuleFileError(UnreadableRuleFile.at(f"`{file.name}` cannot be read: {reason}")) from None
    if len(content) > most:
        message = f"`{file.name}` is larger than {most // 2**20} MiB, the limit for such files"
        raise RuleFileError(UnreadableRuleFile.at(message))
    return content


def _refuse_special(name: str, place: Path, *, descriptors: bool = True) -> None:
    """Refuses a pipe or a device, which could block for ever; open descriptors such as `/dev/stdin` can be allowed.

    Raises:
      RuleFileError: it is one, or the bytes of its path are not UTF-8.
    """
    kind = special_kind(place)
    if kind is not None and not (descriptors and _DESCRIPTOR.fullmatch(name)):
        message = f"`{name}` is {kind}, not a file"
        advice = "copy it to a file, or pass it as `/dev/stdin`"
        raise RuleFileError(UnreadableRuleFile.at(message, help=advice))
    if not is_utf_8(name):
        raise RuleFileError(UnreadableRuleFile.at(f"the bytes of the path `{name}` are not UTF-8", help="rename it"))


def decode(content: bytes, name: str) -> str:
    """Returns the text of a rule file.

    Raises:
      RuleFileError: it is not UTF-8; the diagnostic has the location.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RuleFileError(_not_text(name, content, error.start)) from None


def text_of(name: str) -> str | None:
    """Returns the text of the file that diagnostics name this way, for excerpts; None if it cannot be read as text."""
    place = Path(name)
    if not os.path.exists(place):
        place = _bundled_files().get(name, place)
    if special_kind(place) is not None:
        return None
    try:
        return "" if is_without_size(place) else place.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _bundle() -> Path:
    """Returns the folder of bundled rule files: inside an installed package, or at the root of a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "bundled"
    return installed if installed.is_dir() else package.parent / "rules"


@cache
def _bundled_files() -> Mapping[str, Path]:
    """Returns the bundled rule files by name, which is the path below the bundle without a leading `families/`.

    They are listed once in a process.
    """
    bundle = _bundle()
    families = bundle / "families"
    files = list(bundle.rglob("*.yaml"))
    places = [file.relative_to(families if file.is_relative_to(families) else bundle) for file in files]
    return {place.with_suffix("").as_posix(): file for place, file in zip(places, files, strict=True)}


def _unknown(name: str, place: Path) -> Diagnostic:
    if place.suffix == _PLAN_SUFFIX:
        advice = did_you_mean(place.name, _siblings(place, (_PLAN_SUFFIX,))) or (
            f"`{join(['migrate', 'plan', 'RULES', 'SRC', '-o', name])}` writes it"
        )
        return UnreadableRuleFile.at(f"the plan file `{name}` does not exist", help=advice)
    if place.suffix in SUFFIXES:
        advice = did_you_mean(place.name, _siblings(place)) or (
            f"`{join(['migrate', 'suggest', 'SRC', '--template', 'M:F', '-o', name])}` drafts it"
        )
        return UnreadableRuleFile.at(f"the rule file `{name}` does not exist", help=advice)
    names = bundled_names()
    near = did_you_mean(name, [*names, *_siblings(place)]) or _bundled_elsewhere(name, names)
    known = ", ".join(f"`{one}`" for one in names) or "none"
    message = f"neither a file nor a bundled rule file `{name}` exists"
    return UnreadableRuleFile.at(message, help=near or f"bundled: {known}")


def _bundled_elsewhere(name: str, names: Iterable[str]) -> str | None:
    """Returns a suggestion for a bundled file that was named without its folder, or None."""
    meant = {full.rpartition("/")[2]: full for full in names}
    found = nearest(name.rpartition("/")[2], meant)
    return f"did you mean `{meant[found]}`?" if found else None


def _siblings(place: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """Returns the files with these suffixes in the same folder, as candidates for a misspelled name."""
    try:
        return sorted(one.name for one in place.parent.iterdir() if one.suffix in suffixes)
    except (OSError, ValueError):
        return []


def _not_text(name: str, content: bytes, offset: int) -> Diagnostic:
    line = content.count(b"\n", 0, offset) + 1
    before = content[content.rfind(b"\n", 0, offset) + 1 : offset]
    column = len(before.decode("utf-8")) + 1
    span = Span(name, line, column, line, column + 1)
    return UnreadableRuleFile.at(f"`{name}` is not UTF-8 text: byte {offset} is {content[offset]:#04x}", span=span)
