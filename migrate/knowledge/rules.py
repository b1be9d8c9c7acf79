"""Generates the rules for a row of the layer table, as text and plain mappings in the form of a rule file."""

from __future__ import annotations

from typing import Any

from migrate.knowledge.model import CreatedLeaves, DroppedLeaf, Layer, LeafMapping
from migrate.knowledge.naming import TRANSIENT_COLLECTIONS
from migrate.tree import format_path

RuleData = str | dict[str, Any]
"""A rule as YAML data: `from -> to`, or a mapping."""


def rules_of(row: Layer, source: str, target: str) -> list[RuleData]:
    """Returns the rules for one layer.

    Args:
      row: the layer; its `children` need the rules of their own rows.
      source: a pattern for the Linen layer inside its collections; `.` for the root.
      target: a pattern for the NNX layer; `.` for the root.
    """
    if row.keeps_names:
        moves: list[RuleData] = [_whole(collection, source, target) for collection in row.collections]
    else:
        moves = [_move(leaf, source, target) for leaf in row.leaves]
    return [
        *(moves if row.leaves else ()),
        *(_drop(loss, source) for loss in row.losses),
        *(_create(fresh, target) for fresh in row.fresh),
    ]


def _whole(collection: str, source: str, target: str) -> RuleData:
    """Returns a rule that moves all leaves of the layer in one collection."""
    left, right = _join(collection, source, "**"), _join(target, "**")
    if collection in TRANSIENT_COLLECTIONS:
        return {"from": left, "to": right, "optional": True}
    return f"{left} -> {right}"


def _move(leaf: LeafMapping, source: str, target: str) -> RuleData:
    lefts = [_join(leaf.collection, source, format_path(path)) for path in leaf.sources]
    right = _join(target, format_path(leaf.target))
    if len(lefts) == 1 and not leaf.ops and not leaf.optional:
        return f"{lefts[0]} -> {right}"
    rule: dict[str, Any] = {"from": lefts[0] if len(lefts) == 1 else lefts, "to": right}
    if leaf.ops:
        rule["ops"] = [dict(op) for op in leaf.ops]
    if leaf.optional:
        rule["optional"] = True
    return rule


def _drop(loss: DroppedLeaf, source: str) -> RuleData:
    left = _join(loss.collection, source, format_path(loss.source))
    return {"drop": {"from": left, "assert": "zero"} if loss.assert_zero else left}


def _create(fresh: CreatedLeaves, target: str) -> RuleData:
    rights = [_join(target, format_path(path)) for path in fresh.targets]
    create: dict[str, Any] = {"to": rights[0] if len(rights) == 1 else rights, "init": fresh.init}
    if fresh.optional:
        create["optional"] = True
    return {"create": create}


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part != ".")
