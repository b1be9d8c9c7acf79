"""Findings that all verifications share: leaves that are missing, unexpected, or differ from the plan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from migrate.codes import VerificationFailed
from migrate.engine.items import ItemPlan, item_plans
from migrate.engine.verification.value_change import ValueChange
from migrate.errors import Diagnostic, VerifyError
from migrate.events import LeafDone, Listener
from migrate.formats.reader import AbstractCheckpoint
from migrate.metadata import KEY
from migrate.planning.config import config_name, configs_of, flatten
from migrate.planning.model import Plan
from migrate.tree import AbstractTree, KeyPath, format_path, stored_path

SHOWN = 20
"""The most findings that are described; the rest are counted."""


def refuse(problems: Iterable[Diagnostic], changes: Mapping[KeyPath, ValueChange] | None = None) -> None:
    """Ends a verification that has findings.

    Args:
      problems: the findings.
      changes: the figures of the leaves whose values differ.

    Raises:
      VerifyError: the first findings, and the number of the others.
    """
    found = list(problems)
    if found:
        more = [VerificationFailed.at(f"{len(found) - SHOWN} more leaves differ")] if len(found) > SHOWN else []
        raise ValuesDiffer(changes or {}, *found[:SHOWN], *more)


class ValuesDiffer(VerifyError):
    """Leaves of the written checkpoint differ from the plan; `changes` has the figures of those that were compared."""

    def __init__(self, changes: Mapping[KeyPath, ValueChange], *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.changes = changes


def report(paths: Iterable[KeyPath], plan: Plan, listener: Listener) -> None:
    """Sends a listener one event for each compared leaf."""
    for path in paths:
        listener(LeafDone("verify", path, plan.target.leaves[path].nbytes))


def structure_problems(plan: Plan, found: AbstractCheckpoint) -> Iterator[Diagnostic]:
    """Compares key paths, kinds, shapes and dtypes of DST with the plan's target, and its config with the plan's."""
    yield from _config_problems(plan, found)
    for item in item_plans(plan):
        tree = found.items.get(item.name) if item.name else found.tree
        if tree is None:
            yield VerificationFailed.at(f"item `{item.name}` is missing", paths=[item.name])
        else:
            yield from _tree_problems(item, tree)


def _config_problems(plan: Plan, found: AbstractCheckpoint) -> Iterator[Diagnostic]:
    """Compares the hyperparameters and JSON items that rules change, name by name."""
    configs = configs_of(found)
    for item, content in plan.config.contents.items():
        meant, written = flatten(content), flatten(configs.get(item, {}))
        for path in dict.fromkeys((*meant, *written)):
            sides = [json.dumps(side[path]) if path in side else "absent" for side in (written, meant)]
            if sides[0] != sides[1] and _keeps_config(plan, found):
                message = f"`{format_path(path)}` of {config_name(item)} is {sides[0]}, not {sides[1]}"
                yield VerificationFailed.at(message, paths=[format_path(path)])


def _keeps_config(plan: Plan, found: AbstractCheckpoint) -> bool:
    """Whether DST has a place for metadata: a msgpack file without arrays has none."""
    return KEY in found.metadata or any(leaf.kind == "array" for leaf in plan.target.leaves.values())


def _tree_problems(item: ItemPlan, found: AbstractTree) -> Iterator[Diagnostic]:
    expected = {stored_path(path, leaf): leaf for path, leaf in item.tree.leaves.items()}
    for path, leaf in expected.items():
        if path not in found.leaves:
            yield differs(item.prefix + path, "it is missing")
        elif str(found.leaves[path]) != str(leaf):
            yield differs(item.prefix + path, f"it is {found.leaves[path]}, not {leaf}")
    for path in found.leaves:
        if path not in expected:
            yield differs(item.prefix + path, "it is not in the plan")


def differs(path: KeyPath, how: str) -> Diagnostic:
    """Returns the finding about one leaf."""
    return VerificationFailed.at(f"`{format_path(path)}`: {how}", paths=[format_path(path)])
