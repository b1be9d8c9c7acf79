"""The notation of `rearrange`, such as `b (h k) ... -> b h k ...`, parsed without einops to keep planning light."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from migrate.ops.base import OpError

if TYPE_CHECKING:
    from collections.abc import Iterable

Group = tuple[str, ...]
"""The named axes that one axis of an array is merged from; none for an axis of size 1."""

_TOKEN = re.compile(r"\.\.\.|\w+|\S")
ELLIPSIS = "..."
"""Stands for all axes that have no name."""


@dataclass(frozen=True)
class Axes:
    """The names of the axes of an array before and after; every axis has its group."""

    left: tuple[Group, ...]
    right: tuple[Group, ...]

    def reversed(self) -> Axes:
        """The pattern of the inverse."""
        return Axes(self.right, self.left)

    def __str__(self) -> str:
        return f"{_text(self.left)} -> {_text(self.right)}"


@dataclass(frozen=True)
class AxisPattern:
    """A parsed pattern; None stands for a `...` outside parentheses: one group for each axis that it covers."""

    left: tuple[Group | None, ...]
    right: tuple[Group | None, ...]

    def expand(self, rest: int) -> Axes:
        """The pattern with `rest` axes in place of `...`."""
        taken = {name for group in self.left for name in group or ()}
        stem = "axis"
        while any(name.startswith(stem) for name in taken):
            stem += "_"
        names = tuple(f"{stem}{number}" for number in range(rest))
        return Axes(_expanded(self.left, names), _expanded(self.right, names))


@cache
def parse(text: str) -> AxisPattern:
    """Parses a pattern.

    Raises:
      OpError: the text is not a pattern, or its sides do not name the same axes.
    """
    left, arrow, right = text.partition("->")
    if not arrow:
        raise OpError(f"`{text}` has no `->`")
    pattern = AxisPattern(_groups(left, text), _groups(right, text))
    before, after = _names(pattern.left), _names(pattern.right)
    for names in (before, after):
        if len(names) != len(set(names)):
            raise OpError(f"`{text}` names an axis twice on one side")
    if odd := sorted(set(before) ^ set(after)):
        raise OpError(f"`{text}` names {', '.join(f'`{name}`' for name in odd)} on one side only")
    if any(group and ELLIPSIS in group for group in pattern.left):
        raise OpError(f"`{text}` merges `...` on the left, where nothing says how many axes it is")
    return pattern


def _groups(side: str, text: str) -> tuple[Group | None, ...]:
    groups: list[Group | None] = []
    merged: list[str] | None = None
    for word in _TOKEN.findall(side):
        if word == "(" and merged is None:
            merged = []
        elif word == ")" and merged is not None:
            groups.append(tuple(merged))
            merged = None
        elif word != ELLIPSIS and word != "1" and not word.isidentifier():
            raise OpError(f"`{word}` has no place in `{text}`; axes are names, `1`, `...` and groups in parentheses")
        elif merged is not None:
            merged += [word] if word != "1" else []
        elif word == ELLIPSIS:
            groups.append(None)
        else:
            groups.append((word,) if word != "1" else ())
    if merged is not None:
        raise OpError(f"`{text}` has a parenthesis that is not closed")
    return tuple(groups)


def _names(groups: Iterable[Group | None]) -> list[str]:
    return [name for group in groups for name in ((ELLIPSIS,) if group is None else group)]


def _expanded(groups: Iterable[Group | None], names: tuple[str, ...]) -> tuple[Group, ...]:
    expanded: list[Group] = []
    for group in groups:
        if group is None:
            expanded += [(name,) for name in names]
        else:
            expanded.append(tuple(n for name in group for n in (names if name == ELLIPSIS else (name,))))
    return tuple(expanded)


def _text(groups: Iterable[Group]) -> str:
    return " ".join(group[0] if len(group) == 1 else f"({' '.join(group)})" for group in groups)
