"""Gives the arrays of a plan chunks that suit the loads to come.

An array whose chunks suit already keeps them, so that it is linked where it would be linked without a choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from migrate import dtypes
from migrate.codes import AmplifiedReads
from migrate.errors import Diagnostic
from migrate.ops.chunk_grid import ChunkGrid
from migrate.planning.chunking.choice import LEAST_BYTES, amplification_of, choose, divided, shard_around
from migrate.planning.chunking.loads import LoadsToCome
from migrate.planning.model import Plan
from migrate.planning.relink import choose_modes, moved_chunks
from migrate.tree import AbstractArray, AbstractTree, ChunkShapes, KeyPath, format_path

ANY_INNER_BYTES = 1 << 20
"""The most bytes of an inner chunk of zarr 3 where the mesh is not known: a finer grid suits more meshes, and inner
chunks are no entries of the index.
"""


@dataclass(frozen=True, slots=True)
class _Suited:
    """The chunks of one array, and the largest amplification of a device."""

    chunks: ChunkShapes
    worst: float


def with_chunks(plan: Plan, loads: LoadsToCome) -> Plan:
    """Returns the plan with chunks for every array, and with the modes of its tasks that follow from them.

    Args:
      plan: the plan; an inapplicable one is returned with the diagnostics of the loads.
      loads: the loads to come.
    """
    plan = replace(plan, diagnostics=tuple(dict.fromkeys((*plan.diagnostics, *loads.diagnostics))))
    if not plan.applicable:
        return plan
    grids = _grids(plan)
    suited = {
        path: _suited(leaf.aval, grids.get(path), loads, path, zarr3=plan.source.zarr3)
        for path, leaf in plan.target.leaves.items()
        if leaf.kind == "array" and leaf.aval is not None and leaf.aval.size and leaf.aval.shape
    }
    leaves = {
        path: replace(leaf, chunks=suited[path].chunks) if path in suited else leaf
        for path, leaf in plan.target.leaves.items()
    }
    target = AbstractTree(leaves, plan.target.containers)
    modes = {"zarr3": plan.source.zarr3, "plain": plan.rules.target.plain_zarr}
    return replace(
        plan,
        target=target,
        tasks=choose_modes(plan.tasks, plan.source.tree, target, **modes) if plan.source.locates_chunks else plan.tasks,
        diagnostics=(*plan.diagnostics, *_amplified(suited, loads)),
    )


def _grids(plan: Plan) -> Mapping[KeyPath, ChunkGrid]:
    """Returns the chunks that hold each array already, wherever no byte of it changes."""
    moved = ((task, moved_chunks(task, plan.source.tree)) for task in plan.tasks)
    return {path: grid for task, made in moved if made for path, grid in zip(task.targets, made, strict=True)}


def _suited(aval: AbstractArray, grid: ChunkGrid | None, loads: LoadsToCome, path: KeyPath, *, zarr3: bool) -> _Suited:
    """Returns the chunks that an array has already, if no other ones are better, or those that are chosen for it."""
    itemsize, divisions = dtypes.item_bytes(aval.dtype), loads.of(path, aval.shape)
    chosen = choose(aval.shape, itemsize, divisions, loads.bound)
    if grid is not None and grid.shape == aval.shape:
        inner = grid.inner or grid.chunks
        worst = amplification_of(aval.shape, inner, divisions)
        if worst <= max(loads.bound, chosen.worst):
            return _Suited(ChunkShapes(grid.chunks, inner), worst)
    if not zarr3:
        return _Suited(ChunkShapes(chosen.chunks, chosen.chunks), chosen.worst)
    inner = chosen.chunks if loads.placed else divided(chosen.chunks, itemsize, ANY_INNER_BYTES, square=True)
    worst = amplification_of(aval.shape, inner, divisions)
    return _Suited(ChunkShapes(shard_around(aval.shape, inner, itemsize), inner), worst)


def _amplified(suited: Mapping[KeyPath, _Suited], loads: LoadsToCome) -> Iterator[Diagnostic]:
    """Yields a note about the arrays whose chunks exceed the bound."""
    above = {path: one.worst for path, one in suited.items() if one.worst > loads.bound}
    if above:
        worst = max(above, key=lambda path: above[path])
        yield AmplifiedReads.at(
            f"{_arrays(above)} above {loads.bound:g}×: the worst is `{format_path(worst)}` with {above[worst]:.3g}×; "
            f"chunks of less than {LEAST_BYTES >> 10} KiB are not written",
            paths=map(format_path, above),
        )


def _arrays(paths: Iterable[KeyPath]) -> str:
    count = len(list(paths))
    return "1 array stays" if count == 1 else f"{count:,} arrays stay"
