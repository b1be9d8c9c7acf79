"""The bytes that each device of a mesh decodes and keeps when a checkpoint is loaded, from metadata alone.

A chunk is decoded whole. So a device whose shards do not follow the chunks decodes more than it keeps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from migrate import dtypes
from migrate.codes import InvalidSharding
from migrate.engine.loading.decoded_links import chunks_of_targets
from migrate.engine.loading.window_costs import decoded_bytes, elements
from migrate.engine.options import DEFAULT_RAM
from migrate.engine.streaming.array_graph import ArrayNode, results
from migrate.engine.streaming.array_sources import ArraySource
from migrate.errors import UsageError
from migrate.ops.windows import Window, whole
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


def forecast(plan: Plan, placed: AbstractTree, mesh: Mesh) -> Forecast:
    """Returns what each device of a mesh will decode and keep.

    Args:
      plan: the plan of the load.
      placed: the plan's target with the shardings of the mesh.
      mesh: its axes and sizes.

    Raises:
      UsageError: the size of an axis is open (`InvalidSharding`).
    """
    if any(size < 1 for _, size in mesh):
        message = "the bytes of each device depend on the size of every mesh axis, and one is -1"
        raise UsageError(InvalidSharding.at(message, help="write every size, for example `--for-load data=2,model=4`"))
    places = [dict(zip(dict(mesh), at, strict=True)) for at in itertools.product(*(range(size) for _, size in mesh))]
    kept, decoded = [0] * len(places), [0] * len(places)
    factors: dict[KeyPath, float] = {}
    for path, leaf, node, all_of_it in _leaves(plan, placed):
        windows = [_window(leaf, place) for place in places]
        costs = {window: all_of_it if node is None else decoded_bytes(node, [window]) for window in set(windows)}
        sizes = {window: elements(window) * _item_bytes(leaf) for window in costs}
        for number, window in enumerate(windows):
            kept[number] += sizes[window]
            decoded[number] += costs[window]
        factor = _factor([costs[w] for w in windows], [sizes[w] for w in windows], all_of_it, leaf)
        if factor > 1:
            factors[path] = factor
    return Forecast(tuple(map(DeviceBytes, places, kept, decoded)), factors, dict(_undivided(plan)))


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


def _window(leaf: AbstractLeaf, place: Mapping[str, int]) -> Window:
    """Returns the window of an array that the device at a place of the mesh keeps."""
    shape = leaf.aval.shape if leaf.aval is not None else ()
    sharding = leaf.sharding or Sharding(())
    sizes = dict(sharding.mesh)
    spec = (*sharding.spec, *(None,) * (len(shape) - len(sharding.spec)))
    return tuple(_part(size, axes or (), place, sizes) for size, axes in zip(shape, spec, strict=True))


def _part(size: int, axes: Sequence[str], place: Mapping[str, int], sizes: Mapping[str, int]) -> tuple[int, int]:
    number = 0
    for axis in axes:
        number = number * sizes[axis] + place[axis]
    length = size // math.prod(sizes[axis] for axis in axes)
    return number * length, (number + 1) * length


def _item_bytes(leaf: AbstractLeaf) -> int:
    return dtypes.item_bytes(leaf.aval.dtype) if leaf.aval is not None else 0


def _factor(costs: Sequence[int], sizes: Sequence[int], all_of_it: int, leaf: AbstractLeaf) -> float:
    """Returns how many times as much the devices decode as they would if each decoded its own part."""
    fair = sum(size / max(leaf.nbytes, 1) * all_of_it for size in sizes)
    return round(sum(costs) / fair, 2) if fair else 1.0
