"""Decides which tasks need no decoding, from chunk grids, codecs, fill values and dtypes alone.

A task is relinked when all its arrays are stored in an OCDBT database in one encoding, every op only moves chunks, and
the target needs no other chunks. Where chunks are files of their own (plain zarr), in the source or in the target, they
are copied in their encoding.
All other tasks are streamed.

`copied_tasks` and `streamed_tasks` change modes where nothing may be linked, or where all arrays are encoded again.
"""

from __future__ import annotations

from collections.abc import Sequence

from migrate.ops.chunk_grid import ChunkGrid
from migrate.planning.model import Mode, Step, Task
from migrate.tree import AbstractLeaf, AbstractTree


def choose_modes(
    tasks: Sequence[Task], source: AbstractTree, target: AbstractTree, *, zarr3: bool, plain: bool = False
) -> tuple[Task, ...]:
    """Returns the tasks with `mode` filled in.

    Args:
      tasks: the tasks of the plan.
      source: the source's tree, with the storage of its arrays.
      target: the target's tree, with the shardings of its arrays.
      zarr3: whether the new checkpoint is written in zarr 3; one checkpoint cannot mix versions.
      plain: whether the new checkpoint is plain zarr, which refers to no chunk of a database: chunks are copied.
    """
    driver = "zarr3" if zarr3 else "zarr2"
    modes = (_mode(task, source, target, driver) for task in tasks)
    copied = ("copy" if plain and mode == "relink" else mode for mode in modes)
    return tuple(task.with_mode(mode) for task, mode in zip(tasks, copied, strict=True))


def copied_tasks(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Returns the tasks for a target that shares no file with the source: linked chunks are copied as encoded."""
    return tuple(task.with_mode("copy") if task.mode == "relink" else task for task in tasks)


def streamed_tasks(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Returns the tasks for a target whose arrays are all encoded again."""
    return tuple(task if task.mode == "stream" else task.with_mode("stream") for task in tasks)


def _mode(task: Task, source: AbstractTree, target: AbstractTree, driver: str) -> Mode:
    found = {(s.driver, s.database) for path in task.sources if (s := source.leaves[path].storage)}
    if len(found) != 1 or chunk_moves(task, source, target) is None:
        return "stream"
    ((stored_by, database),) = found
    if stored_by != driver:
        return "stream"
    return "relink" if database else "copy"


def chunk_moves(task: Task, source: AbstractTree, target: AbstractTree) -> tuple[ChunkGrid, ...] | None:
    """Returns the chunks that form each target of a task; None when bytes have to change.

    Typed keys are described without the dimension of their words, which is one chunk thick.
    """
    made = moved_chunks(task, source)
    wanted = [target.leaves[path] for path in task.targets if path in target.leaves]
    fits = made is not None and len(wanted) == len(made) and all(map(_accepts, wanted, made))
    return made if fits else None


def moved_chunks(task: Task, source: AbstractTree) -> tuple[ChunkGrid, ...] | None:
    """Returns the chunks of the source that hold each target of a task, whichever chunks it needs; None as above."""
    arrays = _stored_chunks([source.leaves[path] for path in task.sources])
    for step in task.steps:
        arrays = _moved(step, arrays) if arrays is not None else None
    return tuple(arrays[index] for index in task.outputs) if arrays is not None else None


def _moved(step: Step, arrays: Sequence[ChunkGrid]) -> list[ChunkGrid] | None:
    results: list[ChunkGrid] = []
    for op, group in step.calls:
        moved = op.relink(*(arrays[index] for index in group))
        if moved is None:
            return None
        results += moved
    return results


def _stored_chunks(leaves: Sequence[AbstractLeaf]) -> list[ChunkGrid] | None:
    encodings = {leaf.storage.encoding if leaf.storage and leaf.kind == "array" else None for leaf in leaves}
    if None in encodings or len(encodings) > 1:
        return None
    found: list[ChunkGrid] = []
    for index, leaf in enumerate(leaves):
        if leaf.aval is None or leaf.storage is None or leaf.storage.chunks is None or 0 in leaf.aval.shape:
            return None
        found.append(ChunkGrid.source(index, leaf.aval.shape, leaf.storage.chunks, leaf.storage.inner))
    return found


def _accepts(leaf: AbstractLeaf, made: ChunkGrid) -> bool:
    """Whether the target accepts these chunks: those that were chosen, or of a split array, one for each shard."""
    if leaf.kind != "array" or leaf.aval is None or leaf.aval.shape != made.shape:
        return False
    if leaf.chunks is not None:
        return (leaf.chunks.outer, leaf.chunks.inner) == (made.chunks, made.inner or made.chunks)
    if leaf.sharding is None or not leaf.sharding.placed:
        return True
    shard = leaf.sharding.shard_shape(made.shape)
    return shard in (made.shape, made.chunks)
