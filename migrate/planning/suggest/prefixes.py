"""One rule for a prefix that all key paths lose or gain, with exceptions for the layers that change otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from migrate.planning.rule_text.generalize import REST
from migrate.planning.rule_text.rule_drafts import RuleDraft, Segments


def with_prefix_rules(rules: Sequence[RuleDraft], others: Iterable[Segments]) -> list[RuleDraft]:
    """Returns the rules, with one rule in place of those that only remove or add the same prefix.

    It replaces at least two rules, and has fewer exceptions than rules that it replaces.

    Args:
      rules: the rules.
      others: the patterns of leaves that other rules drop, or that have no place.
    """
    families: defaultdict[tuple[Segments, Segments], list[RuleDraft]] = defaultdict(list)
    for rule in rules:
        change = _prefix_change(rule)
        if change is not None:
            families[change].append(rule)
    found, taken = list(rules), list(others)
    for (source, target), members in sorted(families.items(), key=lambda item: -len(item[1])):
        merged = set(map(id, members))
        sides = [side for rule in found if id(rule) not in merged for side in rule.sources]
        excepts = tuple(dict.fromkeys(side for side in (*sides, *taken) if _may_share(side, source)))
        if len(members) < 2 or len(excepts) >= len(members):
            continue
        whole = members[0].merged(members[1:], ((*source, REST),), ((*target, REST),))
        at = found.index(members[0])
        found = [rule for rule in found if id(rule) not in merged]
        found.insert(at, replace(whole, excepts=excepts))
    return found


def _prefix_change(rule: RuleDraft) -> tuple[Segments, Segments] | None:
    """Returns the prefixes of source and target, one of which is empty, if nothing else changes."""
    if rule.ops or rule.doubts or rule.excepts or len(rule.sources) != 1 or len(rule.targets) != 1:
        return None
    source, target = rule.sources[0], rule.targets[0]
    longer, shorter = (source, target) if len(source) > len(target) else (target, source)
    prefix = longer[: len(longer) - len(shorter)]
    if not prefix or longer[len(prefix) :] != shorter or any("{" in segment or "*" in segment for segment in prefix):
        return None
    return (prefix, ()) if longer is source else ((), prefix)


def _may_share(pattern: Segments, prefix: Segments) -> bool:
    """Whether a pattern may match leaves below a prefix: its first segments are the same, or not literal."""
    pairs = zip(pattern, prefix, strict=False)
    return all(one == other or "{" in one or "*" in one for one, other in pairs)
