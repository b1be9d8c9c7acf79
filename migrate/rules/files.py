"""Where rule files lie: in the user's folders, or bundled with migrate, where a name without a suffix finds them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from migrate.codes import UnreadableRuleFile
from migrate.errors import Diagnostic, RuleFileError, Span, did_you_mean, nearest

MAX_BYTES = 4 * 2**20
"""The size of the largest rule file that is read: more than ten thousand rules."""

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A rule file that exists: what diagnostics call it, and where it is."""

    name: str
    place: Path


def bundled_names() -> list[str]:
    """The names of the rule files that come with migrate, such as `portable` and `linen/lstm-to-nnx`."""
    bundle = _bundle()
    return sorted(file.relative_to(bundle).with_suffix("").as_posix() for file in bundle.rglob("*.yaml"))


def find(name: str, within: RuleFile | None = None) -> RuleFile:
    """The file of this name, or the bundled one when there is no such file.

    Args:
      name: as the user wrote it.
      within: the file that includes it, from whose folder relative paths start; the current folder otherwise.

    Raises:
      RuleFileError: there is neither.
    """
    place = within.place.parent / name if within else Path(name)
    if os.path.exists(place):  # unlike `Path.exists`, false for names that no file can have
        return RuleFile(os.path.join(os.path.dirname(within.name), name) if within else name, place)
    if name in bundled_names():
        return RuleFile(name, _bundled(name))
    raise RuleFileError(_unknown(name, place))


def read(file: RuleFile) -> bytes:
    """The content of a rule file.

    Raises:
      RuleFileError: it cannot be read, or is too large to be one.
    """
    try:
        with file.place.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        raise RuleFileError(UnreadableRuleFile.at(f"`{file.name}` cannot be read: {reason}")) from None
    if len(content) > MAX_BYTES:
        message = f"`{file.name}` is larger than {MAX_BYTES // 2**20} MiB and cannot be a rule file"
        raise RuleFileError(UnreadableRuleFile.at(message))
    return content


def decode(content: bytes, name: str) -> str:
    """The text of a rule file.

    Raises:
      RuleFileError: it is no UTF-8; says where.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RuleFileError(_not_text(name, content, error.start)) from None


def text_of(name: str) -> str | None:
    """The text of what a diagnostic calls by this name, for excerpts; None when it cannot be read as text."""
    place = Path(name)
    if not os.path.exists(place) and name in bundled_names():
        place = _bundled(name)
    try:
        return place.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _bundle() -> Path:
    """The folder of bundled rule files: inside the package when installed, at the root of a checkout otherwise."""
    package = Path(__file__).parents[1]
    installed = package / "bundled"
    return installed if installed.is_dir() else package.parent / "rules"


def _bundled(name: str) -> Path:
    return _bundle() / f"{name}.yaml"


def _unknown(name: str, place: Path) -> Diagnostic:
    if place.suffix in _SUFFIXES:
        return UnreadableRuleFile.at(f"there is no rule file `{name}`", help=did_you_mean(place.name, _siblings(place)))
    names = bundled_names()
    near = did_you_mean(name, [*names, *_siblings(place)]) or _in_a_folder(name, names)
    known = ", ".join(f"`{one}`" for one in names) or "none"
    message = f"there is neither a file `{name}` nor a bundled rule file of that name"
    return UnreadableRuleFile.at(message, help="; ".join(filter(None, (near, f"bundled: {known}"))))


def _in_a_folder(name: str, names: Iterable[str]) -> str | None:
    """The bundled file that was probably meant by a name without its folder."""
    meant = {full.rpartition("/")[2]: full for full in names}
    found = nearest(name.rpartition("/")[2], meant)
    return f"did you mean `{meant[found]}`?" if found else None


def _siblings(place: Path) -> list[str]:
    """Rule files that a misspelled name may have meant."""
    try:
        return sorted(one.name for one in place.parent.iterdir() if one.suffix in _SUFFIXES)
    except (OSError, ValueError):
        return []


def _not_text(name: str, content: bytes, offset: int) -> Diagnostic:
    line = content.count(b"\n", 0, offset) + 1
    before = content[content.rfind(b"\n", 0, offset) + 1 : offset]
    column = len(before.decode("utf-8")) + 1
    span = Span(name, line, column, line, column + 1)
    return UnreadableRuleFile.at(f"`{name}` is not text in UTF-8: byte {offset} is {content[offset]:#04x}", span=span)
