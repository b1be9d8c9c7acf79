"""Typed events by which the engine reports its progress to a listener."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migrate.tree import KeyPath


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """A phase started: `stage`, `commit` or `verify`; `source`, while leaves of the source that are not streamed are
    compared with the digests that it records; `measure`, for the statistics of a report; `probe`, while a suggestion
    is settled by value.

    Attributes:
      phase: the name of the phase.
      leaves, nbytes: the number of leaves in the phase and their size; 0 in `commit`, which is a single step,
        and in `probe`.
      done_leaves, done_nbytes: the part of them that an earlier run completed.
    """

    phase: str
    leaves: int
    nbytes: int
    done_leaves: int = 0
    done_nbytes: int = 0


@dataclass(frozen=True, slots=True)
class LeafDone:
    """A leaf of the target was staged or verified, or a leaf of either side was measured."""

    phase: str
    path: KeyPath
    nbytes: int


@dataclass(frozen=True, slots=True)
class PhaseDone:
    """A phase ended after `seconds`."""

    phase: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """A run of the probe on a suggestion or one of its variants ended.

    Attributes:
      run, budget: its number, from 1, and the most that there can be.
      agreeing: the number of pairs of outputs that agree before the first difference.
      agrees: whether all of them agree.
    """

    run: int
    budget: int
    agreeing: int
    agrees: bool


Event = PhaseStarted | LeafDone | PhaseDone | ProbeRun
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that ignores every event."""
