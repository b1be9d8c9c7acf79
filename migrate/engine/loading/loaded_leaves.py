"""Values on the host become the leaves of a model: arrays on devices, typed keys, NumPy arrays, numbers and strings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from migrate import dtypes
from migrate.codes import InternalError, NarrowedLeaf
from migrate.engine.loading.host_buffers import aligned_copy
from migrate.engine.loading.shardings import is_jax, local_windows, window_of
from migrate.engine.loading.store_reads import HostValue
from migrate.errors import Diagnostic, MigrateError
from migrate.formats.base import Value
from migrate.ops.windows import Window
from migrate.tree import AbstractTree, KeyPath, format_path


class LoadedLeaves:
    """Collects the values of a model's leaves.

    Attributes:
      values: the finished leaves by key path.
    """

    def __init__(self, leaves: Mapping[KeyPath, Any], shardings: Mapping[KeyPath, jax.sharding.Sharding]) -> None:
        """Begins with no value.

        Args:
          leaves: the leaves as the model has them: abstract or live arrays, numbers, strings.
          shardings: the sharding of each leaf that becomes a JAX array.
        """
        self.values: dict[KeyPath, Any] = {}
        self._leaves = leaves
        self._shardings = shardings
        self._devices: dict[KeyPath, Mapping[Window, list[jax.Device]]] = {
            path: local_windows(sharding, tuple(leaves[path].shape))
            for path, sharding in shardings.items()
            if not is_key(leaves[path])
        }
        self._placed: dict[KeyPath, list[jax.Array]] = {}
        for path in (path for path, windows in self._devices.items() if not windows):
            self._finish(path)  # all of it is on devices of other processes

    @property
    def windows(self) -> Mapping[KeyPath, tuple[Window, ...]]:
        """The windows of each array that is placed in parts."""
        return {path: tuple(windows) for path, windows in self._devices.items()}

    def place(self, values: Sequence[HostValue]) -> None:
        """Places windows on their devices, and makes leaves of whole values; then the host's copies are not needed."""
        windows: dict[KeyPath, dict[Window, Any]] = {}
        for found in values:
            if found.path not in self._leaves:
                continue
            if found.window is None:
                leaf, sharding = self._leaves[found.path], self._shardings.get(found.path)
                self.values[found.path] = _leaf(found.value, leaf, sharding)
            else:
                windows.setdefault(found.path, {})[found.window] = found.value
        for path, parts in windows.items():
            (self._place_all if len(parts) == len(self._devices[path]) else self._place_some)(path, parts)

    def _place_all(self, path: KeyPath, parts: Mapping[Window, Any]) -> None:
        """Makes an array of all its windows, which takes much less time than to place one after the other."""
        shape, sharding = tuple(self._leaves[path].shape), self._shardings[path]
        array = jax.make_array_from_callback(shape, sharding, lambda index: parts[window_of(index or (), shape)])
        self.values[path] = jax.block_until_ready(array)

    def _place_some(self, path: KeyPath, parts: Mapping[Window, Any]) -> None:
        windows = self._devices[path]
        placed = self._placed.setdefault(path, [])
        for window, value in parts.items():
            targets = [self._memory(path, device) for device in windows[window]]
            placed += jax.block_until_ready([jax.device_put(value, target) for target in targets])
        if len(placed) == sum(map(len, windows.values())):
            self._finish(path)

    def _finish(self, path: KeyPath) -> None:
        """Makes the array of the parts that were placed."""
        leaf, parts = self._leaves[path], self._placed.pop(path, [])
        self.values[path] = jax.make_array_from_single_device_arrays(
            tuple(leaf.shape), self._shardings[path], parts, dtype=leaf.dtype
        )

    def _memory(self, path: KeyPath, device: jax.Device) -> Any:
        """Returns a device, with the kind of its memory that the sharding of a leaf names."""
        kind = self._shardings[path].memory_kind
        return device if kind is None else jax.sharding.SingleDeviceSharding(device, memory_kind=kind)

    def keep(self, path: KeyPath) -> None:
        """Keeps the value that the caller's model has, on the devices of its sharding."""
        leaf, sharding = self._leaves[path], self._shardings.get(path)
        self.values[path] = _placed(leaf, sharding) if sharding is not None else leaf

    def require_complete(self) -> None:
        """Refuses values that are not those of the model's leaves, since `nnx.update` checks nothing.

        Raises:
          MigrateError: a leaf is missing, or has another type, shape, dtype or sharding: a bug (`InternalError`).
        """
        wrong = [path for path, leaf in self._leaves.items() if not self._fits(path, leaf)]
        if wrong:
            names = [format_path(path) for path in wrong]
            message = f"a load ended without the right value for `{names[0]}`"
            raise MigrateError(InternalError.at(message, paths=names))

    def _fits(self, path: KeyPath, leaf: Any) -> bool:
        if path not in self.values:
            return False
        value = self.values[path]
        if not hasattr(leaf, "dtype"):
            return type(value) is type(leaf)
        same = value.shape == tuple(leaf.shape) and value.dtype == leaf.dtype
        return same and (not is_jax(leaf) or value.sharding.is_equivalent_to(self._shardings[path], value.ndim))


def is_key(leaf: Any) -> bool:
    """Whether a leaf is an array of typed keys."""
    return hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _leaf(value: Value, leaf: Any, sharding: jax.sharding.Sharding | None) -> Any:
    """Returns a whole value in the form of a leaf."""
    if isinstance(leaf, str):
        return str(value)
    array = np.asarray(value)
    if not hasattr(leaf, "dtype"):
        return type(leaf)(array.item())
    if is_key(leaf):
        impl = array.dtype.names[0] if array.dtype.names else ""
        words = aligned_copy(array[impl])
        return _placed(jax.random.wrap_key_data(words, impl=dtypes.KEY_IMPLS[impl]), sharding)
    if isinstance(leaf, np.generic):
        return array[()].astype(leaf.dtype)
    return np.array(array, order="C")  # its own memory: the caller may write to it


def _placed(array: Any, sharding: jax.sharding.Sharding | None) -> Any:
    """Returns an array of this process with a sharding.

    `jax.device_put` compares the arrays of all processes where devices of others take part: each would wait for all.
    """
    if sharding is None or sharding.is_fully_addressable or not getattr(array, "is_fully_addressable", True):
        return jax.device_put(array, sharding)
    places = sharding.addressable_devices_indices_map(tuple(array.shape))
    parts = [jax.device_put(array[index], device) for device, index in places.items()]
    return jax.make_array_from_single_device_arrays(tuple(array.shape), sharding, parts)


def narrowed(leaves: Mapping[KeyPath, Any], tree: AbstractTree) -> Iterator[Diagnostic]:
    """Finds JAX arrays of 64-bit dtypes that JAX would narrow, since x64 is off."""
    for path, leaf in leaves.items():
        aval = tree.leaves[path].aval
        if aval is None or not is_jax(leaf) or is_key(leaf):
            continue
        name, narrow = format_path(path), jax.dtypes.canonicalize_dtype(leaf.dtype)
        if narrow == leaf.dtype:
            continue
        yield NarrowedLeaf.at(
            f"`{name}` is {aval.dtype}, and JAX would make it {narrow}, since x64 is off",
            paths=[name],
            help=f"set `JAX_ENABLE_X64=1`; or let the model have a NumPy array there, or {narrow} and a `cast`",
        )
