"""The loads for which chunks are chosen: the meshes of training jobs, or every mesh up to 16×16."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from migrate.codes import InvalidSharding, NothingDivided
from migrate.errors import Diagnostic, UsageError
from migrate.planning.chunking.choice import ANY_BOUND, MESH_BOUND, Load, any_mesh
from migrate.planning.chunking.reads import parts_of
from migrate.planning.model import Plan
from migrate.planning.partition import assign_shardings
from migrate.rules.partition_file import Partition
from migrate.sharding import PORTABLE, Mesh
from migrate.tree import AbstractTree, KeyPath, Sharding

_KNOWN_SPEC = (
    "the spec is the model's own annotation, or the one with which SRC was saved; name its axes in `--for`, with size "
    "1 where they divide nothing, or give specs with `--partition`"
)


@dataclass(frozen=True)
class LoadsToCome:
    """The target of a plan on each mesh.

    Attributes:
      placed: for each mesh, the target with the shardings of the arrays on it; empty for every mesh up to 16×16.
      bound: the amplification that is accepted.
      diagnostics: shardings that do not fit a mesh.
    """

    placed: tuple[tuple[Mesh, AbstractTree], ...]
    bound: float
    diagnostics: tuple[Diagnostic, ...] = ()

    def of(self, path: KeyPath, shape: tuple[int, ...]) -> tuple[Load, ...]:
        """Returns the loads of an array, without those that do not divide it."""
        if not self.placed:
            return any_mesh(shape)
        shardings = (tree.leaves[path].sharding for _, tree in self.placed)
        counts = dict.fromkeys(parts_of(sharding, len(shape)) for sharding in shardings if sharding is not None)
        return tuple(tuple((count,) for count in each) for each in counts if max(each, default=1) > 1)


ANY_MESH = LoadsToCome((), ANY_BOUND)
"""Every mesh up to 16×16."""


def loads_to_come(plan: Plan, meshes: Sequence[Mesh], partition: Partition | None = None) -> LoadsToCome:
    """Returns the loads onto some meshes.

    The spec of an array is that of the partition file, of the template's annotation, or of the target's sharding, in
    this order. Where there is neither a file nor an annotation, it is the one with which the source was saved.

    Args:
      plan: the plan whose target is loaded.
      meshes: the meshes; every mesh up to 16×16 where there is none.
      partition: assigns arrays to axes of the meshes.

    Raises:
      UsageError: the size of an axis is open (`InvalidSharding`).
    """
    for mesh in meshes:
        require_sizes(mesh)
    if not meshes:
        return ANY_MESH
    tree = _annotated(plan, saved=partition is None and not plan.specs)
    placed: list[tuple[Mesh, AbstractTree]] = []
    problems: list[Diagnostic] = []
    for mesh in meshes:
        on_mesh, found = assign_shardings(tree, mesh, partition, annotations=True, uneven=True, advice=_KNOWN_SPEC)
        placed.append((mesh, on_mesh))
        problems += found
    if not problems and not any(_divides(tree) for _, tree in placed):
        problems.append(_nothing_divided(meshes))
    return LoadsToCome(tuple(placed), MESH_BOUND, tuple(dict.fromkeys(problems)))


def loads_of_target(plan: Plan) -> LoadsToCome | None:
    """Returns the load onto the mesh for which a target is written; None without a mesh of known sizes."""
    mesh = next((leaf.sharding.mesh for leaf in plan.target.leaves.values() if leaf.sharding), ())
    if not mesh or any(size < 1 for _, size in mesh):
        return None
    return LoadsToCome(((mesh, plan.target),), MESH_BOUND)


def require_sizes(mesh: Mesh, option: str = "--for") -> None:
    """Refuses a mesh whose devices cannot be counted; the help names the option.

    Raises:
      UsageError: the size of an axis is open (`InvalidSharding`).
    """
    if any(size < 1 for _, size in mesh):
        message = "the bytes of each device depend on the size of every mesh axis, and one is -1"
        sized = mesh_text((name, size if size > 0 else 8) for name, size in mesh)
        raise UsageError(InvalidSharding.at(message, help=f"write every size, for example `{option} {sized}`"))


def mesh_text(mesh: Iterable[tuple[str, int]]) -> str:
    """Returns a mesh as it is written on the command line."""
    return ",".join(f"{name}={size}" for name, size in mesh)


def _annotated(plan: Plan, *, saved: bool) -> AbstractTree:
    """Returns the target with a spec for every array for which one is known; `saved` includes those of the source."""
    specs = {**(_saved_specs(plan) if saved else {}), **_target_specs(plan), **plan.specs}
    leaves = {
        path: replace(leaf, sharding=Sharding((), specs[path]) if path in specs else None)
        for path, leaf in plan.target.leaves.items()
    }
    return AbstractTree(leaves, plan.target.containers)


def _target_specs(plan: Plan) -> Mapping[KeyPath, tuple[tuple[str, ...] | None, ...]]:
    placed = ((path, leaf.sharding) for path, leaf in plan.target.leaves.items())
    return {path: sharding.spec for path, sharding in placed if sharding and sharding != PORTABLE and sharding.spec}


def _saved_specs(plan: Plan) -> Mapping[KeyPath, tuple[tuple[str, ...] | None, ...]]:
    """Returns the specs with which arrays that keep their shape and their values were saved."""
    unchanged = (task for task in plan.tasks if not task.steps)
    kept = ((path, plan.source.tree.leaves[task.sources[0]]) for task in unchanged for path in task.targets)
    return {path: leaf.sharding.spec for path, leaf in kept if leaf.sharding is not None and leaf.sharding.spec}


def _divides(tree: AbstractTree) -> bool:
    return any(
        max(parts_of(leaf.sharding, len(leaf.aval.shape)), default=1) > 1
        for leaf in tree.leaves.values()
        if leaf.sharding is not None and leaf.aval is not None
    )


def _nothing_divided(meshes: Sequence[Mesh]) -> Diagnostic:
    names = " and ".join(f"`{mesh_text(mesh)}`" for mesh in meshes)
    axis = next((name for name, size in meshes[0] if size > 1), meshes[0][0][0])
    return NothingDivided.at(
        f"no array is divided over {names}: there is no partition file, no annotation and no saved sharding",
        help=f'`--partition FILE.yaml` divides arrays, with lines such as `- "**/kernel": [{axis}]`',
    )
