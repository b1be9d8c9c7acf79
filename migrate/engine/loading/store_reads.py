"""Reads of windows of an array of TensorStore into aligned buffers; they run on the threads of TensorStore."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import tensorstore as ts

from migrate.engine.loading.host_buffers import aligned
from migrate.formats.base import Value
from migrate.ops.windows import Window, extent
from migrate.tree import KeyPath


@dataclass(frozen=True)
class HostValue:
    """A value on the host.

    Attributes:
      path: the leaf.
      window: the window of its array that `value` is, in an aligned buffer; None for a whole value.
      value: the value.
    """

    path: KeyPath
    window: Window | None
    value: Value


class StoreReads:
    """Reads that begin together, so that a chunk which several windows need is decoded once."""

    def __init__(
        self,
        path: KeyPath,
        opened: Callable[[], Any],
        windows: Sequence[Window],
        explain: Callable[[Exception], NoReturn],
    ) -> None:
        """Begins the reads.

        Args:
          path: the leaf.
          opened: returns the array.
          windows: the windows.
          explain: raises the error about the source that made a read fail.

        Raises:
          CheckpointError: the array cannot be opened.
        """
        self._path, self._explain = path, explain
        try:
            array = opened()
        except (ValueError, OSError) as error:
            explain(error)
        # A read that ended before the next one began would leave nothing of its chunk, as there is no cache of chunks.
        with ts.Batch() as batch:
            self._begun = [(window, *_begin(array, window, batch)) for window in windows]

    def done(self) -> bool:
        """Whether every read has ended."""
        return all(future.done() for _, _, future in self._begun)

    def result(self) -> list[HostValue]:
        """Returns the windows.

        Raises:
          CheckpointError: a chunk is missing or damaged.
        """
        for _, _, future in self._begun:
            try:
                future.result()
            except (ValueError, OSError) as error:
                self._explain(error)
        return [HostValue(self._path, window, buffer) for window, buffer, _ in self._begun]


def _begin(array: Any, window: Window, batch: ts.Batch) -> tuple[Any, Any]:
    """Returns a buffer, and the future of the read that fills it."""
    buffer = aligned(extent(window), array.dtype.numpy_dtype)
    box = tuple(slice(start, stop) for start, stop in window)
    part = array[box][ts.d[:].translate_to[0]] if box else array
    return buffer, ts.array(buffer).write(part, batch=batch)
