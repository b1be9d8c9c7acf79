"""Restores leaves of a checkpoint through plain Orbax, some at a time.

It uses Orbax's public API and none of migrate's readers: if both sides of a comparison came from one reader, an error
of the reader would cancel out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.metadata import StringMetadata

from migrate.engine.verification.compare import Unrestorable
from migrate.formats.files import damaged
from migrate.formats.item_kinds import BARE


class ReadBack:
    """One pytree item, opened by Orbax; a context manager."""

    def __init__(self, directory: Path) -> None:
        """Opens the item.

        Raises:
          CheckpointError: Orbax cannot read the metadata (`DamagedFile`).
        """
        self._directory = directory.absolute()
        self._checkpointer = ocp.Checkpointer(ocp.PyTreeCheckpointHandler())
        self._tree = self._read_metadata()
        self.names: frozenset[str] = frozenset(_by_name(self._tree))
        """The stored names of all leaves with data that Orbax finds."""

    def _read_metadata(self) -> Any:
        """Returns Orbax's tree of the leaves' metadata; on damaged files, Orbax fails with errors of any type."""
        try:
            return self._checkpointer.metadata(self._directory).item_metadata.tree
        except MemoryError:
            raise
        except Exception as error:
            self._checkpointer.close()
            raise damaged(
                self._directory, f"plain Orbax cannot read the metadata ({type(error).__name__}: {_reason(error)})"
            ) from error

    def __enter__(self) -> ReadBack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._checkpointer.close()

    def restore(self, names: Collection[str]) -> Mapping[str, Any]:
        """Returns the values of leaves by stored name: NumPy arrays (typed keys as their words), and strings.

        A leaf that Orbax cannot restore is an `Unrestorable` with the reason.
        """
        if not names:
            return {}
        try:
            return self._restore(set(names))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001
            if len(names) == 1:
                return dict.fromkeys(names, Unrestorable(_reason(error)))
        ordered = sorted(names)
        middle = len(ordered) // 2
        return {**self.restore(ordered[:middle]), **self.restore(ordered[middle:])}

    def _restore(self, wanted: set[str]) -> Mapping[str, Any]:
        item = jax.tree_util.tree_map_with_path(
            lambda path, leaf: leaf if name_in_orbax(path) in wanted else ocp.PLACEHOLDER,
            jax.tree.map(_stand_in, self._tree),
        )
        args = ocp.args.PyTreeRestore(item=item, restore_args=jax.tree.map(_restore_args, item))
        restored = _by_name(self._checkpointer.restore(self._directory, args=args))
        return {name: restored[name] for name in wanted}


class ReadBackArray(ReadBack):
    """An item that is one array, opened by Orbax."""

    def __init__(self, directory: Path) -> None:
        """Opens the item; Orbax reads nothing before it is restored."""
        self._directory = directory.absolute()
        self._checkpointer = ocp.Checkpointer(ocp.ArrayCheckpointHandler())
        self.names = frozenset({BARE})

    def _restore(self, wanted: set[str]) -> Mapping[str, Any]:
        args = ocp.args.ArrayRestore(restore_args=ocp.RestoreArgs(restore_type=np.ndarray))
        return dict.fromkeys(wanted, self._checkpointer.restore(self._directory, args=args))


def _reason(error: Exception) -> str:
    return str(error).split(" [", 1)[0]


def _stand_in(metadata: Any) -> Any:
    return "" if isinstance(metadata, StringMetadata) else 0


def _restore_args(stand_in: Any) -> ocp.RestoreArgs:
    return ocp.RestoreArgs(restore_type=np.ndarray) if stand_in == 0 else ocp.RestoreArgs()


def _by_name(tree: Any) -> Mapping[str, Any]:
    return {name_in_orbax(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def name_in_orbax(path: Any) -> str:
    """Returns the stored name of a leaf for its key path in JAX."""
    return ".".join(str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path)
