"""The rules of an included file, put under a place of the source and to a place of the target.

Patterns are put together as text, so that what stands in a rule means the same wherever the file is included; a rule
keeps its place in its own file. Names in the two places reach into every pattern, and therefore must be new to the
file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from migrate.codes import InvalidInclude
from migrate.errors import Diagnostic
from migrate.rules.model import Create, Drop, Include, Move, Rule
from migrate.rules.pattern import Pattern, PatternError

ROOT = Pattern.parse(".")


def place_rules(include: Include, rules: Iterable[Rule], findings: list[Diagnostic]) -> tuple[Rule, ...]:
    """Rules as they are where they are included; what does not fit is added to the findings."""
    under, to = include.under or ROOT, include.to or ROOT
    if under == to == ROOT:
        return tuple(rules)
    return tuple(_placed(include, rules, under, to, findings))


def _placed(
    include: Include, rules: Iterable[Rule], under: Pattern, to: Pattern, findings: list[Diagnostic]
) -> Iterator[Rule]:
    taken = under.names | to.names
    for rule in rules:
        clash = _clash(rule, taken)
        if clash:
            message = f"`{clash}` names something in `{include.file}` as well, at {rule.span}"
            findings.append(InvalidInclude.at(message, span=include.span, help="call it otherwise in `under` and `to`"))
            return
        try:
            yield _rule(rule, under, to)
        except PatternError as error:
            message = f"the rule at {rule.span} cannot be put there: {error}"
            findings.append(InvalidInclude.at(message, span=include.span))


def _patterns(rule: Rule) -> Iterator[Pattern]:
    yield from rule.excepts
    if not isinstance(rule, Create):
        yield from rule.sources
    if not isinstance(rule, Drop):
        yield from rule.targets


def _clash(rule: Rule, taken: frozenset[str]) -> str | None:
    used = {name for pattern in _patterns(rule) for name in pattern.names}
    return next(iter(sorted(taken & used)), None)


def _rule(rule: Rule, under: Pattern, to: Pattern) -> Rule:
    if isinstance(rule, Create):
        return replace(rule, targets=_matched(rule.targets, to), excepts=_matched(rule.excepts, to))
    sources, excepts = _matched(rule.sources, under), _matched(rule.excepts, under)
    if isinstance(rule, Move):
        targets = tuple(pattern.below(to) for pattern in rule.targets)
        return replace(rule, sources=sources, targets=targets, excepts=excepts)
    return replace(rule, sources=sources, excepts=excepts)


def _matched(patterns: Iterable[Pattern], place: Pattern) -> tuple[Pattern, ...]:
    """Patterns below a place, checked for what only a pattern that is filled may have."""
    return tuple(_one_matched(pattern, place) for pattern in patterns)


def _one_matched(pattern: Pattern, place: Pattern) -> Pattern:
    if pattern.is_regex and place != ROOT:
        raise PatternError("a regular expression is for whole key paths")
    placed = pattern.below(place)
    for misuse in placed.misuses_as_source():
        raise misuse
    return placed
