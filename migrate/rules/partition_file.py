"""A partition file: which leaves are split over which axes of a mesh.

A YAML list of `pattern: spec`, read from top to bottom; the first pattern that matches a leaf decides. A spec has one
entry per dimension: null, an axis of the mesh, or a list of axes.

    - "**/attn/*/kernel": [null, model]
    - "**/embedding": [[data, model], null]
    - "**": []
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from migrate.codes import InvalidValue, UnreadableRuleFile, UnsupportedYaml
from migrate.errors import Diagnostic, RuleFileError, Span
from migrate.rules.field_types import Where
from migrate.rules.pattern import Pattern
from migrate.rules.pattern_types import read_source
from migrate.rules.source import ListNode, MapNode, Node, ScalarNode, compose
from migrate.tree import KeyPath

Spec = tuple[tuple[str, ...] | None, ...]

_FORM = 'write a list of `- pattern: [axes of each dimension]`, for example `- "**/kernel": [null, model]`'


@dataclass(frozen=True, slots=True)
class Split:
    """One line of a partition file: leaves that match are split as `spec` says."""

    pattern: Pattern
    spec: Spec
    span: Span


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition file; the first split that matches a leaf decides."""

    path: str
    splits: tuple[Split, ...]
    text: str = ""

    def find(self, path: KeyPath) -> Split | None:
        """The split that decides about a leaf, or None."""
        return next((split for split in self.splits if split.pattern.match(path) is not None), None)


def load_partition(path: str | os.PathLike[str]) -> Partition:
    """Reads a partition file.

    Raises:
      RuleFileError: with every mistake in the file.
    """
    name = os.fspath(path)
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RuleFileError(UnreadableRuleFile.at(f"`{name}` cannot be read: {reason}")) from None
    root, findings = compose(text, name)
    splits = [] if findings else list(_splits(root, name, findings))
    if findings:
        raise RuleFileError(*findings)
    return Partition(name, tuple(splits), text)


def _splits(root: Node | None, name: str, findings: list[Diagnostic]) -> Iterator[Split]:
    for key, value in _lines(root, name, findings):
        placed, spec = read_source(key, key.text, 0, Where("pattern", findings)), _spec(value, findings)
        if placed is not None and spec is not None:
            yield Split(placed.pattern, spec, key.span)


def _lines(root: Node | None, name: str, findings: list[Diagnostic]) -> Iterator[tuple[ScalarNode, Node]]:
    """The lines of the file; one mapping of all patterns, in its order, is as good as a list."""
    if isinstance(root, MapNode):
        yield from root.entries
    elif isinstance(root, ListNode):
        for item in root.items:
            if isinstance(item, MapNode):
                yield from item.entries
            else:
                findings.append(InvalidValue.at("this is not a pattern with a spec", span=item.span, help=_FORM))
    else:
        span = root.span if root else Span(name, 1, 1, 1, 2)
        findings.append(UnsupportedYaml.at("this is not a partition file", span=span, help=_FORM))


def _spec(node: Node, findings: list[Diagnostic]) -> Spec | None:
    if not isinstance(node, ListNode):
        findings.append(InvalidValue.at("a spec is a list with one entry per dimension", span=node.span, help=_FORM))
        return None
    entries = [_entry(item) for item in node.items]
    wrong = [item for item, entry in zip(node.items, entries, strict=True) if entry is False]
    findings += [
        InvalidValue.at("an entry is null, an axis name, or a list of axis names", span=item.span) for item in wrong
    ]
    return None if wrong else tuple(entry or None for entry in entries if entry is not False)


def _entry(node: Node) -> tuple[str, ...] | Literal[False] | None:
    """The axes of one dimension; False for what is no entry."""
    if isinstance(node, ScalarNode):
        return None if node.value is None else (node.value,) if isinstance(node.value, str) else False
    if isinstance(node, ListNode):
        names = [item.value for item in node.items if isinstance(item, ScalarNode) and isinstance(item.value, str)]
        return tuple(names) if len(names) == len(node.items) else False
    return False
