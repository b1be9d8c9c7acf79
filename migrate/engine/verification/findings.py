"""Findings that all verifications share: leaves that are missing, unexpected, or differ from the plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from migrate.codes import VerificationFailed
from migrate.engine.items import ItemPlan, item_plans
from migrate.engine.verification.value_change import ValueChange
from migrate.errors import Diagnostic, VerifyError
from migrate.events import LeafDone, Listener
from migrate.formats.reader import AbstractCheckpoint
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
    """Compares key paths, kinds, shapes and dtypes of DST with the plan's target."""
    for item in item_plans(plan):
        tree = found.items.get(item.name) if item.name else found.tree
        if tree is None:
            yield VerificationFailed.at(f"item `{item.name}` is missing", paths=[item.name])
        else:
            yield from _tree_problems(item, tree)


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
