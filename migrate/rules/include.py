"""Moves the rules of an included file below a place in the source and a place in the target, and narrows them.

Patterns are joined as text, so that a rule means the same wherever its file is included; a rule keeps its location in
its own file. Names in the two places apply to every pattern, so the included file must not use them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from migrate.codes import InvalidInclude, UnboundCapture
from migrate.errors import Diagnostic
from migrate.rules.leaf_filter import LeafFilter, Outside
from migrate.rules.model import Create, Drop, Include, Move, Rule
from migrate.rules.pattern import Pattern, PatternError

ROOT = Pattern.parse(".")


def place_rules(
    include: Include, rules: Iterable[Rule], findings: list[Diagnostic], sources: Collection[str] = ()
) -> tuple[Rule, ...]:
    """Returns the rules with their patterns below the places of the include, without the leaves that it excepts.

    Args:
      include: the include.
      rules: the rules of the file.
      findings: problems are added to it.
      sources: the named sources of the file, whose leaves stay at their places.
    """
    outside = (Outside(include.only),) if include.only else ()
    return tuple(
        replace(
            rule,
            left_out=(*rule.left_out, *include.excepts, *outside),
            optional=rule.optional or include.optional,
        )
        for rule in _below(include, rules, findings, sources)
    )


def _below(
    include: Include, rules: Iterable[Rule], findings: list[Diagnostic], sources: Collection[str]
) -> tuple[Rule, ...]:
    under, to = include.under or ROOT, include.to or ROOT
    if under == to == ROOT:
        return tuple(rules)
    before = len(findings)
    placed = tuple(_placed(include, rules, _Places(under, to, sources), findings))
    if include.under is None and len(findings) == before:
        findings += _unbound(include, to)
    return placed


def _unbound(include: Include, to: Pattern) -> Iterator[Diagnostic]:
    """Yields the names in `to` that nothing captures, as there is no `under`."""
    for name in sorted(to.names):
        message = f"`to: {to}` uses `{name}`, which nothing captures without `under`"
        yield UnboundCapture.at(message, span=include.span, help="add an `under` that captures it")


@dataclass(frozen=True, slots=True)
class _Places:
    """The places below which patterns are moved; those of leaves of named sources stay."""

    under: Pattern
    to: Pattern
    sources: Collection[str]

    def source(self, pattern: Pattern) -> Pattern:
        """Returns a source pattern below `under`, and checks that it is still valid on the left."""
        if pattern.source in self.sources:
            return pattern
        return _on_the_left(pattern, self.under)

    def created(self, pattern: Pattern) -> Pattern:
        """Returns the pattern of a target leaf that is matched, below `to`."""
        return _on_the_left(pattern, self.to)


def _placed(include: Include, rules: Iterable[Rule], places: _Places, findings: list[Diagnostic]) -> Iterator[Rule]:
    taken = places.under.names | places.to.names
    for rule in rules:
        clash = _clash(rule, taken)
        if clash:
            message = f"`{include.file}` also uses the name `{clash}`, at {rule.span}"
            findings.append(
                InvalidInclude.at(message, span=include.span, help="choose another name in `under` and `to`")
            )
            return
        try:
            yield _rule(rule, places)
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


def _rule(rule: Rule, places: _Places) -> Rule:
    place = places.created if isinstance(rule, Create) else places.source
    excepts = tuple(map(place, rule.excepts))
    rule = replace(rule, excepts=excepts, left_out=tuple(_filter_below(one, place) for one in rule.left_out))
    if isinstance(rule, Create):
        return replace(rule, targets=tuple(map(place, rule.targets)))
    sources = tuple(map(place, rule.sources))
    if isinstance(rule, Move):
        targets = tuple(pattern.below(places.to) for pattern in rule.targets)
        return replace(rule, sources=sources, targets=targets)
    equal = _equal_below(rule.equal, places) if isinstance(rule, Drop) and rule.equal else None
    return replace(rule, sources=sources, equal=equal)


def _equal_below(pattern: Pattern, places: _Places) -> Pattern:
    return pattern if pattern.source in places.sources else pattern.below(places.under)


def _filter_below(one: LeafFilter, place: Callable[[Pattern], Pattern]) -> LeafFilter:
    return Outside(tuple(map(place, one.patterns))) if isinstance(one, Outside) else place(one)


def _on_the_left(pattern: Pattern, place: Pattern) -> Pattern:
    if pattern.is_regex and place != ROOT:
        raise PatternError("a regular expression matches whole key paths only")
    placed = pattern.below(place)
    for error in placed.left_side_errors():
        raise error
    return placed
