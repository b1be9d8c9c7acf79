"""Restores leaves of a checkpoint in a bucket through migrate's own reader.

Orbax reads `gs://` only with further packages and `s3://` not at all. Chunks are decoded by TensorStore on both ways.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any

import numpy as np

from migrate.engine.streaming.array_bytes import stored_form
from migrate.engine.verification.compare import Unrestorable
from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.formats.item_kinds import BARE
from migrate.places.bucket_path import BucketPath


class ReadBackFromBucket:
    """One pytree item; a context manager, with the interface of `orbax_restore.ReadBack`."""

    def __init__(self, directory: BucketPath) -> None:
        """Opens the item.

        Raises:
          CheckpointError: it cannot be read.
        """
        self._reader = open_reader(directory, unbox="never")
        leaves = self._reader.abstract().tree.leaves
        self._paths = {".".join(path) or BARE: path for path, leaf in leaves.items() if leaf.has_data}
        self.names: frozenset[str] = frozenset(self._paths)
        """The stored names of all leaves with data."""

    def __enter__(self) -> ReadBackFromBucket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    def restore(self, names: Collection[str]) -> Mapping[str, Any]:
        """Returns the values of leaves by stored name: NumPy arrays (typed keys as their words), and strings.

        A leaf that cannot be read is an `Unrestorable` with the reason.
        """
        return {name: self._read(name) for name in names}

    def _read(self, name: str) -> Any:
        try:
            value = self._reader.read(self._paths[name])
        except CheckpointError as error:
            return Unrestorable(error.diagnostics[0].message)
        return value if isinstance(value, str) else stored_form(np.asarray(value))
