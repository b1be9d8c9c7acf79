"""Moves the rules of an included file below a place in the source and a place in the target, and narrows them.

Patterns are joined as text, so that a rule means the same wherever its file is included; a rule keeps its location in
its own file. Names in the two places apply to every pattern, so the included file must not use them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from migrate.codes import InvalidInclude, UnboundCapture
from migrate.errors import Diagnostic
from migrate.rules.leaf_filter import LeafFilter, Outside
from migrate.rules.model import Create, Drop, Include, Move, Rule
from migrate.rules.pattern import Pattern, PatternError

ROOT = Pattern.parse(".")


def place_rules(include: Include, rules: Iterable[Rule], findings: list[Diagnostic]) -> tuple[Rule, ...]:
    """Returns the rules with their patterns below the places of the include, without the leaves that it excepts.

    Problems are added to `findings`.
    """
    outside = (Outside(include.only),) if include.only else ()
    return tuple(
        replace(
            rule,
            left_out=(*rule.left_out, *include.excepts, *outside),
            optional=rule.optional or include.optional,
        )
        for rule in _below(include, rules, findings)
    )


def _below(include: Include, rules: Iterable[Rule], findings: list[Diagnostic]) -> tuple[Rule, ...]:
    under, to = include.under or ROOT, include.to or ROOT
    if under == to == ROOT:
        return tuple(rules)
    before = len(findings)
    placed = tuple(_placed(include, rules, under, to, findings))
    if include.under is None and len(findings) == before:
        findings += _unbound(include, to)
    return placed


def _unbound(include: Include, to: Pattern) -> Iterator[Diagnostic]:
    """Yields the names in `to` that nothing captures, as there is no `under`."""
    for name in sorted(to.names):
        message = f"`to: {to}` uses `{name}`, which nothing captures without `under`"
        yield UnboundCapture.at(message, span=include.span, help="add an `under` that captures it")


def _placed(
    include: Include, rules: Iterable[Rule], under: Pattern, to: Pattern, findings: list[Diagnostic]
) -> Iterator[Rule]:
    taken = under.names | to.names
    for rule in rules:
        clash = _clash(rule, taken)
        if clash:
            message = f"`{include.file}` also uses the name `{clash}`, at {rule.span}"
            findings.append(
                InvalidInclude.at(message, span=include.span, help="choose another name in `under` and `to`")
            )
            return
        try:
            yield _rule(rule, under, to)
        except PatternError as error:
            message = f"the rule at {rule.span} cannot be included here: {error}"
            findings.append(InvalidInclude.at(message, span=include.span))


def _patterns(rule: Rule) -> Iterator[LeafFilter]:
    yield from rule.excepts
    yield from rule.left_out
    if not isinstance(rule, Create):
        yield from rule.sources
    if isinstance(rule, Drop):
        yield from (rule.equal,) if rule.equal else ()
    else:
        yield from rule.targets


def _clash(rule: Rule, taken: frozenset[str]) -> str | None:
    used = {name for pattern in _patterns(rule) for name in pattern.names}
    return next(iter(sorted(taken & used)), None)


def _rule(rule: Rule, under: Pattern, to: Pattern) -> Rule:
    place = to if isinstance(rule, Create) else under
    excepts = _sources_below(rule.excepts, place)
    rule = replace(rule, excepts=excepts, left_out=tuple(_filter_below(one, place) for one in rule.left_out))
    if isinstance(rule, Create):
        return replace(rule, targets=_sources_below(rule.targets, to))
    sources = _sources_below(rule.sources, under)
    if isinstance(rule, Move):
        targets = tuple(pattern.below(to) for pattern in rule.targets)
        return replace(rule, sources=sources, targets=targets)
    equal = rule.equal.below(under) if isinstance(rule, Drop) and rule.equal else None
    return replace(rule, sources=sources, equal=equal)


def _sources_below(patterns: Iterable[Pattern], place: Pattern) -> tuple[Pattern, ...]:
    """Returns source patterns below a place, and checks that they are still valid on the left."""
    return tuple(_source_below(pattern, place) for pattern in patterns)


def _filter_below(one: LeafFilter, place: Pattern) -> LeafFilter:
    return Outside(_sources_below(one.patterns, place)) if isinstance(one, Outside) else _source_below(one, place)


def _source_below(pattern: Pattern, place: Pattern) -> Pattern:
    if pattern.is_regex and place != ROOT:
        raise PatternError("a regular expression matches whole key paths only")
    placed = pattern.below(place)
    for error in placed.left_side_errors():
        raise error
    return placed
