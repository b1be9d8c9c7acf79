"""The interface of a staging store, as the pipeline uses it: a database of chunks or a single file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    from migrate.engine.staged_array import StagedArray
    from migrate.formats.digest_record import Blocks
    from migrate.tree import AbstractLeaf, KeyPath

    Array = np.ndarray[Any, Any]

CODECS = ("zstd", "gzip", "none")
"""The codecs that a store accepts; blosc has more settings than a name and a level."""

Done = Callable[["StagedArray"], None]
"""A callback for an array that is durable."""


class Tiles(Protocol):
    """One array that is written tile by tile, in C order."""

    def write(self, start: Sequence[int], tile: Array) -> None:
        """Writes a tile, which must stay unchanged until `finish`."""

    def finish(self, value_digest: str, blocks: Blocks | None = None) -> StagedArray:
        """Returns when every tile is durable."""


class Store(Protocol):
    """Takes arrays from several threads; a context manager that makes all of them durable on exit."""

    directory: Path

    def __enter__(self) -> Store: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, path: KeyPath, leaf: AbstractLeaf, array: Array, *, codec: str | None, done: Done) -> StagedArray:
        """Writes one array; it is durable when `done` is called, at the latest when `flush` has returned."""

    def flush(self) -> None:
        """Makes everything durable that was written so far."""

    def tiled(self, path: KeyPath, leaf: AbstractLeaf, tile: Sequence[int], codec: str | None, done: Done) -> Tiles:
        """Begins an array that is written tile by tile."""
