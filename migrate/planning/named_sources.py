"""The accounting of named sources: each is declared and present, each is used, and every leaf is used or dropped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from migrate.codes import IdleSource, MissingSource, SingleSourceOnly, UnusedSource
from migrate.errors import Diagnostic, PlanError
from migrate.planning.model import Dropped, Task
from migrate.planning.rule_text.cover import patterns_for
from migrate.planning.unmatched import count, names
from migrate.rules.model import Drop, Move, Rule, RuleSet
from migrate.source_names import source_of
from migrate.tree import AbstractTree, KeyPath, format_path

_MOST = 5
"""The most drop rules that a help proposes."""


def missing_sources(rules: RuleSet, present: Iterable[str]) -> Iterator[Diagnostic]:
    """Yields a finding for each declared source that is not there."""
    known = set(present)
    for name, one in rules.sources.items():
        if name not in known:
            yield MissingSource.at(
                f"the rules need the source `{name}`, and no path is given for it",
                span=one.span,
                help=f'add `--source {name}=PATH`, in Python `sources={{"{name}": path}}`',
            )


def refuse_several(rules: RuleSet, use: str) -> None:
    """Refuses rules with several sources where only one is possible.

    Args:
      rules: the rules.
      use: the end of the sentence "rules with several sources cannot be …".

    Raises:
      PlanError: there are named sources (`SingleSourceOnly`).
    """
    for name, one in rules.sources.items():
        message = f"rules with several sources cannot be {use}: {rules.path} has the source `{name}`"
        advice = "merge the sources with `migrate apply` first, and continue from the result"
        raise PlanError(SingleSourceOnly.at(message, span=one.span, help=advice))


def unused_sources(
    present: Iterable[str],
    tree: AbstractTree,
    tasks: Iterable[Task],
    dropped: Iterable[Dropped],
    rules: RuleSet,
    unexpected: Sequence[KeyPath],
) -> Iterator[Diagnostic]:
    """Yields a finding for each named source that no rule uses, or of which leaves are neither used nor dropped.

    Args:
      present: the names of the sources.
      tree: the tree of all sources.
      tasks: the tasks.
      dropped: the drops.
      rules: the rules.
      unexpected: the leaves of named sources that are neither used nor dropped.
    """
    used = {source_of(path) for task in tasks for path in task.sources}
    used |= {source_of(drop.source) for drop in dropped if drop.rule is not None}
    used |= {name for rule in rules.rules for name in _failed(rule, tree)}
    left: defaultdict[str, list[KeyPath]] = defaultdict(list)
    for path in unexpected:
        left[source_of(path)].append(path)
    for name in present:
        span = rules.sources[name].span if name in rules.sources else None
        if name not in used:
            advice = f'write a rule for `{name}:/…`, or `- drop: "{name}:/**"`, or remove it from `sources:`'
            yield IdleSource.at(f"no rule uses the source `{name}`", span=span, help=advice)
        elif left[name]:
            yield UnusedSource.at(
                f"{count(left[name], 'leaf', 'leaves')} of the source `{name}` "
                f"{'is' if len(left[name]) == 1 else 'are'} neither used nor dropped: {names(left[name])}",
                paths=map(format_path, left[name]),
                help=f"move each, or leave it behind: {_drops(left[name], tree)}",
            )


def _failed(rule: Rule, tree: AbstractTree) -> Iterator[str]:
    """Yields the sources that a rule names, also if its task could not be made."""
    for pattern in rule.sources if isinstance(rule, Move | Drop) else ():
        if pattern.source is not None and any(pattern.match(path) is not None for path in tree.leaves):
            yield pattern.source


def _drops(paths: Sequence[KeyPath], tree: AbstractTree) -> str:
    patterns = patterns_for(paths, list(tree.leaves))
    texts = [f'`- drop: "{text}"`' for text in patterns[:_MOST]]
    return ", ".join(texts) + (", …" if len(patterns) > _MOST else "")
