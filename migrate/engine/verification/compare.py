"""Compares restored values with expected values, bit for bit, whichever way they were read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from migrate.engine.streaming.array_bytes import stored_form
from migrate.engine.verification.findings import differs
from migrate.errors import Diagnostic
from migrate.formats.base import Value
from migrate.planning.model import Plan
from migrate.tree import KeyPath

Restored = Mapping[KeyPath, Any]


@dataclass(frozen=True, slots=True)
class Unrestorable:
    """Stands in for the value of a leaf that cannot be restored."""

    reason: str


def differences(plan: Plan, meant: Mapping[KeyPath, Value], restored: Restored) -> Iterator[Diagnostic]:
    """Finds every leaf with data whose restored value differs from the expected value in any bit."""
    for path, value in meant.items():
        if not plan.target.leaves[path].has_data:
            continue
        if path not in restored:
            yield differs(path, "it is missing")
        elif isinstance(found := restored[path], Unrestorable):
            yield differs(path, f"Orbax cannot restore it: {found.reason}")
        elif not _same(value, restored[path]):
            yield differs(path, _first_difference(value, restored[path]))


def _same(meant: Value, found: Any) -> bool:
    if isinstance(meant, str) or isinstance(found, str):
        return bool(meant == found)
    ours, theirs = stored_form(np.asarray(meant)), np.asarray(found)
    return ours.dtype == theirs.dtype and ours.shape == theirs.shape and np.array_equal(_bits(ours), _bits(theirs))


def _bits(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns the bytes of an array, so that NaN equals itself."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _first_difference(meant: Value, found: Any) -> str:
    if isinstance(meant, str) or isinstance(found, str):
        return f"it is read back as {found!r}, not {meant!r}"
    ours, theirs = stored_form(np.asarray(meant)), np.asarray(found)
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"it is read back as {theirs.dtype}{list(theirs.shape)}, not {ours.dtype}{list(ours.shape)}"
    unequal = (_bits(ours) != _bits(theirs)).reshape(ours.size, -1).any(axis=1)
    first = int(np.argmax(unequal))
    count, wrong, right = int(unequal.sum()), theirs.flat[first], ours.flat[first]
    return f"{count} of {ours.size} values differ, the first at {first}: {wrong}, not {right}"
