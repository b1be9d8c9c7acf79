"""The arguments of a rule file that a model's configuration can state, as rows and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from migrate.formats.model_config import CONFIG
from migrate.report.of_coverage import place
from migrate.report.view import Row
from migrate.rules.argument_values import ArgumentValue
from migrate.rules.model import RuleSet

_ORIGINS = {"given": "given", "default": "default"}


def argument_rows(rules: RuleSet) -> Iterator[Row]:
    """Yields a line for each argument, with the origin of its value."""
    for one in rules.arguments:
        yield Row("=", "arg", one.name, "", f"{one.value} ({_origin(one)})", "", place(one.span))


def _origin(one: ArgumentValue) -> str:
    of_source = f" of {one.source}" if one.source else ""
    return _ORIGINS.get(one.origin, f"`{one.term}` in {CONFIG}{of_source}")


def argument_data(rules: RuleSet) -> list[dict[str, Any]]:
    """Returns the arguments for programs; `config` is what states the value in the model's configuration."""
    return [
        {
            "name": one.name,
            "value": one.value,
            "origin": one.origin,
            "config": one.term,
            "source": one.source or None,
            "file": one.span.file,
            "line": one.span.line,
        }
        for one in rules.arguments
    ]
