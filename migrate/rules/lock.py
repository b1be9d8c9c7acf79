"""The lock file of a folder of rule files, `migrate.lock`: the digest of every released rule file and recorded tree.

It is text with one line for each file, sorted by name, in the form of `sha256sum`. Two branches that both add a version
add lines at the same place, so that merging them conflicts.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import join

from migrate.codes import EditedRelease, InvalidLock, MissingRelease, UnlockedFile
from migrate.errors import Diagnostic, RuleFileError, Span
from migrate.rules.files import RuleFile, decode, read

NAME = "migrate.lock"
"""The name of the file in its folder."""

HEADER = "# Digests of released rule files and recorded trees; `migrate check --write` adds new ones."
"""The first line of the file."""

MOST_BYTES = 2**30
"""The maximum size of a file that is digested."""

_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_MARKERS = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")


@dataclass(frozen=True, slots=True)
class LockEntry:
    """A line of the lock file: the name of a file relative to the folder, its digest, and the location of the line."""

    name: str
    digest: str
    span: Span


@dataclass(frozen=True)
class Lock:
    """The lock file of a folder, compared with the files.

    Attributes:
      folder: the folder as the user named it.
      exists: whether there is a lock file.
      entries: its lines by name.
      missing: the digest of each file that it does not list, by name.
      problems: its invalid lines, edited and missing files; unlisted files are not among them.
    """

    folder: str
    exists: bool = False
    entries: Mapping[str, LockEntry] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Diagnostic, ...] = ()

    @property
    def path(self) -> str:
        """The name of the lock file."""
        return os.path.join(self.folder, NAME)

    @property
    def completed(self) -> str:
        """The text of the file with the missing lines; the digests that it records stay."""
        lines = {name: entry.digest for name, entry in self.entries.items()} | dict(self.missing)
        return "".join(f"{line}\n" for line in (HEADER, *(f"{lines[name]}  {name}" for name in sorted(lines))))

    def unlisted(self) -> Iterator[Diagnostic]:
        """Yields a diagnostic for each file that the lock file does not list, or one if there is no lock file."""
        command = f"`{join(['migrate', 'check', self.folder, '--write'])}`"
        if not self.exists and self.missing:
            yield UnlockedFile.at(
                f"{self.path} does not exist: no released file is protected from edits",
                help=f"{command} writes it; commit it with the rule files",
            )
            return
        for name in sorted(self.missing):
            file = os.path.join(self.folder, name)
            yield UnlockedFile.at(
                f"{file} is not listed in {self.path}",
                span=Span(file, 1, 1, 1, 2),
                help=f"{command} adds it; commit the lock file with it",
            )


def load_lock(folder: str, names: Iterable[str]) -> Lock:
    """Returns the lock file of a folder, compared with its files.

    Args:
      folder: the folder as the user named it.
      names: the names of the released files, relative to the folder, with `/`.
    """
    path = os.path.join(folder, NAME)
    if not os.path.lexists(path):
        return Lock(folder, missing=_digests(folder, names))
    problems: list[Diagnostic] = []
    try:
        text = decode(read(RuleFile(path, Path(path))), path)
    except RuleFileError as error:
        return Lock(folder, exists=True, problems=tuple(error.diagnostics))
    entries = _parsed(text, path, problems)
    found = _digests(folder, dict.fromkeys((*names, *entries)))
    problems += _changed(folder, entries, found)
    missing = {name: digest for name, digest in found.items() if name not in entries}
    return Lock(folder, True, entries, missing, tuple(problems))


def digest(content: bytes) -> str:
    """Returns the SHA-256 of a text file in hexadecimal digits; line ends of Windows count as those of Unix."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def _digests(folder: str, names: Iterable[str]) -> dict[str, str]:
    """Returns the digests of the files that exist, by name."""
    found = {}
    for name in names:
        place = Path(folder, name)
        if place.is_file():
            found[name] = digest(read(RuleFile(str(place), place), MOST_BYTES))
    return found


def _parsed(text: str, path: str, problems: list[Diagnostic]) -> dict[str, LockEntry]:
    entries: dict[str, LockEntry] = {}
    within = False  # a conflict, which is one problem
    for number, line in enumerate(text.splitlines(), start=1):
        span = Span(path, number, 1, number, max(len(line), 1) + 1)
        found = _LINE.fullmatch(line)
        if line.startswith(_MARKERS):
            problems += [] if within else [_conflict(line, span)]
            within = line.startswith(_MARKERS[:-1])
        elif found is None:
            problems += [_unreadable(span)] if line.strip() and not line.startswith("#") else []
        elif entries.setdefault(found[2], LockEntry(found[2], found[1], span)).digest != found[1]:
            first = entries[found[2]].span.line
            problems.append(
                InvalidLock.at(
                    f"{found[2]} is listed twice, with two digests",
                    span=span,
                    label=f"first on line {first}",
                    help="keep the line of the released file and delete the other",
                )
            )
    return entries


def _conflict(line: str, span: Span) -> Diagnostic:
    return InvalidLock.at(
        f"`{line[:7]}` is a conflict marker: two branches have added a version",
        span=span,
        help="keep the lines of both branches and delete the markers; then let one version follow the other",
    )


def _unreadable(span: Span) -> Diagnostic:
    return InvalidLock.at(
        "the line is not a SHA-256 in 64 hexadecimal digits, two spaces and a name",
        span=span,
        help=f"restore it with `{join(['git', 'checkout', '--', span.file])}`",
    )


def _changed(folder: str, entries: Mapping[str, LockEntry], found: Mapping[str, str]) -> Iterator[Diagnostic]:
    for name, entry in entries.items():
        file = os.path.join(folder, name)
        restore = f"restore it with `{join(['git', 'checkout', '--', file])}`"
        unused = "if no checkpoint was migrated with it yet, delete"
        if name not in found:
            yield MissingRelease.at(
                f"{file} is released and does not exist", span=entry.span, help=f"{restore}; {unused} this line"
            )
        elif found[name] != entry.digest:
            write = f"`{join(['migrate', 'check', folder, '--write'])}`"
            yield EditedRelease.at(
                f"{file} was edited after its release: line {entry.span.line} of {entry.span.file} has another digest",
                span=Span(file, 1, 1, 1, 2),
                help=f"{restore}; {unused} that line and run {write}",
            )
