"""The configs of the plans of a chain as those of one plan: names that exist only between two steps do not appear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from migrate.codes import ConfigConflict
from migrate.errors import Diagnostic
from migrate.planning.config import RECORD, ConfigChange, Leaves, PlannedConfig, config_name, configs_of, flatten
from migrate.planning.model import Plan
from migrate.rules.formula import Constant, Formula
from migrate.tree import KeyPath, format_path


def join_configs(plans: Sequence[Plan]) -> tuple[PlannedConfig, tuple[Diagnostic, ...]]:
    """Returns the config of the fused plan, and its contradictions.

    Args:
      plans: the plans of the chain, each for the target of the one before.
    """
    changes: dict[str, tuple[ConfigChange, ...]] = {}
    findings: list[Diagnostic] = []
    contents: dict[str, Mapping[str, Any]] = {}
    patterns = [rule for plan in plans for rule in plan.config.patterns]
    known, replaced = plans[0].config.known, False
    for plan in plans:
        if _replaces_record(plan):
            contents.pop(RECORD, None)
            changes[RECORD] = tuple(_replaced(plans[0], plan)) if known else ()
            replaced = True
        for item in dict.fromkeys(change.item for change in plan.config.changes):
            later = [change for change in plan.config.changes if change.item == item]
            before = _Before(changes.get(item, ()), flatten(configs_of(plans[0].source).get(item, {})))
            changes[item] = tuple(before.joined(later, findings))
            if item == RECORD and replaced and not known:  # what the template's hyperparameters replace is not known
                patterns += [rule for rule in plan.rules.config if rule.item == RECORD]
        contents |= plan.config.contents
    if known and RECORD not in contents:
        changes.pop(RECORD, None)  # the last template decides the hyperparameters
    everything = tuple(change for members in changes.values() for change in members)
    return PlannedConfig(everything, contents, tuple(patterns), known), tuple(findings)


def _replaces_record(plan: Plan) -> bool:
    """Whether the hyperparameters of a plan's record are those of its template, because no rule changes them."""
    given = plan.model_facts.get("hyperparameters") or plan.rules.target.args
    return bool(given) and not any(rule.item == RECORD for rule in plan.rules.config)


def _replaced(first: Plan, plan: Plan) -> Iterator[ConfigChange]:
    """Yields the changes from the hyperparameters of the first source to those of a template."""
    before: Leaves = flatten(configs_of(first.source)[RECORD])
    given = {**plan.model_facts.get("hyperparameters", {}), **plan.rules.target.args}
    after = flatten(given)
    for path, value in after.items():
        sources = (path,) if path in before else ()
        yield ConfigChange(RECORD, sources, path, Constant.of(value), value, before.get(path))
    gone = [path for path in before if path not in after]
    yield from (ConfigChange(RECORD, (path,), None, None, None, before[path]) for path in gone)


@dataclass(frozen=True)
class _Before:
    """What the steps so far do to one config, and the values of the first source."""

    changes: Sequence[ConfigChange]
    leaves: Leaves

    def joined(self, later: Sequence[ConfigChange], findings: list[Diagnostic]) -> Iterator[ConfigChange]:
        """Yields changes with the effect of these and of `later`, which reads what these leave."""
        made = {change.target: change for change in self.changes if change.target is not None}
        terms = {path: change.term for path, change in made.items() if change.term is not None}
        taken = {path for change in self.changes for path in change.sources}
        gone = {path for change in later for path in change.sources}
        yield from (change for change in self.changes if change.target is None or change.target not in gone)
        for change in later:
            findings += _lost(change, taken - made.keys())
            sources = [path for name in change.sources for path in (made[name].sources if name in made else (name,))]
            term = change.term.substituted(terms) if isinstance(change.term, Formula) else change.term
            was = self.leaves.get(sources[0]) if len(sources) == 1 else None
            joined = replace(change, sources=tuple(dict.fromkeys(sources)), term=term, was=was)
            if not joined.is_idle:
                yield joined


def _lost(change: ConfigChange, gone: set[KeyPath]) -> Iterator[Diagnostic]:
    """Yields a finding for each name that a step uses although a step before took it away.

    Plans find this themselves where the config of the source is known.
    """
    read = change.term.names if isinstance(change.term, Formula) else ()
    for path in dict.fromkeys((*change.sources, *read)):
        if path in gone:
            message = f"`{format_path(path)}` of {config_name(change.item)} is gone: a step before moves or drops it"
            yield ConfigConflict.at(
                message, span=change.rule, paths=[format_path(path)], help="use the name that the step before writes"
            )
