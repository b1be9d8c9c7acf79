"""Read amplification of a plan: what the devices of a mesh decode for their own bytes, of the source and of the target.

The source is what `migrate.load` would read through the plan's rules; the target is read after the plan was applied.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from migrate import dtypes
from migrate.engine.loading.forecast import DeviceBytes, LeafReads, device_bytes, leaf_reads
from migrate.planning.chunking.choice import amplification_of
from migrate.planning.chunking.chunk_shapes import written_chunks
from migrate.planning.chunking.loads import LoadsToCome
from migrate.planning.chunking.reads import shard_reads
from migrate.planning.model import Plan
from migrate.planning.relink import moved_chunks
from migrate.sharding import Mesh
from migrate.tree import AbstractTree, KeyPath, Sharding


@dataclass(frozen=True, slots=True)
class Amplification:
    """How many times its own bytes the worst device decodes: of the source today, and of the target afterwards."""

    today: float
    after: float


@dataclass(frozen=True)
class MeshAmplification:
    """The amplification of a load.

    Attributes:
      mesh: the mesh; None for every mesh up to 16×16.
      today, after: for each device, the bytes that it keeps and decodes; without a mesh, one device for the mean of
        the worst cases of all arrays.
      leaves: the amplification of each array.
    """

    mesh: Mesh | None
    today: tuple[DeviceBytes, ...]
    after: tuple[DeviceBytes, ...]
    leaves: Mapping[KeyPath, Amplification]

    @property
    def total(self) -> Amplification:
        """The amplification of the device that is worst for all arrays together."""
        return Amplification(worst_device(self.today).factor, worst_device(self.after).factor)


def worst_device(devices: Iterable[DeviceBytes]) -> DeviceBytes:
    """Returns the device with the largest amplification."""
    return max(devices, key=lambda device: device.factor)


def amplifications(plan: Plan, loads: LoadsToCome) -> tuple[MeshAmplification, ...]:
    """Returns the amplification of each load of an applicable plan."""
    if not loads.placed:
        return (_of_any_mesh(plan, loads),)
    return tuple(_of_mesh(plan, tree, mesh) for mesh, tree in loads.placed)


def _of_mesh(plan: Plan, placed: AbstractTree, mesh: Mesh) -> MeshAmplification:
    after = {one.path: one for one in _target_reads(plan, placed, mesh)}
    today = {one.path: one for one in leaf_reads(plan, placed, mesh) if one.path in after}
    leaves = {path: Amplification(today[path].reads.worst, one.reads.worst) for path, one in after.items()}
    return MeshAmplification(mesh, device_bytes(today.values(), mesh), device_bytes(after.values(), mesh), leaves)


def _target_reads(plan: Plan, placed: AbstractTree, mesh: Mesh) -> Iterator[LeafReads]:
    """Yields what the devices keep and decode of each array of the target."""
    for path, (shape, chunks, itemsize) in _target_chunks(plan).items():
        reads = shard_reads(shape, placed.leaves[path].sharding or Sharding(mesh), chunks)
        yield LeafReads(path, reads, itemsize, 0)


def _of_any_mesh(plan: Plan, loads: LoadsToCome) -> MeshAmplification:
    """Compares the worst case of each array; of a source that ops change, the case is that of its values unchanged."""
    leaves: dict[KeyPath, Amplification] = {}
    kept, today, after = 0, 0.0, 0.0
    before = _grids(plan, linked=False)
    for path, (shape, chunks, itemsize) in _target_chunks(plan).items():
        divisions, nbytes = loads.of(path, shape), itemsize * math.prod(shape)
        new = amplification_of(shape, chunks, divisions)
        old = amplification_of(shape, before[path], divisions) if path in before else new
        leaves[path] = Amplification(old, new)
        kept, today, after = kept + nbytes, today + old * nbytes, after + new * nbytes
    devices = (DeviceBytes({}, kept, round(today)),), (DeviceBytes({}, kept, round(after)),)
    return MeshAmplification(None, *devices, leaves)


def _target_chunks(plan: Plan) -> dict[KeyPath, tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Returns shape, chunks and bytes of an element of each array of the target."""
    linked = _grids(plan, linked=True)
    arrays = ((path, leaf) for path, leaf in plan.target.leaves.items() if leaf.kind == "array" and leaf.aval)
    return {
        path: (
            leaf.aval.shape,
            linked[path] if path in linked else written_chunks(leaf).inner,
            dtypes.item_bytes(leaf.aval.dtype),
        )
        for path, leaf in arrays
        if leaf.aval is not None
    }


def _grids(plan: Plan, *, linked: bool) -> dict[KeyPath, tuple[int, ...]]:
    """Returns the chunks of the source that hold arrays of the target unchanged; `linked` of those that are linked."""
    tasks = [task for task in plan.tasks if not linked or task.mode != "stream"]
    moved = ((task, moved_chunks(task, plan.source.tree)) for task in tasks)
    return {
        path: grid.inner or grid.chunks
        for task, made in moved
        if made
        for path, grid in zip(task.targets, made, strict=True)
    }
