"""The pattern that a pattern without a match was meant to be: each segment is compared with the names at its place."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from migrate.codes import UnknownSource
from migrate.errors import Diagnostic, did_you_mean, nearest
from migrate.rules.pattern import Pattern, PatternError
from migrate.source_names import source_of
from migrate.tree import AbstractTree, KeyPath, format_path

_MOST = 2000
"""The number of names that a segment, and of key paths that a pattern, is compared with: comparing is slow."""

_PREFIX = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*):")
_SEPARATOR = re.compile(r"(?<!\\)/(?![^{}]*\})")
_WILDCARD = re.compile(r"\{[^{}]*\}|\*+")
_CONDITION = re.compile(r"(?<=:int)\s+where\b[^{}]*(?=\})")


@dataclass(frozen=True)
class NearPatterns:
    """Proposes patterns that match leaves of a tree."""

    tree: AbstractTree

    def did_you_mean(self, pattern: Pattern) -> str | None:
        """Returns ``did you mean `x`?`` for the most similar pattern or key path, or the condition that excludes all
        leaves; or None.
        """
        if not pattern.is_regex:
            if pattern.is_conditional and (count := self._unconditional_matches(pattern)):
                leaves = "1 leaf" if count == 1 else f"{count:,} leaves"
                return f"it matches {leaves} without its condition"
            for text in (self._repaired(pattern.text), *self._below_a_root(pattern.text)):
                if text is not None and self._matches(text):
                    return f"did you mean `{text}`?"
        return did_you_mean(str(pattern), self._key_paths(pattern))

    @cached_property
    def _children(self) -> dict[KeyPath, list[str]]:
        """The names below each node."""
        found: defaultdict[KeyPath, dict[str, None]] = defaultdict(dict)
        for path in self.tree.leaves:
            for depth, name in enumerate(path):
                found[path[:depth]][name] = None
        return {node: list(names) for node, names in found.items()}

    def _repaired(self, text: str) -> str | None:
        """Returns the text with each segment that matches no name at its place replaced by the nearest one."""
        nodes: list[KeyPath] = [()]
        segments = _SEPARATOR.split(text)
        for at, segment in enumerate(segments):
            if _is_rest(segment):
                return "/".join(segments)
            names = list(dict.fromkeys(name for node in nodes for name in self._children.get(node, ())))[:_MOST]
            fitting = _fitting(segment, names)
            if not fitting:
                near = _nearest(segment, names)
                fitting = _fitting(near, names) if near else []
                segments[at] = near or segment
            if not fitting:
                return None
            chosen = set(fitting)
            nodes = [(*node, name) for node in nodes for name in self._children.get(node, ()) if name in chosen][:_MOST]
        return "/".join(segments)

    def _below_a_root(self, text: str) -> Iterator[str]:
        """Yields the text below each name at the root, and without its own first segment."""
        first, *rest = _SEPARATOR.split(text, maxsplit=1)
        if _WILDCARD.fullmatch(first):
            return
        yield from (f"{format_path((name,))}/{text}" for name in self._children.get((), ())[:_MOST])
        yield from (one for one in rest if not _is_rest(one))

    def _matches(self, text: str) -> bool:
        try:
            pattern = Pattern.parse(text)
        except PatternError:
            return False
        return any(pattern.match(path) is not None for path in self.tree.leaves)

    def _unconditional_matches(self, pattern: Pattern) -> int:
        """Returns the number of leaves that match a pattern without its conditions."""
        bare = Pattern.parse(_CONDITION.sub("", pattern.text))
        return sum(bare.match(path) is not None for path in self.tree.leaves)

    def _key_paths(self, pattern: Pattern) -> list[str]:
        """Returns the key paths to compare with a pattern: those of its length, else all."""
        depth = str(pattern).count("/") + 1
        same_depth = [format_path(path) for path in self.tree.leaves if len(path) == depth]
        return (same_depth or [format_path(path) for path in self.tree.leaves])[:_MOST]


def unknown_source(pattern: Pattern, tree: AbstractTree) -> Diagnostic | None:
    """Returns a finding where a pattern that matches nothing begins like the key paths of a source that is not there.

    Args:
      pattern: the pattern.
      tree: the tree of all sources.
    """
    found = _PREFIX.match(pattern.text)
    known = {source_of(path) for path in tree.leaves} - {""}
    if found is None or found[1] in known or not (known or pattern.source):
        return None
    if any(path and path[0].startswith(found[0]) for path in tree.leaves):
        return None
    name = found[1]
    return UnknownSource.at(
        f"`{pattern}` names the source `{name}`, which does not exist",
        label=did_you_mean(name, sorted(known)),
        help=f"declare it, `sources: {{{name}: null}}`, and give its path: `--source {name}=PATH`",
    )


def _is_rest(segment: str) -> bool:
    return segment == "**" or segment.endswith(":**}")


def _fitting(segment: str, names: Iterable[str]) -> list[str]:
    if not segment:
        return [name for name in names if not name]
    try:
        pattern = Pattern.parse(_CONDITION.sub("", segment))
    except PatternError:
        return []
    return [name for name in names if pattern.match((name,)) is not None]


def _nearest(segment: str, names: Iterable[str]) -> str | None:
    """Returns the name nearest to a segment, with the segment's wildcard in place of its first number."""
    wildcards = _WILDCARD.findall(segment)
    if len(wildcards) > 1 or segment in wildcards:
        return None
    found = nearest(_WILDCARD.sub("0", segment), names)
    if found is None or not wildcards:
        return format_path((found,)) if found is not None else None
    before, number, after = re.fullmatch(r"(\D*)(\d*)(.*)", found, re.DOTALL).groups()  # type: ignore[union-attr]
    if not number:
        return None
    return "".join((before and format_path((before,)), wildcards[0], after and format_path((after,))))
