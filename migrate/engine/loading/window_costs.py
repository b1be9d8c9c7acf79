"""The bytes that windows of arrays take on the host, and those that are decoded for them; a chunk is decoded whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from migrate import dtypes
from migrate.engine.streaming.array_graph import ArrayNode, windows_read
from migrate.engine.streaming.array_sources import ArraySource
from migrate.ops.windows import Window, extent, whole


def elements(window: Window) -> int:
    """Returns the number of elements of a window."""
    return math.prod(extent(window))


def chunk_elements(window: Window, chunks: Sequence[int]) -> int:
    """Returns the number of elements of the chunks that a window touches."""
    pairs = zip(window, chunks, strict=True)
    return math.prod((-(-stop // size) - start // size) * size for (start, stop), size in pairs)


def held_bytes(node: ArrayNode, window: Window) -> int:
    """Returns the bytes of a computed window and of all windows that it is computed from."""
    return sum(elements(part) * dtypes.item_bytes(below.aval.dtype) for below, part in windows_read(node, window))


def decoded_bytes(node: ArrayNode, windows: Iterable[Window]) -> int:
    """Returns the bytes of the chunks that are decoded if each window is computed alone."""
    return sum(
        chunk_elements(part, source.chunks) * dtypes.item_bytes(source.aval.dtype)
        for window in windows
        for source, part in windows_read(node, window)
        if isinstance(source, ArraySource)
    )


def decoded_whole(nodes: Iterable[ArrayNode]) -> int:
    """Returns the bytes of the chunks of all sources of some arrays, each counted once."""
    sources = {
        source
        for node in nodes
        for source, _ in windows_read(node, whole(node.aval.shape))
        if isinstance(source, ArraySource)
    }
    return sum(
        chunk_elements(whole(source.aval.shape), source.chunks) * dtypes.item_bytes(source.aval.dtype)
        for source in sources
    )
