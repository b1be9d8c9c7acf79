"""Drops that assert that a leaf equals another one, where both exist only between two steps of a chain.

The two are expressions over the first source. Where these are equal exactly if leaves of the source are, after ops of
one array, the plan of the chain asserts that of the leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrate.ops.base import NotInvertible, Op
from migrate.planning.versions.values import CallResult, SourceValue, Value
from migrate.tree import KeyPath


@dataclass(frozen=True, slots=True)
class EqualLeaves:
    """A leaf of the source that has to equal another one, `twin`, after `ops`."""

    source: KeyPath
    ops: tuple[Op, ...]
    twin: KeyPath


def equal_leaves(left: Value, right: Value) -> tuple[EqualLeaves, ...] | None:
    """Returns what has to be equal in the source so that two simplified values are; nothing if they always are.

    None where the leaves of the source alone cannot be compared.
    """
    found: list[EqualLeaves] = []
    pairs = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        if one is other:
            continue
        inputs = _inputs_of_both(one, other)
        if inputs is not None:
            pairs += reversed(inputs)
            continue
        leaf = _compared(one, other)
        if leaf is None:
            return None
        found.append(leaf)
    return tuple(found)


def _inputs_of_both(one: Value, other: Value) -> list[tuple[Value, Value]] | None:
    """Returns the inputs of two results of one op that keeps every element, in pairs; None for other values."""
    if not isinstance(one, CallResult) or not isinstance(other, CallResult):
        return None
    op = one.call.op
    joins = op.structural and op.role == "reduce"
    if op != other.call.op or one.call.avals != other.call.avals or not (joins or _permutes(op)):
        return None
    return list(zip(one.call.inputs, other.call.inputs, strict=True))


def _compared(one: Value, other: Value) -> EqualLeaves | None:
    """Returns the comparison of two values that ops of one array compute from two leaves."""
    line, twin_line = _line(one), _line(other)
    if line is None or twin_line is None:
        return None
    (source, calls), (twin, twin_calls) = line, twin_line
    back = _undone(twin_calls)
    if back is None or source is twin:
        return None
    return EqualLeaves(source.path, (*(call.call.op for call in calls), *back), twin.path)


def _line(value: Value) -> tuple[SourceValue, list[CallResult]] | None:
    """Returns the leaf from which ops of one array compute a value, with the results of these, the first op first."""
    calls: list[CallResult] = []
    while isinstance(value, CallResult):
        if value.call.op.role != "map" or len(value.call.inputs) != 1:
            return None
        calls.insert(0, value)
        (value,) = value.call.inputs
    return (value, calls) if isinstance(value, SourceValue) else None


def _undone(calls: Sequence[CallResult]) -> tuple[Op, ...] | None:
    """Returns the ops that lead from the last result back; None where they do not keep every element."""
    found: list[Op] = []
    for one in reversed(calls):
        back = one.call.op.inverse(*one.call.avals)
        if isinstance(back, NotInvertible) or not _permutes(one.call.op):
            return None
        found.append(back)
    return tuple(found)


def _permutes(op: Op) -> bool:
    return op.role == "map" and op.only_permutes
