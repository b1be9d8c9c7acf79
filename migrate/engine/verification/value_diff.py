"""Compares the values of two checkpoints, or of a plan's result and a checkpoint, leaf by leaf, within a budget.

A leaf that exceeds its share of the budget is read in windows, on both sides, down to the arrays of the source.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from migrate.engine.linking.open_stores import reading_context
from migrate.engine.streaming.array_graph import ArrayNode, build_graph
from migrate.engine.streaming.array_sources import ArraySource, blocks, open_source
from migrate.engine.streaming.budget import Trimmer
from migrate.engine.streaming.pieces import Piece, pieces
from migrate.engine.streaming.tiles import can_tile
from migrate.engine.verification.value_change import EQUAL, ValueChange, measure
from migrate.events import LeafDone, Listener, PhaseDone, PhaseStarted, ignore
from migrate.formats.base import Value
from migrate.formats.reader import Reader
from migrate.ops.windows import cut
from migrate.planning.model import Plan
from migrate.tree import AbstractLeaf, KeyPath

PART_SHARE = 16
"""The share of the budget, as a divisor, of one window of one side: both sides, their widened parts and caches fit."""

CACHE_SHARE = 4
"""The share of the budget, as a divisor, of decoded chunks that are kept."""


@dataclass(frozen=True, slots=True)
class ValueDiff:
    """The leaves whose values were compared.

    Attributes:
      changes: the change of every compared leaf, by its key path in the target; equal leaves have an empty one.
      skipped: leaves of both sides that were not compared: their shapes differ, or one side cannot be read.
    """

    changes: Mapping[KeyPath, ValueChange]
    skipped: tuple[KeyPath, ...] = ()

    @property
    def differing(self) -> Mapping[KeyPath, ValueChange]:
        """The leaves that differ."""
        return {path: change for path, change in self.changes.items() if change}


def diff_checkpoints(
    ours: Reader, theirs: Reader, pairs: Mapping[KeyPath, KeyPath], *, max_ram: int, listener: Listener = ignore
) -> ValueDiff:
    """Compares leaves of two checkpoints.

    Args:
      ours: the side of the expected values.
      theirs: the other side.
      pairs: for each key path of the other side the key path of the leaf to compare it with.
      max_ram: host bytes in memory at once; a chunk that is larger is still decoded whole.
      listener: receives an event for every leaf.

    Raises:
      CheckpointError: a leaf cannot be read.
    """
    comparison = _Comparison(theirs, max_ram)
    mine = ours.abstract().tree.leaves
    leaves = {path: mine[origin] for path, origin in pairs.items()}
    both = {path: leaf for path, leaf in leaves.items() if comparison.fits(path, leaf)}
    sides = ((path, leaf, comparison.open(ours, pairs[path], leaf)) for path, leaf in both.items())
    changes = _measured(sides, len(both), sum(leaf.nbytes for leaf in both.values()), comparison, listener)
    return ValueDiff(changes, tuple(path for path in pairs if path not in both))


def diff_result(
    plan: Plan, reader: Reader, theirs: Reader, paths: Sequence[KeyPath], *, max_ram: int, listener: Listener = ignore
) -> ValueDiff:
    """Compares what a plan makes of its source with a checkpoint.

    Args:
      plan: the plan; it need not be applicable.
      reader: its source.
      theirs: the checkpoint.
      paths: the target key paths to compare; others are not computed.
      max_ram: host bytes in memory at once; a chunk that is larger is still decoded whole.
      listener: receives an event for every leaf.

    Raises:
      RefusedError: a cast would change a value (`LossyCast`).
      CheckpointError: a leaf cannot be read, or the function of a `call` fails.
    """
    comparison = _Comparison(theirs, max_ram)
    leaves = plan.target.leaves
    wanted = {path for path in paths if path in leaves and comparison.fits(path, leaves[path])}
    made = (
        (path, leaves[path], side)
        for piece in pieces(plan, reader)
        if wanted.intersection(piece.targets)
        for path, side in _results(piece, reader, max_ram).items()
        if path in wanted
    )
    changes = _measured(made, len(wanted), sum(leaves[path].nbytes for path in wanted), comparison, listener)
    return ValueDiff(changes, tuple(path for path in paths if path not in changes))


Side = ArrayNode | Value
"""A leaf to read in windows, or its value."""


def _results(piece: Piece, reader: Reader, max_ram: int) -> Mapping[KeyPath, Side]:
    if piece.nbytes > max_ram // 2 and can_tile(piece):
        return build_graph(piece, reader, max_ram // CACHE_SHARE)
    return piece.compute()


def _measured(
    sides: Iterator[tuple[KeyPath, AbstractLeaf, Side]],
    count: int,
    nbytes: int,
    comparison: _Comparison,
    listener: Listener,
) -> Mapping[KeyPath, ValueChange]:
    start, trimmer, changes = time.monotonic(), Trimmer(), {}
    listener(PhaseStarted("compare", count, nbytes))
    for path, leaf, side in sides:
        changes[path] = comparison.change(path, side)
        trimmer.add(leaf.nbytes)
        listener(LeafDone("compare", path, leaf.nbytes))
    listener(PhaseDone("compare", time.monotonic() - start))
    return changes


class _Comparison:
    """Compares leaves with those of one checkpoint."""

    def __init__(self, reader: Reader, max_ram: int) -> None:
        self._reader = reader
        self._leaves = reader.abstract().tree.leaves
        self._limit = max_ram // PART_SHARE
        self._context = reading_context(max_ram // CACHE_SHARE // 2)

    def fits(self, path: KeyPath, leaf: AbstractLeaf) -> bool:
        """Returns whether a leaf can be compared with the one at this key path: values of one shape."""
        other = self._leaves.get(path)
        if other is None or not (leaf.is_readable and other.is_readable and leaf.has_data and other.has_data):
            return False
        return (leaf.aval and leaf.aval.shape) == (other.aval and other.aval.shape)

    def open(self, reader: Reader, path: KeyPath, leaf: AbstractLeaf) -> Side:
        """Returns the value of a leaf, or its array where it exceeds the share of one window."""
        if leaf.kind != "array" or leaf.aval is None or leaf.nbytes <= self._limit:
            return reader.read(path)
        return open_source(reader, path, leaf.aval, self._context)

    def change(self, path: KeyPath, expected: Side) -> ValueChange:
        """Returns how a leaf of the checkpoint differs from the expected one."""
        found = self.open(self._reader, path, self._leaves[path])
        if not isinstance(found, ArraySource):
            return measure(_whole(expected), found)
        grid: ArraySource = found
        if isinstance(expected, ArraySource) and expected.chunk_bytes > found.chunk_bytes:
            grid = expected
        change = EQUAL
        for window in blocks(grid, self._limit):
            part = expected.read(window) if hasattr(expected, "read") else cut(np.asarray(expected), window)
            change += measure(part, found.read(window))
        return change


def _whole(side: Side) -> Value:
    """Returns the value of a leaf that fits into memory."""
    if hasattr(side, "read"):
        return side.read(tuple((0, size) for size in side.aval.shape))
    return side
