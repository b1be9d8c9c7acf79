"""The receipt of a run, as a value, and the clock that measures the run's phases for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from migrate.engine.options import VerifyMode
from migrate.engine.probing.probe import Probed
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.allocator import return_freed_memory
from migrate.engine.workspace.source_state import SourceState
from migrate.errors import Diagnostic
from migrate.events import Listener, PhaseDone, PhaseStarted
from migrate.formats.digest_record import Blocks
from migrate.metadata import Metadata
from migrate.notebook import ShownInNotebook
from migrate.planning.model import Plan, Proof
from migrate.planning.proof import count_proofs
from migrate.source_names import source_of
from migrate.tree import AbstractLeaf, KeyPath

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SourceUsed:
    """One of several sources of a run.

    Attributes:
      name: its name; empty for the main source.
      structure_hash: the hash of its tree.
      files: `sha256:` over the names, sizes and times of its files.
    """

    name: str
    path: Path
    structure_hash: str
    files: str


@dataclass(frozen=True)
class Receipt(ShownInNotebook):
    """The record of a completed `apply`.

    Attributes:
      destination: the new checkpoint.
      plan_digest: the digest of the plan.
      structure_hash: the structure hash of the new checkpoint.
      leaf_digests: for every array, by key path, `xxh3:` and the digest of its little-endian bytes, or `linked` where
        the array was linked and no byte of it was decoded.
      bytes_read, bytes_written: host bytes of array data.
      seconds: wall time of this run by phase (`stage`, `source`, `commit`, `verify`, `probe`).
      verified: the mode of the verification; `none` where nothing was verified.
      verified_leaves: the number of compared leaves.
      leaves: the number of leaves of the new checkpoint.
      linked: the number of arrays that were linked or copied chunk by chunk, without decoding them.
      copied: the number of those that were copied as they are encoded.
      decoded: the number of linked arrays that were decoded once (`--verify decode`).
      inputs: the number of leaves of the source that were compared with the digests that it records, because they are
        streamed, or used by ops (`--verify decode` and `full`). Those that an earlier run compared are included.
      digested: the number of arrays and numbers whose digests the new checkpoint records.
      dead_bytes: bytes in linked files that no leaf needs: they hold arrays that were dropped or rewritten.
      resumed: the number of arrays that an earlier run had staged.
      versions: versions of the packages that took part.
      notes: findings in the working directory and beside DST.
      proofs: the number of leaves that have a source, by proof: by name, by shape, by value, or none.
      probe: the findings of the probe; None without one.
      config: the number of changes to hyperparameters and JSON items.
      sources: the sources, the main one first; empty where there is only one.
      published: where DST was the finished result of this plan before: the date that its record gives. Nothing was
        written or verified then.
    """

    destination: Path
    plan_digest: str
    structure_hash: str
    leaf_digests: Mapping[KeyPath, str]
    bytes_read: int
    bytes_written: int
    seconds: Mapping[str, float]
    verified: VerifyMode
    verified_leaves: int
    leaves: int = 0
    linked: int = 0
    decoded: int = 0
    digested: int = 0
    dead_bytes: int = 0
    resumed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()
    proofs: Mapping[Proof, int] = field(default_factory=dict)
    probe: Probed | None = None
    published: str | None = None
    config: int = 0
    copied: int = 0
    sources: tuple[SourceUsed, ...] = ()
    inputs: int = 0

    @property
    def already_done(self) -> bool:
        """Whether DST was the finished result of this plan before."""
        return self.published is not None

    @property
    def written(self) -> int:
        """The number of arrays and numbers that were written."""
        return len(self.leaf_digests) - self.linked


@dataclass
class Checked:
    """The result of the verification.

    Attributes:
      compared: the number of compared leaves.
      inputs: the number of leaves of the source that were compared with the digests that it records.
      decoded: the number of linked arrays that were decoded.
      blocks: the digests of the blocks of arrays and numbers, as far as they are known.
    """

    compared: int = 0
    inputs: int = 0
    decoded: int = 0
    blocks: dict[KeyPath, Blocks] = field(default_factory=dict)


def sources_used(plan: Plan, state: SourceState) -> tuple[SourceUsed, ...]:
    """Returns the sources of a plan where there are several, with the digests of their files."""
    if not plan.source.sources:
        return ()
    return tuple(
        SourceUsed(source_of(start), one.path, one.structure_hash, state.digest_of(start))
        for start, one in plan.source.checkpoints.items()
    )


def earlier_receipt(plan: Plan, destination: Path, record: Metadata) -> Receipt:
    """Returns the receipt of a DST that was the finished result of the plan before: what its record states."""
    return Receipt(
        destination=destination,
        plan_digest=plan.digest,
        structure_hash=plan.target.structure_hash,
        leaf_digests={},
        bytes_read=0,
        bytes_written=0,
        seconds={},
        verified="none",
        verified_leaves=0,
        leaves=len(plan.target.leaves),
        versions=record.versions,
        proofs=count_proofs(plan.tasks),
        published=record.history[-1].date,
    )


class Clock:
    """Runs phases, announces them to a listener, and records the seconds that each takes."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.seconds: dict[str, float] = {}

    def __call__(self, phase: PhaseStarted, work: Callable[[], T]) -> T:
        """Runs the work of one phase and returns its result."""
        return_freed_memory()  # a phase frees many small objects, and the next one needs others
        self._listener(phase)
        start = time.monotonic()
        result = work()
        self.seconds[phase.phase] = time.monotonic() - start
        self._listener(PhaseDone(phase.phase, self.seconds[phase.phase]))
        return result


def phase(name: str, leaves: Iterable[AbstractLeaf]) -> PhaseStarted:
    """Returns the event that begins a phase over these leaves."""
    sizes = [leaf.nbytes for leaf in leaves]
    return PhaseStarted(name, len(sizes), sum(sizes))


def stage_phase(plan: Plan, earlier: Mapping[KeyPath, StagedArray]) -> PhaseStarted:
    """Returns the event that begins staging: everything that is streamed, and the arrays of an earlier run as done."""
    streamed = [path for task in plan.tasks if task.mode == "stream" for path in task.targets]
    leaves = plan.target.leaves
    started = phase("stage", (leaves[path] for path in (*streamed, *(c.target for c in plan.created))))
    return replace(started, done_leaves=len(earlier), done_nbytes=sum(leaves[path].nbytes for path in earlier))
