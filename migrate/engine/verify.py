"""Proves that what was written is what was meant: DST through plain Orbax against the rules applied to SRC again, bit
for bit.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from migrate import dtypes
from migrate.codes import M505
from migrate.engine.layout import ItemPlan, item_of, item_plans
from migrate.engine.readback import ReadBack, Unrestorable
from migrate.engine.slabs import stored_digests
from migrate.engine.staging import stored_form, stored_name
from migrate.engine.work import batches
from migrate.errors import Diagnostic, VerifyError
from migrate.events import LeafDone, Listener, ignore
from migrate.formats.base import AbstractCheckpoint, Reader, Value
from migrate.formats.detect import open_reader
from migrate.formats.item import Location
from migrate.planning.model import Plan
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path

BATCH_BYTES = (32 << 20, 128 << 20)
"""Leaves are restored together up to a size between these: each restore costs a walk over Orbax's whole tree, and a few
batches are in memory at once.
"""

BATCHES = 64
"""How many batches there are, if that is possible: the more leaves there are, the longer each walk takes."""

SHOWN = 20
"""Differences that are described one by one; the rest are counted."""

Restored = Mapping[KeyPath, Any]
T = TypeVar("T")


def verify(plan: Plan, reader: Reader, destination: Path, *, listener: Listener = ignore) -> int:
    """Restores every leaf through plain Orbax and compares it with the rules applied to the source again.

    Args:
      plan: what was meant.
      reader: the source.
      destination: what was written.
      listener: told about every leaf.

    Returns:
      The number of leaves that were compared.

    Raises:
      VerifyError: leaves differ, are missing or were never meant (M505).
    """
    with open_reader(destination, unbox="never") as written:
        _refuse(_structure_problems(plan, written.abstract()))
    problems: list[Diagnostic] = []
    compared = 0
    with ExitStack() as stack:
        items = item_plans(plan)
        backs = {item.name: stack.enter_context(ReadBack(item.directory(destination))) for item in items}
        for meant in stack.enter_context(one_ahead(batches(plan, reader, _batch_bytes(plan)))):
            problems += _differences(plan, meant, _restore(meant, items, backs))
            compared += len(meant)
            _report(meant, plan, listener)
    _refuse(problems)
    return compared


def verify_digests(
    plan: Plan,
    destination: Path,
    digests: Mapping[KeyPath, str],
    *,
    max_ram: int = 2 << 30,
    jobs: int | None = None,
    listener: Listener = ignore,
) -> int:
    """Reads arrays of DST and compares each with the digest that was computed when it was written.

    Args:
      plan: what was meant.
      destination: what was written.
      digests: what is to be read, by target key path.
      max_ram: host bytes that may be in memory at once.
      jobs: how many arrays are read at once; the CPU count by default.
      listener: told about every array, by one thread at a time.

    Returns:
      The number of arrays that were compared.

    Raises:
      VerifyError: arrays differ, or leaves are missing or were never meant (M505).
      CheckpointError: a chunk is missing or damaged.
    """
    locations, largest = _stored_arrays(plan, destination, digests)
    problems: list[Diagnostic] = []
    jobs = jobs or os.cpu_count() or 1
    for path, found in stored_digests(locations, largest_chunk=largest, max_ram=max_ram, jobs=jobs):
        if found != digests[path]:
            problems.append(_differs(path, "its digest is not that of what was written"))
        _report([path], plan, listener)
    _refuse(problems)
    return len(digests)


def _stored_arrays(plan: Plan, destination: Path, paths: Iterable[KeyPath]) -> tuple[Mapping[KeyPath, Location], int]:
    """Where these arrays lie in DST, and the host bytes of the largest part that has to be decoded whole.

    Raises:
      VerifyError: leaves are missing, were never meant, or differ in shape or dtype.
    """
    reader = open_reader(destination, unbox="never")
    with reader:
        _refuse(_structure_problems(plan, reader.abstract()))
        stored = {path: _stored(path, plan.target.leaves[path]) for path in paths}
        places = {path: reader.location(place) for path, place in stored.items()}
        leaves = reader.abstract().tree.leaves
    _refuse(_differs(path, "it is not stored as chunks") for path, place in places.items() if place is None)
    largest = max((_part_bytes(leaves[place]) for place in stored.values()), default=0)
    return {path: place for path, place in places.items() if place}, largest


def _part_bytes(leaf: AbstractLeaf) -> int:
    assert leaf.aval is not None
    part = (leaf.storage and (leaf.storage.inner or leaf.storage.chunks)) or leaf.aval.shape
    return math.prod(part) * dtypes.item_bytes(leaf.aval.dtype)


def _batch_bytes(plan: Plan) -> int:
    least, most = BATCH_BYTES
    return min(max(plan.target.nbytes // BATCHES, least), most)


@contextmanager
def one_ahead(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """The same items, each computed in another thread while the one before it is in use; never more than one."""
    with ThreadPoolExecutor(1, "verify") as pool:

        def each() -> Iterator[T]:
            coming = pool.submit(next, items, None)
            while (item := coming.result()) is not None:
                coming = pool.submit(next, items, None)
                yield item
                del item

        yield each()


def _refuse(problems: Iterable[Diagnostic]) -> None:
    found = list(problems)
    if found:
        more = [M505.at(f"{len(found) - SHOWN} more leaves differ")] if len(found) > SHOWN else []
        raise VerifyError(*found[:SHOWN], *more)


def _report(paths: Iterable[KeyPath], plan: Plan, listener: Listener) -> None:
    for path in paths:
        listener(LeafDone("verify", path, plan.target.leaves[path].nbytes))


def _structure_problems(plan: Plan, found: AbstractCheckpoint) -> Iterator[Diagnostic]:
    """Key paths, kinds, shapes and dtypes of DST against the plan's target."""
    for item in item_plans(plan):
        tree = found.items.get(item.name) if item.name else found.tree
        if tree is None:
            yield M505.at(f"item `{item.name}` is missing", paths=[item.name])
        else:
            yield from _tree_problems(item, tree)


def _tree_problems(item: ItemPlan, found: AbstractTree) -> Iterator[Diagnostic]:
    expected = {_stored(path, leaf): leaf for path, leaf in item.tree.leaves.items()}
    for path, leaf in expected.items():
        if path not in found.leaves:
            yield _differs(item.prefix + path, "it is missing")
        elif str(found.leaves[path]) != str(leaf):
            yield _differs(item.prefix + path, f"it is {found.leaves[path]}, not {leaf}")
    for path in found.leaves:
        if path not in expected:
            yield _differs(item.prefix + path, "it was never meant to be there")


def _stored(path: KeyPath, leaf: AbstractLeaf) -> KeyPath:
    return (*path, leaf.box) if leaf.box else path


def _restore(meant: Iterable[KeyPath], items: tuple[ItemPlan, ...], backs: Mapping[str, ReadBack]) -> Restored:
    """The values of these leaves as plain Orbax gives them; leaves without data are not among them."""
    owner = item_of(items)
    restored: dict[KeyPath, Any] = {}
    for item in items:
        names = {
            stored_name(inner, item.tree.leaves[inner]): path
            for path in meant
            if owner[path] is item and item.tree.leaves[inner := item.inner(path)].has_data
        }
        values = backs[item.name].restore(names.keys() & backs[item.name].names)
        restored.update({names[name]: value for name, value in values.items()})
    return restored


def _differences(plan: Plan, meant: Mapping[KeyPath, Value], restored: Restored) -> Iterator[Diagnostic]:
    for path, value in meant.items():
        if not plan.target.leaves[path].has_data:
            continue
        if path not in restored:
            yield _differs(path, "Orbax does not find it")
        elif isinstance(found := restored[path], Unrestorable):
            yield _differs(path, f"Orbax cannot restore it: {found.reason}")
        elif not _same(value, restored[path]):
            yield _differs(path, _first_difference(value, restored[path]))


def _same(meant: Value, found: Any) -> bool:
    if isinstance(meant, str) or isinstance(found, str):
        return bool(meant == found)
    ours, theirs = stored_form(np.asarray(meant)), np.asarray(found)
    return ours.dtype == theirs.dtype and ours.shape == theirs.shape and np.array_equal(_bits(ours), _bits(theirs))


def _bits(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bytes of an array: equal bits are equal values, whatever NaN thinks of itself."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _first_difference(meant: Value, found: Any) -> str:
    if isinstance(meant, str) or isinstance(found, str):
        return f"Orbax restores {found!r}, not {meant!r}"
    ours, theirs = stored_form(np.asarray(meant)), np.asarray(found)
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"Orbax restores {theirs.dtype}{list(theirs.shape)}, not {ours.dtype}{list(ours.shape)}"
    unequal = (_bits(ours) != _bits(theirs)).reshape(ours.size, -1).any(axis=1)
    first = int(np.argmax(unequal))
    count, wrong, right = int(unequal.sum()), theirs.flat[first], ours.flat[first]
    return f"{count} of {ours.size} values differ, the first at {first}: {wrong}, not {right}"


def _differs(path: KeyPath, how: str) -> Diagnostic:
    return M505.at(f"`{format_path(path)}`: {how}", paths=[format_path(path)])
