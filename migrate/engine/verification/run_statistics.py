"""Statistics of the leaves that a run read and wrote: of SRC before, and of the published DST after.

Leaves that are streamed are measured on both sides. Those that are linked are measured where the run decoded them, once
for both sides: their elements are only moved. The checkpoint is published by then, so that no failure is an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from migrate import dtypes
from migrate.engine.linking.open_stores import reading_context
from migrate.engine.options import DEFAULT_RAM
from migrate.engine.streaming.array_sources import WholeSource, blocks, open_source
from migrate.engine.streaming.budget import Budget, Trimmer
from migrate.engine.streaming.stopping import never
from migrate.engine.verification.digests import part_bytes
from migrate.engine.verification.leaf_digests import in_parallel
from migrate.engine.verification.stored_digests import GROUP, grouped
from migrate.engine.verification.value_statistics import NO_VALUES, ValueStatistics, statistics_of
from migrate.errors import MigrateError
from migrate.events import LeafDone, Listener, PhaseDone, PhaseStarted, ignore
from migrate.formats.detect import open_reader
from migrate.formats.files import short_reason
from migrate.formats.reader import Reader
from migrate.formats.zarr.small_arrays import SMALL_BYTES
from migrate.planning.model import Plan, Task
from migrate.tree import AbstractLeaf, KeyPath, format_path, stored_path

WINDOW_BYTES = 8 << 20
"""The most bytes of one window; larger ones take no less time."""

_COPIES = 4
"""Copies of a window in memory while it is read: encoded, decoded, in place, and memory that the allocator retains."""

_WORK_BYTES = 16 << 20
"""Host bytes of the intermediate arrays of one thread."""


@dataclass(frozen=True)
class RunStatistics:
    """The result of a measurement after a run.

    Attributes:
      before: the statistics of leaves of SRC, by key path.
      after: those of leaves of DST, by key path in the target.
      failures: for each leaf, or checkpoint, that could not be measured, its name and the reason.
      stopped: whether Ctrl-C ended the measurement.
    """

    before: Mapping[KeyPath, ValueStatistics] = field(default_factory=dict)
    after: Mapping[KeyPath, ValueStatistics] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    stopped: bool = False


def measure_run(
    plan: Plan,
    reader: Reader,
    destination: Path,
    *,
    decodes_links: bool,
    max_ram: int = DEFAULT_RAM,
    jobs: int = 1,
    listener: Listener = ignore,
    stopped: Callable[[], bool] = never,
) -> RunStatistics:
    """Measures the leaves of a plan that was carried out.

    Args:
      plan: the plan, as the output carried it out.
      reader: its source.
      destination: the published checkpoint.
      decodes_links: whether the run decoded what it linked, so that linked leaves are measured too.
      max_ram: host bytes in memory at once; a chunk that is larger is still decoded whole.
      jobs: the most leaves that are read at once.
      listener: receives an event for every leaf.
      stopped: asked between leaves and windows; once it returns true, nothing more is read.
    """
    wanted = _Wanted()
    for task in plan.tasks:
        if task.mode == "stream" or decodes_links:
            wanted.add(task)
    for creation in plan.created:
        if _is_measured(creation.leaf):
            wanted.after.append(creation.target)
    work = _Measurement(max_ram, jobs, listener, stopped)
    leaves, stored = plan.source.tree.leaves, plan.target.leaves
    start = time.monotonic()
    sizes = [leaves[path].nbytes for path in wanted.before] + [stored[path].nbytes for path in wanted.after]
    listener(PhaseStarted("measure", len(sizes), sum(sizes)))
    before: dict[KeyPath, ValueStatistics] = {}
    after: dict[KeyPath, ValueStatistics] = {}
    try:
        work.measure(reader, {path: path for path in wanted.before}, before)
        with open_reader(destination, unbox="never") as written:
            work.measure(written, {path: stored_path(path, stored[path]) for path in wanted.after}, after)
    except Exception as error:  # noqa: BLE001 - nothing may fail a run whose result is published
        work.failures.append(_reason(error))
    listener(PhaseDone("measure", time.monotonic() - start))
    wanted.complete(before, after)
    return RunStatistics(before, after, tuple(work.failures), work.was_stopped)


def _is_measured(leaf: AbstractLeaf) -> bool:
    return leaf.is_numeric and leaf.aval is not None and dtypes.key_impl(leaf.aval.dtype) is None


class _Wanted:
    """The leaves to measure, and those whose statistics follow from them.

    Attributes:
      before, after: the key paths to measure in SRC and in DST.
    """

    def __init__(self) -> None:
        self.before: list[KeyPath] = []
        self.after: list[KeyPath] = []
        self._same: list[tuple[KeyPath, Sequence[KeyPath]]] = []
        self._sums: list[tuple[Task, Sequence[KeyPath]]] = []

    def add(self, task: Task) -> None:
        """Adds the leaves of a task; of tied leaves, which are one array, the first."""
        if any(aval is None or dtypes.key_impl(aval.dtype) for aval in (*task.in_avals, *task.out_avals)):
            return
        arrays: dict[int, list[KeyPath]] = {}
        for path, output in zip(task.targets, task.outputs, strict=True):
            arrays.setdefault(output, []).append(path)
        first = [paths[0] for paths in arrays.values()]
        self._same += [(paths[0], paths[1:]) for paths in arrays.values()]
        if task.mode != "stream" and min(len(task.sources), len(first)) == 1 and _only_moves(task, first):
            self._sums.append((task, first))
            if len(task.sources) > 1:
                self.before += task.sources
            else:
                self.after += first
        else:
            self.before += task.sources
            self.after += first

    def complete(self, before: dict[KeyPath, ValueStatistics], after: dict[KeyPath, ValueStatistics]) -> None:
        """Adds the statistics that follow from what was measured."""
        for task, first in self._sums:
            if len(task.sources) > 1:
                _add_sum(before, task.sources, after, first[0])
            else:
                _add_sum(after, first, before, task.sources[0])
        for path, tied in self._same:
            if path in after:
                after.update(dict.fromkeys(tied, after[path]))


def _only_moves(task: Task, first: Sequence[KeyPath]) -> bool:
    """Whether each element of the sources of a linked task is in one of its arrays, which differ from each other."""
    sizes = {path: aval.size for path, aval in zip(task.targets, task.out_avals, strict=True) if aval}
    return sum(aval.size for aval in task.in_avals if aval) == sum(sizes[path] for path in first)


def _add_sum(
    parts: Mapping[KeyPath, ValueStatistics],
    paths: Sequence[KeyPath],
    wholes: dict[KeyPath, ValueStatistics],
    whole: KeyPath,
) -> None:
    """Adds the statistics of an array to those of its parts, if all of them were measured."""
    if all(path in parts for path in paths):
        wholes[whole] = sum((parts[path] for path in paths), NO_VALUES)


class _Stopped(Exception):
    """The measurement of a leaf was stopped."""


class _Measurement:
    """Measures leaves of both sides within one budget.

    Attributes:
      failures: see `RunStatistics`.
      was_stopped: whether it ended early.
    """

    def __init__(self, max_ram: int, jobs: int, listener: Listener, stopped: Callable[[], bool]) -> None:
        self._jobs = max(1, jobs)
        self._window = max(1, min(WINDOW_BYTES, max_ram // (2 * _COPIES * self._jobs)))
        self._budget = Budget(max_ram)
        self._trimmer = Trimmer(max_ram)
        self._listener = listener
        self._stopped = stopped
        self.failures: list[str] = []
        self.was_stopped = False

    def measure(self, reader: Reader, stored: Mapping[KeyPath, KeyPath], found: dict[KeyPath, ValueStatistics]) -> None:
        """Measures leaves of one side.

        Args:
          reader: the checkpoint.
          stored: for each key path the one by which the checkpoint is read.
          found: receives the statistics by key path.
        """
        leaves, context = reader.abstract().tree.leaves, reading_context(0)
        small = {path for path, place in stored.items() if leaves[place].nbytes <= SMALL_BYTES}
        groups = grouped(stored, small, GROUP)

        def measured(group: Sequence[KeyPath]) -> list[ValueStatistics | str | None]:
            return self._group(reader, [(stored[path], leaves[stored[path]]) for path in group], context)

        for group, results in in_parallel(measured, groups, self._jobs):
            for path, result in zip(group, results, strict=True):
                if isinstance(result, str):
                    self.failures.append(f"`{format_path(path)}` of {reader.abstract().path}: {result}")
                elif result is not None:
                    found[path] = result
                self._listener(LeafDone("measure", path, leaves[stored[path]].nbytes))
            if self._stopped():
                self.was_stopped = True
                break

    def _group(
        self, reader: Reader, group: Sequence[tuple[KeyPath, AbstractLeaf]], context: Any
    ) -> list[ValueStatistics | str | None]:
        """Measures several small leaves, or one leaf; returns the reason where it fails, and None if it is stopped."""
        if len(group) > 1:
            with suppress(MigrateError):  # reading the leaf itself explains the failure
                reader.read_ahead(path for path, _ in group)
        return [self._leaf(reader, path, leaf, context) for path, leaf in group]

    def _leaf(self, reader: Reader, path: KeyPath, leaf: AbstractLeaf, context: Any) -> ValueStatistics | str | None:
        try:
            if leaf.nbytes <= self._window:
                return self._whole(reader, path, leaf)
            return self._windows(reader, path, leaf, context)
        except _Stopped:
            return None
        except Exception as error:  # noqa: BLE001 - nothing may fail a run whose result is published
            return _reason(error)
        finally:
            self._trimmer.add(leaf.nbytes)

    def _whole(self, reader: Reader, path: KeyPath, leaf: AbstractLeaf) -> ValueStatistics:
        """Measures a leaf that is no larger than a window."""
        assert leaf.aval is not None
        needed = _COPIES * max(leaf.nbytes, part_bytes(leaf)) + min(_WORK_BYTES, _COPIES * leaf.nbytes)
        self._budget.reserve(needed)
        try:
            return statistics_of(np.asarray(reader.read(path), dtypes.to_numpy(leaf.aval.dtype)))
        finally:
            self._budget.release(needed)

    def _windows(self, reader: Reader, path: KeyPath, leaf: AbstractLeaf, context: Any) -> ValueStatistics:
        """Measures a leaf window by window."""
        assert leaf.aval is not None
        source = open_source(reader, path, leaf.aval, context)
        window = leaf.nbytes if isinstance(source, WholeSource) else max(self._window, source.chunk_bytes)
        needed = _COPIES * min(leaf.nbytes, window) + _WORK_BYTES
        self._budget.reserve(needed)
        try:
            found = NO_VALUES
            for box in blocks(source, self._window):
                if self._stopped():
                    raise _Stopped
                found += statistics_of(source.read(box))
            return found
        finally:
            self._budget.release(needed)


def _reason(error: Exception) -> str:
    if isinstance(error, MigrateError):
        return error.diagnostics[0].message
    return f"{type(error).__name__}: {short_reason(error)}"
