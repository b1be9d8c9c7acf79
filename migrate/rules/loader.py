"""A rule file, with what it includes, becomes a `RuleSet`, or every mistake in it becomes a diagnostic."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from migrate.codes import InvalidInclude, MissingField, UnsupportedRuleVersion
from migrate.errors import Diagnostic, RuleFileError, Span
from migrate.rules.field_types import Record, Where, shown
from migrate.rules.files import MAX_BYTES, RuleFile, bundled_names, decode, find, read
from migrate.rules.include import place_rules
from migrate.rules.model import Guard, Include, Rule, RuleSet, Target
from migrate.rules.pattern import Pattern
from migrate.rules.schema import FILE, VERSION
from migrate.rules.source import MapNode, Node, ScalarNode, compose

__all__ = ["MAX_BYTES", "bundled_names", "load_rules", "parse_rules"]

MAX_INCLUDES = 1000
"""How many files one rule file may include, through others or not."""


def load_rules(path: str | os.PathLike[str]) -> RuleSet:
    """Reads a rule file and what it includes.

    Args:
      path: a file, or the name of a bundled rule file (such as `portable`) when there is no file of that name.

    Raises:
      RuleFileError: with every mistake in the files.
    """
    file = find(os.fspath(path))
    content = read(file)
    return _load(file, decode(content, file.name), content)


def parse_rules(text: str, path: str) -> RuleSet:
    """Reads the text of a rule file; `path` is what diagnostics call it, and where relative includes start.

    Raises:
      RuleFileError: with every mistake in the text.
    """
    return _load(RuleFile(path, Path(path)), text, text.encode("utf-8", "surrogatepass"))


def _load(file: RuleFile, text: str, content: bytes) -> RuleSet:
    load = _Load()
    part = load.part(file, text, content)
    if load.findings or part is None:
        raise RuleFileError(*load.findings)
    return _rule_set(part, file.name, text)


@dataclass(frozen=True, slots=True)
class _Part:
    """A file that was read: its fields, its rules after those that it includes, and the digest of all of them."""

    record: Record
    rules: tuple[Rule, ...]
    digest: str


_Place = tuple[Pattern | None, Pattern | None]


@dataclass
class _Load:
    """The reading of one rule file and of everything that it includes."""

    findings: list[Diagnostic] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    """The files from the first one to the one that is being read, as real paths."""
    places: list[_Place] = field(default_factory=list)
    """The places of the includes that led to it."""
    included: dict[tuple[str | _Place, ...], Include] = field(default_factory=dict)

    def part(self, file: RuleFile, text: str, content: bytes) -> _Part | None:
        """A file's part; None after a finding."""
        node, findings = compose(text, file.name)
        root = _root(node, file.name, findings)
        record = FILE.read(root, Where("rules", findings)) if root is not None else None
        self.findings += sorted(findings, key=_position)
        if findings or record is None:
            return None
        self.open.append(os.path.realpath(file.place))
        parts = [self._include(include, file) for include in record.get("include", ())]
        self.open.pop()
        above = [part for part in parts if part is not None]
        rules = (*(rule for part in above for rule in part.rules), *record.get("rules"))
        return _Part(record, rules, _digest(content, [part.digest for part in above]))

    def _include(self, include: Include, within: RuleFile) -> _Part | None:
        """The part of an included file, put where it belongs; None after a finding."""
        try:
            file = find(include.file, within)
            self._refuse_repeated(include, os.path.realpath(file.place))
            content = read(file)
            text = decode(content, file.name)
        except RuleFileError as error:
            self.findings += [_at(one, include) for one in error.diagnostics]
            return None
        self.places.append((include.under, include.to))
        part = self.part(file, text, content)
        self.places.pop()
        if part is None:
            return None
        self.findings += _decisions(part.record, file, include)
        return _Part(part.record, place_rules(include, part.rules, self.findings), part.digest)

    def _refuse_repeated(self, include: Include, place: str) -> None:
        """Refuses a file that is being read or was read for the same place, and more files than anybody means."""
        if place in self.open:
            circle = " → ".join(f"`{Path(one).stem}`" for one in [*self.open[self.open.index(place) :], place])
            raise RuleFileError(
                InvalidInclude.at(f"`{include.file}` would include itself: {circle}", span=include.span)
            )
        key: tuple[str | _Place, ...] = (place, *self.places, (include.under, include.to))
        first = self.included.setdefault(key, include)
        if first is not include:
            message = f"`{include.file}` is included twice at one place"
            label = f"the other time at {first.span}"
            raise RuleFileError(
                InvalidInclude.at(message, span=include.span, label=label, help="remove one of the two")
            )
        if len(self.included) > MAX_INCLUDES:
            raise RuleFileError(InvalidInclude.at(f"more than {MAX_INCLUDES} files are included", span=include.span))


def _at(diagnostic: Diagnostic, include: Include) -> Diagnostic:
    """A finding about a file that cannot be read, at the place that names it unless it has one in the file."""
    return diagnostic if diagnostic.span else replace(diagnostic, span=include.span)


def _decisions(record: Record, file: RuleFile, include: Include) -> list[Diagnostic]:
    """Findings about fields that only the file that is applied can have."""
    names = [name for name in ("source", "target", "follow", "unmatched") if record.get(name) is not None]
    said = ", ".join(f"`{name}`" for name in names)
    cure = "an included file gives its rules; write the fields into the file that includes it"
    return [InvalidInclude.at(f"`{file.name}` says {said}", span=include.span, help=cure)] if names else []


def _digest(content: bytes, included: Sequence[str]) -> str:
    """The digest of a file alone, or together with those of the files that it includes."""
    own = hashlib.sha256(content)
    if included:
        own = hashlib.sha256("\n".join((own.hexdigest(), *included)).encode())
    return f"sha256:{own.hexdigest()}"


def _root(node: Node | None, path: str, findings: list[Diagnostic]) -> MapNode | None:
    """The root when it is a rule file of a known version; other versions may mean other things by every field."""
    start = Span(path, 1, 1, 1, 2)
    if node is None:
        if not findings:
            findings.append(
                MissingField.at("the rule file is empty", span=start, help="a rule file begins with `migrate: 1`")
            )
        return None
    if not isinstance(node, MapNode):
        message = f"a rule file is a mapping that begins with `migrate: 1`, not {shown(node)}"
        findings.append(MissingField.at(message, span=node.span))
        return None
    version = node.get("migrate")
    if version is None or (isinstance(version, ScalarNode) and version.value == VERSION):
        return node
    message = f"`migrate` must be {VERSION}, the only version of the rule language so far, not {shown(version)}"
    findings.append(UnsupportedRuleVersion.at(message, span=version.span))
    return None


def _position(diagnostic: Diagnostic) -> tuple[int, int]:
    return (diagnostic.span.line, diagnostic.span.column) if diagnostic.span else (0, 0)


def _rule_set(part: _Part, path: str, text: str) -> RuleSet:
    record = part.record
    spans = {key.text: key.span for key, _ in record.node.entries}
    guard, target, unmatched = (record.get(name) for name in ("source", "target", "unmatched"))
    empty = Record(record.node)
    return RuleSet(
        path=path,
        digest=part.digest,
        rules=part.rules,
        name=record.get("name", ""),
        source=Guard(**guard.values, span=spans["source"]) if guard else Guard(),
        target=Target(**target.values, span=spans["target"]) if target else Target(),
        follow=record.get("follow", "auto") == "auto",
        unmatched_source=(unmatched or empty).get("source", "error"),
        unmatched_target=(unmatched or empty).get("target", "error"),
        text=text,
        probe=record.get("probe"),
    )
