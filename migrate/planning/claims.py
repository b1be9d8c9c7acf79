"""Finds which rule claims which source leaf.

Matching is strict: a rule without a match and a leaf that two rules match are errors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from migrate.codes import IdlePattern, OverlappingRules
from migrate.errors import Diagnostic
from migrate.planning.narrowing import advise_overlap
from migrate.planning.near_patterns import NearPatterns, unknown_source
from migrate.rules.leaf_filter import LeafFilter
from migrate.rules.model import Drop, Move, Rule
from migrate.rules.pattern import Bindings, Pattern
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path, natural_key


@dataclass(frozen=True, slots=True)
class Claim:
    """A source leaf that a rule matches.

    Attributes:
      origin: the index of the `from:` pattern that matched.
      bindings: the values of its captures.
    """

    path: KeyPath
    leaf: AbstractLeaf
    origin: int
    bindings: Bindings


@dataclass(frozen=True)
class Claims:
    """All claims by the index of their rule in the rule file.

    The claims of a rule are in the order of its lists of arrays: by `from:` pattern, then by captures.
    `copies` are the indices of the rules that take leaves without claiming them.
    """

    by_rule: Mapping[int, Sequence[Claim]]
    diagnostics: tuple[Diagnostic, ...]
    copies: frozenset[int] = frozenset()

    @cached_property
    def claimed(self) -> frozenset[KeyPath]:
        """All leaves that a rule claims."""
        claiming = (claims for index, claims in self.by_rule.items() if index not in self.copies)
        return frozenset(claim.path for claims in claiming for claim in claims)


def claim_leaves(rules: Sequence[Rule], tree: AbstractTree, extras: Collection[str] = ()) -> Claims:
    """Matches every rule that has `from:` patterns with every leaf.

    Args:
      rules: the rules, in the order of the rule file.
      tree: the source's tree.
      extras: names of items that are not pytrees, which `drop` can name.
    """
    by_rule: dict[int, Sequence[Claim]] = {}
    diagnostics: list[Diagnostic] = []
    near = NearPatterns(tree)
    for index, rule in enumerate(rules):
        if isinstance(rule, (Move, Drop)):
            by_rule[index] = _claims_of(rule, tree)
            diagnostics += _idle_patterns(rule, by_rule[index], near, extras)
    copies = frozenset(at for at, rule in enumerate(rules) if isinstance(rule, Move) and rule.copy)
    claiming = {index: claims for index, claims in by_rule.items() if index not in copies}
    return Claims(by_rule, (*diagnostics, *_conflicts(rules, claiming)), copies)


def _claims_of(rule: Move | Drop, tree: AbstractTree) -> list[Claim]:
    claims = [
        Claim(path, leaf, origin, bindings)
        for origin, pattern in enumerate(rule.sources)
        for path, leaf in tree.leaves.items()
        if (bindings := pattern.match(path)) is not None and not _excepted((*rule.excepts, *rule.left_out), path)
    ]
    return sorted(claims, key=lambda c: (c.origin, natural_key(_captured(c.bindings)), natural_key(c.path)))


def _captured(bindings: Bindings) -> KeyPath:
    return tuple("/".join(value) if isinstance(value, tuple) else value for value in bindings.values())


def _excepted(excepts: Iterable[LeafFilter], path: KeyPath) -> bool:
    return any(pattern.match(path) is not None for pattern in excepts)


def dropped_extras(rules: Sequence[Rule], extras: Collection[str]) -> frozenset[str]:
    """Returns the names of items that are not pytrees and that a rule drops."""
    patterns = [pattern for rule in rules if isinstance(rule, Drop) for pattern in rule.sources]
    return frozenset(name for name in extras if _excepted(patterns, (name,)))


def _idle_patterns(
    rule: Move | Drop, claims: Sequence[Claim], near: NearPatterns, extras: Collection[str]
) -> list[Diagnostic]:
    """Returns one `IdlePattern` for each `from:` pattern that matches nothing, unless the rule is optional."""
    if rule.optional:
        return []
    busy = {claim.origin for claim in claims}
    return [
        _idle_pattern(rule, pattern, near)
        for origin, pattern in enumerate(rule.sources)
        if origin not in busy
        and not (isinstance(rule, Move) and rule.bound[origin] in rule.maybe)
        and not (isinstance(rule, Drop) and _drops_extra(pattern, extras))
        and not _is_left_out(rule, pattern, near.tree)
    ]


def _idle_pattern(rule: Move | Drop, pattern: Pattern, near: NearPatterns) -> Diagnostic:
    unknown = unknown_source(pattern, near.tree)
    if unknown is not None:
        return replace(unknown, span=rule.span)
    return IdlePattern.at(
        f"`{pattern}` matches nothing in the source",
        span=rule.span,
        label=near.did_you_mean(pattern),
        help="`migrate inspect SRC` lists the key paths; `optional: true` allows a rule to match nothing",
    )


def _is_left_out(rule: Move | Drop, pattern: Pattern, tree: AbstractTree) -> bool:
    """Whether a pattern matches nothing because an include takes its leaves out of the rule."""
    return any(
        pattern.match(path) is not None and _excepted(rule.left_out, path) for path in tree.leaves if rule.left_out
    )


def _drops_extra(pattern: Pattern, extras: Collection[str]) -> bool:
    return any(pattern.match((name,)) is not None for name in extras)


def _conflicts(rules: Sequence[Rule], by_rule: Mapping[int, Sequence[Claim]]) -> list[Diagnostic]:
    """Returns one `OverlappingRules` for each set of rules (or one rule, twice) that claims the same leaves."""
    claimants: defaultdict[KeyPath, list[int]] = defaultdict(list)
    for index, claims in by_rule.items():
        for claim in claims:
            claimants[claim.path].append(index)
    rivals: defaultdict[tuple[int, ...], list[KeyPath]] = defaultdict(list)
    for path, indices in claimants.items():
        if len(indices) > 1:
            rivals[tuple(indices)].append(path)
    return [_conflict([rules[i] for i in indices], paths) for indices, paths in rivals.items()]


def _conflict(rivals: Sequence[Rule], paths: Sequence[KeyPath]) -> Diagnostic:
    first, last = rivals[0], rivals[-1]
    others = "this rule twice" if first is last else f"the rule at {first.span} as well"
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return OverlappingRules.at(
        f"`{format_path(paths[0])}`{more} is claimed by {others}",
        span=last.span,
        paths=map(format_path, paths),
        help=advise_overlap(rivals, paths),
    )
