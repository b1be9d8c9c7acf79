"""The sharding of each loaded array, and the windows of it that the devices of this process hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from migrate.codes import InvalidSharding
from migrate.engine.loading.recipient import Recipient
from migrate.errors import Diagnostic, UsageError
from migrate.ops.windows import Window
from migrate.sharding import parse_mesh
from migrate.tree import KeyPath, Sharding, format_path

MeshLike: TypeAlias = "Mesh | str | tuple[tuple[str, int], ...]"
"""A mesh; or axes and their sizes, as a value or as `data=2,model=4`."""


def mesh_of(mesh: MeshLike | None) -> Mesh | None:
    """Returns a mesh over devices.

    Raises:
      UsageError: the text is not a mesh, or there are not as many devices (`InvalidSharding`).
    """
    if mesh is None or isinstance(mesh, Mesh):
        return mesh
    axes = parse_mesh(mesh) if isinstance(mesh, str) else mesh
    known = math.prod(size for _, size in axes if size > 0)
    sizes = [size if size > 0 else jax.device_count() // known for _, size in axes]
    if math.prod(sizes) != jax.device_count():
        text = ",".join(f"{name}={size}" for name, size in axes)
        message = f"the mesh `{text}` needs {math.prod(sizes) or known} devices, and there are {jax.device_count()}"
        advice = f"choose sizes whose product is {jax.device_count()}, or pass a `jax.sharding.Mesh` of fewer devices"
        raise UsageError(InvalidSharding.at(message, help=advice))
    return jax.make_mesh(sizes, [name for name, _ in axes], axis_types=(AxisType.Auto,) * len(axes))


def current_mesh() -> Mesh | None:
    """Returns the mesh of `jax.set_mesh`; None without one."""
    mesh = jax.sharding.get_mesh()
    return None if mesh.empty else mesh


@dataclass(frozen=True)
class Placement:
    """The rule by which shardings are chosen.

    Attributes:
      given: the mesh that the caller passed.
      current: the mesh of the context.
    """

    given: Mesh | None
    current: Mesh | None = None

    @classmethod
    def of(cls, mesh: MeshLike | None) -> Placement:
        """Returns the placement on a mesh, or else on the mesh of the context.

        Raises:
          UsageError: as `mesh_of`.
        """
        return cls(mesh_of(mesh), current_mesh())

    def shardings(self, recipient: Recipient) -> Mapping[KeyPath, jax.sharding.Sharding]:
        """Returns the sharding of every leaf that becomes a JAX array.

        It is the leaf's own, else its annotation on the mesh, else all of it on every device of the mesh or on one.

        Raises:
          UsageError: one does not fit its array (`InvalidSharding`); all of them are named.
        """
        jax_leaves = {path: leaf for path, leaf in recipient.leaves.items() if is_jax(leaf)}
        annotations = {path: recipient.template.tree.leaves[path].sharding for path in jax_leaves}
        pairs = jax_leaves.items()
        problems = [problem for path, leaf in pairs for problem in self._unfit(path, leaf, annotations[path])]
        if problems:
            raise UsageError(*problems)
        return {path: self._sharding(leaf, annotations[path]) for path, leaf in jax_leaves.items()}

    def _unfit(self, path: KeyPath, leaf: Any, annotation: Sharding | None) -> Iterator[Diagnostic]:
        try:
            self._sharding(leaf, annotation).shard_shape(tuple(leaf.shape))
        except (ValueError, IndexError) as error:
            name, reason = format_path(path), str(error).splitlines()[0]
            yield InvalidSharding.at(
                f"the sharding of `{name}` of shape {tuple(leaf.shape)} does not fit: {reason}",
                paths=[name],
                help="pass a `mesh` with the axes that the model's annotations name, and sizes that divide the array",
            )

    def _sharding(self, leaf: Any, annotation: Sharding | None) -> jax.sharding.Sharding:
        own = getattr(leaf, "sharding", None)
        mesh = self.given or self.current
        if isinstance(own, NamedSharding):
            if isinstance(own.mesh, Mesh) or mesh is None:
                return own
            return NamedSharding(mesh, own.spec)
        if own is not None and self.given is None:
            return own
        if mesh is None:
            return SingleDeviceSharding(jax.local_devices()[0])
        return NamedSharding(mesh, _partition(annotation, len(leaf.shape)))


def _partition(annotation: Sharding | None, ndim: int) -> PartitionSpec:
    """Returns an annotation for JAX, with an entry for each axis as models write it; without one, nothing is split."""
    if annotation is None or not annotation.spec:
        return PartitionSpec()
    entries = (*annotation.spec, *(None,) * (ndim - len(annotation.spec)))
    return PartitionSpec(*(axes and (axes if len(axes) > 1 else axes[0]) for axes in entries))


def is_jax(leaf: Any) -> bool:
    """Whether a leaf of a model is, or stands for, a JAX array."""
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct)


def local_windows(sharding: jax.sharding.Sharding, shape: tuple[int, ...]) -> Mapping[Window, list[jax.Device]]:
    """Returns the different windows of an array that devices of this process hold, each with its devices."""
    windows: dict[Window, list[jax.Device]] = {}
    for device, index in sharding.addressable_devices_indices_map(shape).items():
        windows.setdefault(window_of(index or (), shape), []).append(device)
    return windows


def window_of(index: Sequence[slice], shape: Sequence[int]) -> Window:
    """Returns the window of an array that JAX describes by slices."""
    return tuple([part.indices(size)[:2] for part, size in zip(index, shape, strict=True)])
