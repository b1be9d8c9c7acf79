"""Few patterns for many key paths."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from migrate.planning.rule_text.indices import by_index
from migrate.planning.rule_text.rule_drafts import RuleDraft, pattern, text_of
from migrate.rules.pattern import Pattern
from migrate.tree import KeyPath


def patterns_for(paths: Sequence[KeyPath], universe: Sequence[KeyPath]) -> list[str]:
    """Returns the fewest patterns that match these key paths and no others of the universe."""
    wanted = frozenset(paths)

    def taken(draft: RuleDraft) -> bool:
        found = Pattern.parse(pattern(draft.sources[0]))
        return {path for path in universe if found.match(path) is not None} == draft.claims

    anywhere = RuleDraft((("**", "rngs", "**"),), (), (), wanted, frozenset())
    if wanted and taken(anywhere):
        return [pattern(anywhere.sources[0])]
    drafts = [
        RuleDraft((text_of(node) if node in wanted else (*text_of(node), "**"),), (), (), frozenset(below), frozenset())
        for node, below in _by_node(paths, universe).items()
    ]
    return [pattern(draft.sources[0]) for draft in by_index(drafts, taken)]


def _by_node(paths: Sequence[KeyPath], universe: Sequence[KeyPath]) -> dict[KeyPath, list[KeyPath]]:
    """Groups key paths by the highest node below which all key paths of the universe are wanted."""
    wanted, present = _counts(paths), _counts(universe)
    nodes: defaultdict[KeyPath, list[KeyPath]] = defaultdict(list)
    for path in paths:
        depths = (depth for depth in range(1, len(path)) if wanted[path[:depth]] == present[path[:depth]])
        nodes[path[: next(depths, len(path))]].append(path)
    return dict(nodes)


def _counts(paths: Sequence[KeyPath]) -> Counter[KeyPath]:
    return Counter(path[:depth] for path in paths for depth in range(1, len(path)))
