"""Compares restored values with expected values, bit for bit, whichever way they were read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from migrate.engine.streaming.array_bytes import stored_form
from migrate.engine.verification.findings import differs
from migrate.engine.verification.value_change import ValueChange, measure
from migrate.errors import Diagnostic
from migrate.formats.base import Value
from migrate.planning.model import Plan
from migrate.tree import KeyPath

Restored = Mapping[KeyPath, Any]


@dataclass(frozen=True, slots=True)
class Unrestorable:
    """Stands in for the value of a leaf that cannot be restored."""

    reason: str


def differences(
    plan: Plan, meant: Mapping[KeyPath, Value], restored: Restored, changes: dict[KeyPath, ValueChange] | None = None
) -> Iterator[Diagnostic]:
    """Finds every leaf with data whose restored value differs from the expected value in any bit.

    Args:
      plan: the plan.
      meant: the expected values.
      restored: the restored values.
      changes: receives the figures of values of the expected shape and dtype that differ.
    """
    for path, value in meant.items():
        if not plan.target.leaves[path].has_data:
            continue
        if path not in restored:
            yield differs(path, "it is missing")
        elif isinstance(found := restored[path], Unrestorable):
            yield differs(path, f"Orbax cannot restore it: {found.reason}")
        elif not _same(value, restored[path]):
            change = _change(value, restored[path])
            if change is not None and changes is not None:
                changes[path] = change
            yield differs(path, _describe(value, restored[path], change))


def _same(meant: Value, found: Any) -> bool:
    if isinstance(meant, str) or isinstance(found, str):
        return bool(meant == found)
    ours, theirs = stored_form(np.asarray(meant)), np.asarray(found)
    return ours.dtype == theirs.dtype and ours.shape == theirs.shape and np.array_equal(_bits(ours), _bits(theirs))


def _bits(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns the bytes of an array, so that NaN equals itself."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _change(meant: Value, found: Any) -> ValueChange | None:
    """Returns the figures of a change; None where shapes, dtypes or kinds differ."""
    if isinstance(meant, str) or isinstance(found, str):
        return None
    ours, theirs = stored_form(np.asarray(meant)), np.asarray(found)
    return measure(ours, theirs) if ours.dtype == theirs.dtype and ours.shape == theirs.shape else None


def _describe(meant: Value, found: Any, change: ValueChange | None) -> str:
    if isinstance(meant, str) or isinstance(found, str):
        return f"it is read back as {found!r}, not {meant!r}"
    ours, theirs = stored_form(np.asarray(meant)), np.asarray(found)
    if change is None:
        return f"it is read back as {theirs.dtype}{list(theirs.shape)}, not {ours.dtype}{list(ours.shape)}"
    unequal = (_bits(ours) != _bits(theirs)).reshape(ours.size, -1).any(axis=1)
    first = int(np.argmax(unequal))
    return f"{change}; the first at {first}: {theirs.flat[first]}, not {ours.flat[first]}"
