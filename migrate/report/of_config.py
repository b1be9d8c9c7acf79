"""The changes to hyperparameters and JSON items as rows, and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from migrate.planning.config import ConfigChange, PlannedConfig
from migrate.planning.rule_text.config import config_fields
from migrate.report.of_coverage import place
from migrate.report.view import Row
from migrate.rules.formula import Formula
from migrate.rules.model import ConfigRule
from migrate.tree import KeyPath, format_path

MOST_VALUE = 60
"""The most characters of a value that a row shows."""

_SYMBOLS = {"drop": "-", "set": "+", "copy": "+", "compute": "*", "rename": ">"}


def config_rows(config: PlannedConfig) -> Iterator[Row]:
    """Yields a line for each change, and for each rule whose names are not known."""
    yield from (_change_row(change, known=config.known) for change in config.changes)
    yield from map(_pattern_row, config.patterns)


def _change_row(change: ConfigChange, *, known: bool) -> Row:
    names = change.sources
    if change.target is not None:
        names = tuple(path for path in names if path != change.target) or (change.target,)
    subject = ", ".join(map(format_path, names))
    target = format_path(change.target) if change.target is not None and change.target not in names else ""
    detail = ", ".join(filter(None, (_value(change, known=known), _was(change, known=known))))
    symbol = "~" if change.target in change.sources else _SYMBOLS[change.verb]
    return Row(symbol, "config", subject, target, _in(detail, change.item), "", place(change.rule))


def _was(change: ConfigChange, *, known: bool) -> str:
    """Returns the value that a name had which is dropped or gets another one."""
    is_lost = change.target is None or change.target in change.sources
    return f"was {_shown(change.was)}" if is_lost and known and len(change.sources) == 1 else ""


def _value(change: ConfigChange, *, known: bool) -> str:
    if change.target is None:
        return "dropped"
    value = _shown(change.value) if known or change.verb == "set" else ""
    formula = change.term.text if isinstance(change.term, Formula) and change.verb != "rename" else ""
    return f"{value} = {formula}" if value and formula else value or formula


def _pattern_row(rule: ConfigRule) -> Row:
    subject = ", ".join(map(str, rule.sources))
    target, detail = (str(rule.target), "") if rule.target else ("", "dropped")
    symbol = ">" if rule.target else "-"
    return Row(symbol, "config", subject, target, _in(detail, rule.item), "", place(rule.span))


def _in(detail: str, item: str) -> str:
    return ", ".join(filter(None, (detail, f"in the JSON item {item}" if item else "")))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_VALUE else f"{text[:MOST_VALUE]}…"


def config_data(config: PlannedConfig) -> list[dict[str, Any]]:
    """Returns the changes for programs; `item` is null for the record's hyperparameters."""
    return [_data(change, known=config.known) for change in config.changes] + [
        {"item": rule.item or None, "verb": "pattern", "pattern": config_fields(rule)} for rule in config.patterns
    ]


def _data(change: ConfigChange, *, known: bool) -> dict[str, Any]:
    value = {"value": change.value} if change.target is not None and (known or change.verb == "set") else {}
    was = {"was": change.was} if known and len(change.sources) == 1 and change.verb != "rename" else {}
    formula = {"formula": change.term.text} if isinstance(change.term, Formula) and change.verb != "rename" else {}
    return {
        "item": change.item or None,
        "verb": change.verb,
        "from": _texts(change.sources),
        "to": format_path(change.target) if change.target is not None else None,
        **value,
        **was,
        **formula,
        "rule": change.rule.line if change.rule else None,
    }


def _texts(paths: Iterable[KeyPath]) -> list[str]:
    return [format_path(path) for path in paths]
