"""Typed events: how the engine tells whoever watches it what just happened, without knowing who watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migrate.tree import KeyPath


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """A phase began: `stage`, `commit` or `verify`; with the leaves and bytes that it will go through."""

    phase: str
    leaves: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class LeafDone:
    """One leaf of the target was staged or verified."""

    phase: str
    path: KeyPath
    nbytes: int


@dataclass(frozen=True, slots=True)
class PhaseDone:
    """A phase ended after `seconds`."""

    phase: str
    seconds: float


Event = PhaseStarted | LeafDone | PhaseDone
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who do not watch."""
