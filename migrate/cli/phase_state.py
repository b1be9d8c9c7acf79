"""The numbers of a phase of the engine: leaves, bytes, rate and remaining time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from migrate.events import PhaseStarted, ProbeRun
from migrate.report.amounts import seconds, size


@dataclass(frozen=True, slots=True)
class PhaseState:
    """A phase at one moment.

    Attributes:
      phase: the event that began the phase.
      elapsed: the seconds since then.
      leaves, nbytes: the leaves that this run has done, and their size.
      probe: the last run of the probe; None before the first one ends.
    """

    phase: PhaseStarted
    elapsed: float = 0.0
    leaves: int = 0
    nbytes: int = 0
    probe: ProbeRun | None = None

    @property
    def name(self) -> str:
        """The name of the phase, padded to a column."""
        return f"{self.phase.phase:<7}"

    @property
    def share(self) -> float | None:
        """The part that is done, from 0 to 1, by bytes where there are some; None for a phase without leaves."""
        if not self.phase.leaves:
            return None
        if self.phase.nbytes:
            return (self.phase.done_nbytes + self.nbytes) / self.phase.nbytes
        return (self.phase.done_leaves + self.leaves) / self.phase.leaves

    @property
    def numbers(self) -> tuple[str, str, str, str]:
        """Leaves, bytes, rate and remaining time: `12/152 leaves`, `1.2 GiB/8 GiB`, `250 MiB/s`, `28 s left`.

        Rate and remaining time leave out an earlier run; they are empty before the first leaf is done. A phase without
        leaves has no numbers but the runs of a probe, which are in the place of the bytes.
        """
        if not self.phase.leaves:
            return "", f"{self.probe.run:,} of at most {self.probe.budget:,} runs" if self.probe else "", "", ""
        leaves, nbytes = self.phase.done_leaves + self.leaves, self.phase.done_nbytes + self.nbytes
        of_leaves, of_bytes = f"{leaves:,}/{self.phase.leaves:,} leaves", f"{size(nbytes)}/{size(self.phase.nbytes)}"
        if not self.nbytes:
            return of_leaves, of_bytes, "", ""
        rate = self.nbytes / max(self.elapsed, 1e-9)
        left = max(self.phase.nbytes - nbytes, 0) / rate
        return of_leaves, of_bytes, f"{size(rate)}/s", f"{whole_seconds(math.ceil(left))} left"


def whole_seconds(value: float) -> str:
    """Formats a duration that is drawn again and again: `28 s`, `2 min 5 s`."""
    return seconds(value) if value >= 60 else f"{int(value)} s"
