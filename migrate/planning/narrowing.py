"""Advice for rules of another file than the user's own: how to leave some of their leaves to rules of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from migrate.errors import Span
from migrate.rules.model import Drop, Move, Rule
from migrate.tree import KeyPath, format_path

_MOST = 3
"""The number of leaves that a proposed file names."""


def advise_overlap(rivals: Sequence[Rule], paths: Sequence[KeyPath]) -> str:
    """Returns the help for rules that claim the same leaves: the include of one can be narrowed by the patterns of the
    other, and a rule of one's own by the leaves.
    """
    first, last = rivals[0], rivals[-1]
    if first.span.file == last.span.file:
        return "narrow one of the two with `except: [pattern, …]`"
    return f"add `{_except(_patterns(last, paths))}` to the include of `{first.span.file}`"


def _patterns(rule: Rule, paths: Sequence[KeyPath]) -> list[str]:
    """Returns the patterns of a rule if they are as good as the leaves."""
    plain = isinstance(rule, (Move, Drop)) and not rule.excepts and not any(one.is_regex for one in rule.sources)
    if plain and len(paths) > _MOST and isinstance(rule, (Move, Drop)):
        return [str(one) for one in rule.sources]
    return [format_path(path) for path in paths]


def _except(patterns: Iterable[str]) -> str:
    return f"except: {json.dumps(list(patterns), ensure_ascii=False)}"


def own_file(rule: Span | None, applied: str, sources: Sequence[KeyPath]) -> tuple[str, tuple[str, ...]]:
    """Returns the help for leaves to which a rule of another file gives no place, and lines to be pasted.

    Args:
      rule: the place of the rule; None for leaves that no rule names.
      applied: the name of the file that is applied.
      sources: the leaves.
    """
    file = rule.file if rule else applied
    if len(sources) > _MOST:
        return "", ()
    names = [format_path(path) for path in sources]
    drops = [f"  - drop: {json.dumps(name, ensure_ascii=False)}  # or move it" for name in names]
    if file != applied:
        return f"; or add `{_except(names)}` to the include of `{file}`, and to `rules:`", tuple(drops)
    if not _is_bundled(file):
        return "", ()
    include = f"include: {{file: {file}" + (f", {_except(names)}" if rule else "") + "}"
    return "; or apply a file of your own, with the same `--template`:", ("migrate: 1", include, "rules:", *drops)


def _is_bundled(file: str) -> bool:
    """Whether a rule file is named like a bundled one, without a suffix."""
    return not file.startswith("/") and "." not in file
