"""Proves that what was written is what was meant: DST through plain Orbax against the rules applied to SRC again, bit
for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from migrate.codes import M505
from migrate.engine.layout import ItemPlan, item_of, item_plans
from migrate.engine.readback import ReadBack
from migrate.engine.staging import digest, stored_form, stored_name
from migrate.engine.work import batches
from migrate.errors import Diagnostic, VerifyError
from migrate.events import LeafDone, Listener, ignore
from migrate.formats.base import Reader, Value
from migrate.formats.detect import open_reader
from migrate.planning.model import Plan
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path

BATCH_BYTES = 32 << 20
"""Leaves are restored together up to this size: each restore costs a walk over Orbax's whole tree."""

SHOWN = 20
"""Differences that are described one by one; the rest are counted."""

Restored = Mapping[KeyPath, Any]


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
    _refuse(_structure_problems(plan, destination))
    problems: list[Diagnostic] = []
    compared = 0
    with ExitStack() as stack:
        items = item_plans(plan)
        backs = {item.name: stack.enter_context(ReadBack(item.directory(destination))) for item in items}
        for meant in batches(plan, reader, BATCH_BYTES):
            problems += _differences(plan, meant, _restore(meant, items, backs))
            compared += len(meant)
            _report(meant, plan, listener)
    _refuse(problems)
    return compared


def verify_digests(
    plan: Plan, destination: Path, digests: Mapping[KeyPath, str], *, listener: Listener = ignore
) -> int:
    """Reads every array of DST and compares it with the digest that was computed when it was written.

    Returns:
      The number of arrays that were compared.

    Raises:
      VerifyError: arrays differ, or leaves are missing or were never meant (M505).
    """
    _refuse(_structure_problems(plan, destination))
    problems: list[Diagnostic] = []
    with open_reader(destination, unbox="never") as reader:
        for path, expected in digests.items():
            if digest(reader.read(_stored(path, plan.target.leaves[path]))) != expected:
                problems.append(_differs(path, "its digest is not that of what was written"))
            _report([path], plan, listener)
    _refuse(problems)
    return len(digests)


def _refuse(problems: Iterable[Diagnostic]) -> None:
    found = list(problems)
    if found:
        more = [M505.at(f"{len(found) - SHOWN} more leaves differ")] if len(found) > SHOWN else []
        raise VerifyError(*found[:SHOWN], *more)


def _report(paths: Iterable[KeyPath], plan: Plan, listener: Listener) -> None:
    for path in paths:
        listener(LeafDone("verify", path, plan.target.leaves[path].nbytes))


def _structure_problems(plan: Plan, destination: Path) -> Iterator[Diagnostic]:
    """Key paths, kinds, shapes and dtypes of DST against the plan's target."""
    with open_reader(destination, unbox="never") as reader:
        found = reader.abstract()
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
