"""The inverse of the changes to the config: renames and formulas of one name lead back, and names that the rules set
are dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from migrate.errors import Diagnostic, Span
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.config import ConfigChange, configs_of, flatten, plan_config
from migrate.planning.invert.model import LostConfig
from migrate.planning.invert.patterns import reverse
from migrate.planning.model import Plan
from migrate.rules.formula import Formula
from migrate.rules.model import ConfigRule, Move
from migrate.tree import format_path


@dataclass(frozen=True, slots=True)
class InverseConfig:
    """The rules that lead back, as fields, and the names that they do not restore; `places` are those of the rules that
    they undo.
    """

    rules: tuple[dict[str, Any], ...] = ()
    lost: tuple[LostConfig, ...] = ()
    places: tuple[Span | None, ...] = ()


def invert_config(plan: Plan) -> InverseConfig:
    """Returns the inverse of a plan's changes to configs."""
    rules = [(rule, change.rule) for change in plan.config.changes for rule in _inverse(change)]
    lost = [found for change in plan.config.changes if (found := _lost(change)) is not None]
    for pattern in plan.config.patterns:
        back = _reversed(pattern)
        if isinstance(back, LostConfig):
            lost.append(back)
        else:
            rules.append((back, pattern.span))
    return InverseConfig(tuple(rule for rule, _ in rules), tuple(lost), tuple(place for _, place in rules))


def applicable_config(
    rules: Sequence[ConfigRule], new: AbstractCheckpoint
) -> tuple[tuple[ConfigRule, ...], tuple[Diagnostic, ...]]:
    """Returns the rules that apply to the configs of a checkpoint, and the mistakes of the others.

    A checkpoint that training saved may lack the config that the rules once wrote.
    """
    kept = [replace(rule, optional=True) for rule in rules]
    problems: list[Diagnostic] = []
    while found := plan_config(kept, new)[1]:
        spans = {one.span for one in found}
        problems += found
        fit = [rule for rule in kept if rule.span not in spans]
        kept = fit if len(fit) < len(kept) else []
    return tuple(kept), tuple(problems)


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
    """Yields the rule that undoes a change, as fields; none for a drop."""
    place = {"in": change.item} if change.item else {}
    if change.target is None:
        return
    back = _formula_back(change)
    names = {"from": format_path(change.target), "to": format_path(change.sources[0])} if back else {}
    if change.verb == "rename":
        yield {**place, **names}
    elif back is not None:
        yield {**place, **names, "value": back.text}
    elif change.target not in change.sources:
        yield {**place, "drop": format_path(change.target)}


def _formula_back(change: ConfigChange) -> Formula | None:
    """Returns the formula that computes the only source from the target; None where there is none."""
    term = change.term
    if not isinstance(term, Formula) or change.target is None or change.sources != term.names:
        return None
    return term.inverse(change.target)


def _lost(change: ConfigChange) -> LostConfig | None:
    """Returns the names that a change takes away for good; None if there are none."""
    if not change.sources or _formula_back(change) is not None:
        return None
    reasons = {"drop": "the rules drop it", "set": "the rules replace its value", "copy": "the rules replace its value"}
    reason = reasons.get(change.verb, "the rules compute another value from it")
    return LostConfig(change.item, change.sources, reason, change.rule)


def _reversed(rule: ConfigRule) -> dict[str, Any] | LostConfig:
    """Returns the inverse of a rule with wildcards, as fields; or what it takes away for good."""
    found = None
    if rule.target is not None and rule.span is not None and len(rule.sources) == 1:
        found = reverse(Move(rule.sources, (rule.target,), rule.span), ())
    if found is None:
        reason = "the rules drop it" if rule.target is None else "the new name does not determine the old one"
        return LostConfig(rule.item, tuple((str(pattern),) for pattern in rule.sources), reason, rule.span)
    place = {"in": rule.item} if rule.item else {}
    return {**place, "from": found.sources[0], "to": found.targets[0]}
