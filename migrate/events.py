"""Typed events: how the engine tells whoever watches it what just happened, without knowing who watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migrate.tree import KeyPath


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """A phase began: `stage`, `commit` or `verify`.

    Attributes:
      phase: its name.
      leaves, nbytes: what the phase goes through leaf by leaf; 0 in `commit`, which is one step.
      done_leaves, done_nbytes: what of it an earlier run has already done.
    """

    phase: str
    leaves: int
    nbytes: int
    done_leaves: int = 0
    done_nbytes: int = 0


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
