"""The digests of every leaf of a checkpoint, whatever its format: chunks, ranges of files, or values."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from migrate import dtypes
from migrate.codes import RecordedStructureMismatch
from migrate.engine.streaming.array_bytes import Digest, value_blocks
from migrate.engine.streaming.flat_bytes import flat_slabs
from migrate.engine.verification.digests import part_bytes
from migrate.engine.verification.stored_digests import UndecodableArray, decoded_arrays
from migrate.errors import VerifyError
from migrate.formats.base import Extent, Value
from migrate.formats.digest_record import Blocks
from migrate.formats.reader import Reader
from migrate.formats.zarr.small_arrays import SMALL_BYTES
from migrate.planning.model import Plan
from migrate.tree import AbstractLeaf, KeyPath, format_path

READ_BYTES = 16 << 20
"""Ranges of files are read in parts of this size."""

_MOST_TOGETHER = 64
"""The most small items that one thread takes at once."""

T = TypeVar("T")
R = TypeVar("R")


def leaf_digests(
    reader: Reader, *, max_ram: int, jobs: int, crc: bool = True, paths: Collection[KeyPath] | None = None
) -> Iterator[tuple[KeyPath, Blocks | UndecodableArray]]:
    """Yields the digests of the blocks of leaves, or the reason why one cannot be decoded.

    Args:
      reader: the checkpoint.
      max_ram: host bytes in memory at once; one chunk always is.
      jobs: the most arrays that are read at once.
      crc: whether the digests of arrays are complete, as a record needs them.
      paths: the leaves (default: all).

    Raises:
      VerifyError: a value has another shape or dtype than the metadata records (`RecordedStructureMismatch`).
      CheckpointError: a leaf without chunks cannot be read.
    """
    leaves = reader.abstract().tree.leaves
    leaves = leaves if paths is None else {path: leaves[path] for path in paths}
    numeric = [path for path, leaf in leaves.items() if leaf.is_numeric]
    chunked = {path: place for path in numeric if (place := reader.location(path)) is not None}
    others = [path for path in numeric if path not in chunked]
    ranges = {path: extents for path in others if (extents := reader.extents(path)) is not None}
    largest = max((part_bytes(leaves[path]) for path in chunked), default=0)
    small = {path for path in chunked if leaves[path].nbytes <= SMALL_BYTES}
    decoded = decoded_arrays(chunked, largest_chunk=largest, max_ram=max_ram, jobs=jobs, crc=crc, small=small)
    for path, array in decoded:
        yield path, array if isinstance(array, UndecodableArray) else array.blocks
    workers = max(1, min(jobs, max_ram // (2 * READ_BYTES)))
    sizes = {path: leaves[path].nbytes for path in ranges}
    read = in_parallel(lambda path: extent_digest(ranges[path], crc=crc), ranges, workers, sizes.__getitem__)
    for path, found in read:
        yield path, found.blocks
    for path, leaf in leaves.items():
        if path not in chunked and path not in ranges and leaf.is_readable:
            yield path, _value_blocks(path, leaf, reader.read(path))


def in_parallel(
    work: Callable[[T], R], items: Iterable[T], workers: int, nbytes: Callable[[T], int] = lambda _: READ_BYTES
) -> Iterator[tuple[T, R]]:
    """Yields every item with the result of the work on it, in order; several are in work at once.

    Args:
      work: the work on one item.
      items: the items.
      workers: the number of threads.
      nbytes: the size of an item. A thread takes several small items together: handing over one costs more than reading
        it.
    """

    def of_all(group: Sequence[T]) -> list[R]:
        return [work(item) for item in group]

    with ThreadPoolExecutor(workers, "digest") as pool:
        coming = deque((group, pool.submit(of_all, group)) for group in _groups(items, nbytes))
        try:
            while coming:
                group, found = coming.popleft()
                yield from zip(group, found.result(), strict=True)
        finally:  # a caller that stops early waits for the items in work, not for all of them
            pool.shutdown(cancel_futures=True)


def _groups(items: Iterable[T], nbytes: Callable[[T], int]) -> Iterator[list[T]]:
    """Yields consecutive items, up to `READ_BYTES` together; a larger item is alone."""
    group: list[T] = []
    total = 0
    for item in items:
        size = nbytes(item)
        if group and (total + size > READ_BYTES or len(group) == _MOST_TOGETHER):
            yield group
            group, total = [], 0
        group.append(item)
        total += size
    if group:
        yield group


def extent_digest(extents: Sequence[Extent], *, crc: bool = True, blocks: bool = True) -> Digest:
    """Returns the digests of the bytes in ranges of files.

    Args:
      extents: the ranges.
      crc: whether the digests of blocks are complete, as a record needs them.
      blocks: whether there are digests of blocks, and not only that of the whole.

    Raises:
      CheckpointError: a file ends before its range does.
    """
    found = Digest(crc=crc, blocks=blocks)
    size = sum(extent.nbytes for extent in extents)
    for slab in flat_slabs(extents, np.dtype(np.uint8), size, READ_BYTES):
        found.update(slab)
    return found


def _value_blocks(path: KeyPath, leaf: AbstractLeaf, value: Value) -> Blocks:
    """Returns the digests of a value after a comparison of its shape and dtype with the metadata."""
    if leaf.kind == "array" and leaf.aval is not None:
        array = np.asarray(value)
        if array.shape != leaf.aval.shape or dtypes.from_numpy(array.dtype) != leaf.aval.dtype:
            message = f"`{format_path(path)}` is {leaf}, but its data are {array.dtype}{list(array.shape)}"
            raise VerifyError(RecordedStructureMismatch.at(message, paths=[format_path(path)]))
    return value_blocks(value, leaf)


def add_digests(digests: dict[KeyPath, Blocks] | None, values: Mapping[KeyPath, Value], plan: Plan) -> None:
    """Adds the digests of arrays and numbers that are in memory, if they are wanted."""
    if digests is None:
        return
    for path, value in values.items():
        if plan.target.leaves[path].is_numeric:
            digests[path] = value_blocks(value, plan.target.leaves[path])
