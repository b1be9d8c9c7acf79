"""The inverse of the changes to the config: renames lead back, and names that the rules set are dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.config import ConfigChange, configs_of, flatten
from migrate.planning.invert.model import LostConfig
from migrate.planning.model import Plan
from migrate.tree import format_path


@dataclass(frozen=True, slots=True)
class InverseConfig:
    """The rules that lead back, as fields, and the names that they do not restore."""

    rules: tuple[dict[str, Any], ...] = ()
    lost: tuple[LostConfig, ...] = ()


def invert_config(plan: Plan) -> InverseConfig:
    """Returns the inverse of a plan's changes to configs."""
    rules = [rule for change in plan.config.changes for rule in _inverse(change)]
    lost = [found for change in plan.config.changes if (found := _lost(change)) is not None]
    return InverseConfig(tuple(rules), tuple(lost))


def restores_config(back: Plan, target: AbstractCheckpoint, plan: Plan, inverse: InverseConfig) -> bool:
    """Whether the plan of the inverse leads from the configs of `target` to those of the source, but for lost names."""
    for item in plan.config.contents:
        before = flatten(configs_of(plan.source)[item])
        after = flatten(back.config.contents.get(item, configs_of(target)[item]))
        lost = {path for one in inverse.lost if one.item == item for path in one.paths}
        kept, found = (
            {path: json.dumps(value) for path, value in side.items() if path not in lost} for side in (before, after)
        )
        if kept != found:
            return False
    return True


def _inverse(change: ConfigChange) -> Iterator[dict[str, Any]]:
    place = {"in": change.item} if change.item else {}
    if change.target is None:
        return
    if change.verb == "rename":
        yield {**place, "from": format_path(change.target), "to": format_path(change.sources[0])}
    elif change.target not in change.sources:
        yield {**place, "drop": format_path(change.target)}


def _lost(change: ConfigChange) -> LostConfig | None:
    """Returns the names that a change takes away for good; None if there are none."""
    if not change.sources or change.verb == "rename":
        return None
    reasons = {"drop": "the rules drop it", "set": "the rules replace its value", "copy": "the rules replace its value"}
    reason = reasons.get(change.verb, "the rules compute another value from it")
    return LostConfig(change.item, change.sources, reason, change.rule)
