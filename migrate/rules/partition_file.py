"""Partition files, which assign partition specs to leaves.

A partition file is a YAML list of `pattern: spec`; the first pattern that matches a leaf applies. A spec has one entry
per dimension: null, an axis of the mesh, or a list of axes.

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

from migrate.codes import InvalidValue, UnsupportedYaml
from migrate.errors import Diagnostic, RuleFileError, Span
from migrate.rules.field_types import ReadContext
from migrate.rules.files import RuleFile, decode, read
from migrate.rules.pattern import Pattern
from migrate.rules.pattern_types import read_source
from migrate.rules.source import ListNode, MapNode, Node, ScalarNode, compose
from migrate.tree import KeyPath

Spec = tuple[tuple[str, ...] | None, ...]

_FORM = 'write a list of `- pattern: [axis of each dimension]`, for example `- "**/kernel": [null, model]`'


@dataclass(frozen=True, slots=True)
class PartitionEntry:
    """One line of a partition file: the partition spec of the leaves that match the pattern."""

    pattern: Pattern
    spec: Spec
    span: Span


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition file; the first entry that matches a leaf applies."""

    path: str
    entries: tuple[PartitionEntry, ...]
    text: str = ""

    def find(self, path: KeyPath) -> PartitionEntry | None:
        """Returns the entry that applies to a leaf, or None."""
        return next((entry for entry in self.entries if entry.pattern.match(path) is not None), None)


def load_partition(path: str | os.PathLike[str]) -> Partition:
    """Reads a partition file.

    Raises:
      RuleFileError: the file has mistakes; carries all of them.
    """
    name = os.fspath(path)
    text = decode(read(RuleFile(name, Path(name))), name)
    root, findings = compose(text, name)
    entries = [] if findings else list(_entries(root, name, findings))
    if findings:
        raise RuleFileError(*findings)
    return Partition(name, tuple(entries), text)


def _entries(root: Node | None, name: str, findings: list[Diagnostic]) -> Iterator[PartitionEntry]:
    for key, value in _lines(root, name, findings):
        placed, spec = read_source(key, key.text, 0, ReadContext("pattern", findings)), _spec(value, findings)
        if placed is not None and spec is not None:
            yield PartitionEntry(placed.pattern, spec, key.span)


def _lines(root: Node | None, name: str, findings: list[Diagnostic]) -> Iterator[tuple[ScalarNode, Node]]:
    """Yields pattern and spec of each line; the file may also be one mapping, in the order of its keys."""
    if isinstance(root, MapNode):
        yield from root.entries
    elif isinstance(root, ListNode):
        for item in root.items:
            if isinstance(item, MapNode):
                yield from item.entries
            else:
                findings.append(InvalidValue.at("this item is not `pattern: spec`", span=item.span, help=_FORM))
    else:
        span = root.span if root else Span(name, 1, 1, 1, 2)
        findings.append(UnsupportedYaml.at("a partition file must be a list of `pattern: spec`", span=span, help=_FORM))


def _spec(node: Node, findings: list[Diagnostic]) -> Spec | None:
    if not isinstance(node, ListNode):
        findings.append(
            InvalidValue.at("a spec must be a list with one entry per dimension", span=node.span, help=_FORM)
        )
        return None
    entries = [_entry(item) for item in node.items]
    wrong = [item for item, entry in zip(node.items, entries, strict=True) if entry is False]
    findings += [
        InvalidValue.at("an entry must be null, an axis name, or a list of axis names", span=item.span)
        for item in wrong
    ]
    return None if wrong else tuple(entry or None for entry in entries if entry is not False)


def _entry(node: Node) -> tuple[str, ...] | Literal[False] | None:
    """Returns the axes of one dimension; False for an invalid entry."""
    if isinstance(node, ScalarNode):
        return None if node.value is None else (node.value,) if isinstance(node.value, str) else False
    if isinstance(node, ListNode):
        names = [item.value for item in node.items if isinstance(item, ScalarNode) and isinstance(item.value, str)]
        return tuple(names) if len(names) == len(node.items) else False
    return False
