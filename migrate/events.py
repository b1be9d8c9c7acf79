"""Typed events by which the engine reports its progress to a listener."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migrate.tree import KeyPath


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """A phase started: `stage`, `commit` or `verify`.

    Attributes:
      phase: the name of the phase.
      leaves, nbytes: the number of leaves in the phase and their size; 0 in `commit`, which is a single step.
      done_leaves, done_nbytes: the part of them that an earlier run completed.
    """

    phase: str
    leaves: int
    nbytes: int
    done_leaves: int = 0
    done_nbytes: int = 0


@dataclass(frozen=True, slots=True)
class LeafDone:
    """A leaf of the target was staged or verified."""

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
    """The listener that ignores every event."""
