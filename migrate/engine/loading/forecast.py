"""The bytes that each device of a mesh decodes and keeps when a checkpoint is loaded, from metadata alone.

A chunk is decoded whole. So a device whose shards do not follow the chunks decodes more than it keeps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from migrate import dtypes
from migrate.engine.loading.decoded_links import chunks_of_targets
from migrate.engine.loading.window_costs import decoded_bytes, elements
from migrate.engine.options import DEFAULT_RAM
from migrate.engine.streaming.array_graph import ArrayNode, results
from migrate.engine.streaming.array_sources import ArraySource
from migrate.ops.windows import Window, whole
from migrate.planning.chunking.loads import require_sizes
from migrate.planning.chunking.reads import ShardReads, numbers_of, part_of, parts_of, shard_reads
from migrate.planning.model import Plan, Task
from migrate.sharding import Mesh
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, Sharding


@dataclass(frozen=True)
class DeviceBytes:
    """What one device needs.

    Attributes:
      place: its coordinates on the mesh.
      kept: bytes of its shards.
      decoded: bytes of the chunks that are decoded for them alone.
    """

    place: Mapping[str, int]
    kept: int
    decoded: int

    @property
    def factor(self) -> float:
        """How many times the bytes that it keeps it decodes; 1 where it keeps none."""
        return self.decoded / self.kept if self.kept else 1.0


@dataclass(frozen=True)
class Forecast:
    """What a load onto a mesh needs.

    Attributes:
      devices: each device, in the order of the mesh.
      factors: for each leaf of which devices decode more than they keep, how many times as much.
      undivided: for each leaf that needs chunks which are decoded whole and exceed the default budget, the bytes of
        the largest.
    """

    devices: tuple[DeviceBytes, ...]
    factors: Mapping[KeyPath, float]
    undivided: Mapping[KeyPath, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeafReads:
    """What the devices of a mesh keep and decode of one array.

    Attributes:
      path: its key path in the target.
      reads: for each device, units that it keeps and decodes; one object for arrays of one shape, chunks and sharding.
      unit: bytes of a unit.
      all_of_it: bytes that are decoded for the whole array.
    """

    path: KeyPath
    reads: ShardReads
    unit: int
    all_of_it: int


def forecast(plan: Plan, placed: AbstractTree, mesh: Mesh) -> Forecast:
    """Returns what each device of a mesh will decode and keep.

    Args:
      plan: the plan of the load.
      placed: the plan's target with the shardings of the mesh.
      mesh: its axes and sizes.

    Raises:
      UsageError: the size of an axis is open (`InvalidSharding`).
    """
    found = list(leaf_reads(plan, placed, mesh))
    factors = {one.path: factor for one in found if (factor := _factor(one, placed.leaves[one.path])) > 1}
    return Forecast(device_bytes(found, mesh), factors, dict(_undivided(plan)))


def device_bytes(found: Iterable[LeafReads], mesh: Mesh) -> tuple[DeviceBytes, ...]:
    """Returns what each device of a mesh keeps and decodes of some arrays together."""
    alike: dict[tuple[int, int], list[LeafReads]] = {}
    for one in found:
        alike.setdefault((id(one.reads), one.unit), []).append(one)
    places = [dict(zip(dict(mesh), at, strict=True)) for at in itertools.product(*(range(size) for _, size in mesh))]
    kept, decoded = [0] * len(places), [0] * len(places)
    for (_, unit), group in alike.items():
        reads, times = group[0].reads, unit * len(group)
        kept = [total + times * part for total, part in zip(kept, reads.kept, strict=True)]
        decoded = [total + times * part for total, part in zip(decoded, reads.decoded, strict=True)]
    return tuple(map(DeviceBytes, places, kept, decoded))


def leaf_reads(plan: Plan, placed: AbstractTree, mesh: Mesh) -> Iterator[LeafReads]:
    """Yields what the devices of a mesh keep and decode of each array; arguments and errors as in `forecast`."""
    require_sizes(mesh, "--for-load")
    for path, leaf, node, all_of_it in _leaves(plan, placed):
        placed_here = leaf.sharding is not None and leaf.sharding.mesh == mesh  # a portable one is on any mesh
        sharding = leaf.sharding if leaf.sharding is not None and placed_here else Sharding(mesh)
        if isinstance(node, ArraySource):
            reads = shard_reads(node.aval.shape, sharding, node.chunks)
            yield LeafReads(path, reads, _item_bytes(leaf), all_of_it)
        else:
            yield LeafReads(path, _computed_reads(leaf, sharding, node, all_of_it), 1, all_of_it)


def _computed_reads(leaf: AbstractLeaf, sharding: Sharding, node: ArrayNode | None, all_of_it: int) -> ShardReads:
    """Returns the bytes of an array that ops compute: window by window, or from whole arrays without a node."""
    windows = [_window(leaf, sharding, numbers) for numbers in numbers_of(sharding, len(_shape(leaf)))]
    full = {window for window in windows if elements(window) or not window}
    costs = {window: all_of_it if node is None else decoded_bytes(node, [window]) for window in full}
    kept = tuple(elements(window) * _item_bytes(leaf) for window in windows)
    return ShardReads(kept, tuple(costs.get(window, 0) for window in windows))


def _undivided(plan: Plan) -> Iterator[tuple[KeyPath, int]]:
    """Yields the leaves that need a chunk which exceeds the budget and is not decoded in slabs."""
    for task in plan.tasks:
        leaves = [plan.source.tree.leaves[path] for path in task.sources]
        largest = max((math.prod(_chunks(leaf)) * _item_bytes(leaf) for leaf in leaves), default=0)
        if largest > DEFAULT_RAM and not (all(map(_has_slabs, leaves)) and chunks_of_targets(task, plan)):
            yield from ((path, largest) for path in task.targets)


def _has_slabs(leaf: AbstractLeaf) -> bool:
    """Whether the chunks of an array have an encoding that is decoded in slabs."""
    codec = leaf.storage.codec if leaf.storage is not None else None
    return codec is None or codec.partition(":")[0] == "zstd"


def _leaves(plan: Plan, placed: AbstractTree) -> Iterator[tuple[KeyPath, AbstractLeaf, ArrayNode | None, int]]:
    """Yields each array with the node that computes it, or None; and the bytes that are decoded for all of it."""
    for task in plan.tasks:
        nodes = _graph(task, plan.source.tree)
        for path in task.targets:
            leaf, node = placed.leaves[path], nodes.get(path)
            if leaf.aval is not None:
                all_of_it = task.in_bytes if node is None else decoded_bytes(node, [whole(node.aval.shape)])
                yield path, leaf, node, all_of_it
    for creation in plan.created:
        if creation.leaf.aval is not None:
            yield creation.target, placed.leaves[creation.target], None, 0


def _graph(task: Task, source: AbstractTree) -> Mapping[KeyPath, ArrayNode]:
    """Returns the node of each target of a task whose ops have windows; empty for others."""
    avals = [source.leaves[path].aval for path in task.sources]
    ops = [op for step in task.steps for op in step.ops]
    if any(aval is None or not aval.size for aval in avals) or not all(op.has_windows for op in ops):
        return {}
    leaves = [source.leaves[path] for path in task.sources]
    arrays: list[ArrayNode] = [ArraySource(leaf.aval, _chunks(leaf)) for leaf in leaves if leaf.aval is not None]
    for step in task.steps:
        arrays = [out for op, group in step.calls for out in results(task, op, tuple(arrays[i] for i in group))]
    outputs = task.outputs if task.steps else (0,) * len(task.targets)
    return {path: arrays[index] for path, index in zip(task.targets, outputs, strict=True)}


def _chunks(leaf: AbstractLeaf) -> tuple[int, ...]:
    """Returns the shape of what is decoded at once: of a file without chunks, single elements are read."""
    shape = leaf.aval.shape if leaf.aval is not None else ()
    stored = leaf.storage
    if stored is None or not stored.driver.startswith("zarr"):
        return (1,) * len(shape)
    return (stored.inner or stored.chunks or shape)[: len(shape)]


def _window(leaf: AbstractLeaf, sharding: Sharding, numbers: tuple[int, ...]) -> Window:
    """Returns the window of an array that has these numbers along its dimensions."""
    shape = _shape(leaf)
    return tuple(map(part_of, shape, parts_of(sharding, len(shape)), numbers))


def _shape(leaf: AbstractLeaf) -> tuple[int, ...]:
    return leaf.aval.shape if leaf.aval is not None else ()


def _item_bytes(leaf: AbstractLeaf) -> int:
    return dtypes.item_bytes(leaf.aval.dtype) if leaf.aval is not None else 0


def _factor(found: LeafReads, leaf: AbstractLeaf) -> float:
    """Returns how many times as much the devices decode as they would if each decoded its own part."""
    sizes = (kept * found.unit for kept in found.reads.kept)
    fair = sum(size / max(leaf.nbytes, 1) * found.all_of_it for size in sizes)
    return round(sum(found.reads.decoded) * found.unit / fair, 2) if fair else 1.0
