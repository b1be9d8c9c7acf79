"""Policies for findings: which codes are errors, warnings or allowed, everywhere, in some files or for some leaves.

`policy_file` reads them from `pyproject.toml`. Errors that are defects cannot be lowered; other findings can.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from migrate.codes import InvalidPolicy
from migrate.errors import Code, Diagnostic, Severity, Span, did_you_mean
from migrate.rules.pattern import Pattern
from migrate.rules.policy_fields import Level, Scope
from migrate.tree import parse_path

_SEVERITIES: Mapping[Level, Severity] = {"error": "error", "warn": "warning"}


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """The levels of some codes within a scope.

    Attributes:
      levels: the level of each code.
      scope: all findings, or those whose file or leaf matches `text`.
      text: a pattern of file names (`*` matches any characters) relative to `pyproject.toml`, or of key paths.
      pattern: the pattern of key paths; None in other scopes.
      span: the location of the entry.
    """

    levels: Mapping[str, Level]
    scope: Scope = "all"
    text: str = ""
    pattern: Pattern | None = None
    span: Span | None = None

    def covers(self, file: str | None, path: str | None) -> bool:
        """Whether the entry is about a file and a leaf; None where a finding has none."""
        if self.scope == "per-file":
            return file is not None and fnmatchcase(file, self.text)
        if self.pattern is not None:
            return path is not None and self.pattern.match(parse_path(path)) is not None
        return True


@dataclass(frozen=True, slots=True)
class Policy:
    """The policies of a project; of several entries that cover a finding, the most specific and then the last decides.

    Attributes:
      entries: the entries, those for all findings first, those for leaves last.
      root: the folder of `pyproject.toml`.
      file: `pyproject.toml` as diagnostics name it.
    """

    entries: tuple[PolicyEntry, ...] = ()
    root: Path = field(default_factory=Path)
    file: str = "pyproject.toml"

    def applied(self, diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        """Returns the diagnostics with their severities and without those that are allowed.

        The help of a lint states how to allow it.
        """
        return tuple(self._advised(one) for diagnostic in diagnostics for one in self._judged(diagnostic))

    def idle(self, files: Collection[str], leaves: Iterable[str] | None) -> Iterator[Diagnostic]:
        """Yields a diagnostic for each pattern that matches nothing.

        Args:
          files: the files that findings can name; for others the file system is searched.
          leaves: the key paths of all versions as text; None where they are unknown: then patterns of key paths pass.
        """
        names = [name for name in map(self._relative, files) if name is not None]
        paths = list(dict.fromkeys(leaves or ())) if any(entry.pattern for entry in self.entries) else []
        for entry in self.entries:
            if entry.scope == "per-file" and not (
                any(fnmatchcase(n, entry.text) for n in names) or self._exists(entry)
            ):
                yield _idle(entry, "no file", names)
            elif entry.pattern and leaves is not None and not any(entry.covers(None, path) for path in paths):
                yield _idle(entry, "no leaf of any version", paths)

    def _judged(self, diagnostic: Diagnostic) -> Iterator[Diagnostic]:
        code = Code.registry[diagnostic.code]
        if diagnostic.is_error and code.severity == "error":
            yield diagnostic
            return
        file = self._relative(diagnostic.span.file) if diagnostic.span else None
        entries = [
            entry
            for entry in self.entries
            if diagnostic.code in entry.levels and (entry.pattern is not None or entry.covers(file, None))
        ]
        if not any(entry.pattern for entry in entries):
            yield from _with_severity(diagnostic, _severity(diagnostic, entries, None))
            return
        groups: defaultdict[Severity | None, list[str]] = defaultdict(list)
        for path in diagnostic.paths or [None]:
            groups[_severity(diagnostic, entries, path)] += [path] if path is not None else []
        if not code.is_lint:  # its message may count the leaves, so it is not divided
            groups = defaultdict(list, {_strictest(groups): list(diagnostic.paths)})
        for severity, paths in groups.items():
            yield from _with_severity(replace(diagnostic, paths=tuple(paths)), severity)

    def _advised(self, diagnostic: Diagnostic) -> Diagnostic:
        file = self._relative(diagnostic.span.file) if diagnostic.span else None
        if not Code.registry[diagnostic.code].is_lint or diagnostic.is_error or file is None or diagnostic.snippet:
            return diagnostic
        line = f'"{file}" = {{allow = ["{diagnostic.code}"]}}'
        advice = f"{diagnostic.help}; or allow it, in `[tool.migrate.per-file]` of {self.file}:"
        return replace(diagnostic, help=advice, snippet=(line,))

    def _relative(self, file: str) -> str | None:
        """Returns the name of a file relative to `pyproject.toml`; None for one that does not exist (a bundled one)."""
        return Path(os.path.relpath(os.path.realpath(file), self.root)).as_posix() if os.path.lexists(file) else None

    def _exists(self, entry: PolicyEntry) -> bool:
        try:
            return any(True for _ in self.root.glob(entry.text))
        except (ValueError, NotImplementedError, OSError):
            return False


def _severity(diagnostic: Diagnostic, entries: Iterable[PolicyEntry], path: str | None) -> Severity | None:
    """Returns the severity of a finding for one leaf by the entries that cover its file; None if it is allowed."""
    found: Severity | None = diagnostic.severity
    for entry in entries:
        if entry.pattern is None or entry.covers(None, path):
            found = _SEVERITIES.get(entry.levels[diagnostic.code])
    return found


def _with_severity(diagnostic: Diagnostic, severity: Severity | None) -> Iterator[Diagnostic]:
    if severity is not None:
        yield diagnostic if severity == diagnostic.severity else replace(diagnostic, severity=severity)


def may_be_lowered(code: type[Code]) -> bool:
    """Whether a policy may make a warning of a code, or allow it."""
    return code.is_lint or code.severity != "error"


def _strictest(severities: Iterable[Severity | None]) -> Severity | None:
    order: tuple[Severity | None, ...] = ("error", "warning", "note", None)
    return min(severities, key=order.index)


def _idle(entry: PolicyEntry, what: str, candidates: Iterable[str]) -> Diagnostic:
    return InvalidPolicy.at(
        f"the {entry.scope} pattern `{entry.text}` matches {what}",
        span=entry.span,
        help=did_you_mean(entry.text, candidates) or "correct or remove it",
    )
