"""Rules of `config:` as the fields of a plan file, and as lines of a rule file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from migrate.planning.config import ConfigChange
from migrate.planning.rule_text.write import flow
from migrate.rules.formula import term_value
from migrate.rules.model import ConfigRule
from migrate.rules.pattern import Pattern
from migrate.tree import format_path


def config_fields(rule: ConfigRule) -> dict[str, Any]:
    """Returns a rule as the fields of a mapping that is read as this rule."""
    sources = [_pattern(one) for one in rule.sources]
    fields: dict[str, Any] = {"in": rule.item} if rule.item else {}
    fields |= (
        {} if not sources else {"drop" if rule.target is None else "from": sources[0] if len(sources) == 1 else sources}
    )
    fields |= {"to": rule.target.text} if rule.target else {}
    fields |= {"value": term_value(rule.value)} if rule.value is not None else {}
    fields |= {"except": [_pattern(one) for one in rule.excepts]} if rule.excepts else {}
    return fields | ({"optional": True} if rule.optional else {})


def change_fields(change: ConfigChange) -> dict[str, Any]:
    """Returns a change as the fields of a rule that makes it."""
    sources = [format_path(path) for path in change.sources]
    named = sources[0] if len(sources) == 1 else sources
    fields: dict[str, Any] = {"in": change.item} if change.item else {}
    if change.target is None or change.term is None:
        return {**fields, "drop": named}
    fields |= {"from": named} if sources else {}
    fields["to"] = format_path(change.target)
    return fields if change.verb == "rename" else {**fields, "value": term_value(change.term)}


def _pattern(pattern: Pattern) -> Any:
    return {"regex": pattern.text} if pattern.is_regex else pattern.text


def config_lines(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yields the lines of `config:` for rules as fields; none without rules."""
    if entries:
        yield "config:"
        yield from (f"  - {flow(fields)}" for fields in entries)
