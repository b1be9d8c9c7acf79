"""Checks by value what rules assert of the leaves that they drop: that they are zero, or equal to another leaf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from migrate.codes import FailedAssertion
from migrate.engine.linking.open_stores import reading_context
from migrate.engine.options import MINIMUM_RAM
from migrate.engine.streaming.array_graph import ArrayNode, results
from migrate.engine.streaming.array_sources import blocks, open_source
from migrate.errors import Diagnostic, RefusedError
from migrate.formats.reader import Reader
from migrate.planning.model import Dropped, Plan, Step, Task
from migrate.tree import AbstractArray, format_path

Array = np.ndarray[Any, Any]


def check_assertions(plan: Plan, reader: Reader, limit: int = MINIMUM_RAM) -> None:
    """Checks that the leaves that rules drop with `assert:` have the values that it states.

    Args:
      plan: the plan.
      reader: the source.
      limit: host bytes that are read at once; a larger chunk is still decoded whole.

    Raises:
      RefusedError: a leaf has other values (`FailedAssertion`); names all such leaves.
    """
    problems = [failure for drop in plan.dropped if drop.asserts for failure in _failures(drop, plan, reader, limit)]
    if problems:
        raise RefusedError(*problems)


def _failures(drop: Dropped, plan: Plan, reader: Reader, limit: int) -> Iterator[Diagnostic]:
    name = format_path(drop.source)
    if drop.equal is None:
        count = _count_nonzero(drop, reader, limit)
        what, why = "zero", f"{count} of its values are not zero"
    else:
        count = _count_unequal(drop, plan, reader, limit)
        other = format_path(drop.equal)
        what, why = f"{{equal: {other}}}", f"{count} of its values differ from those of `{other}`"
    if count:
        yield FailedAssertion.at(
            f"`{name}` is dropped with `assert: {what}`, but {why}",
            span=drop.rule,
            paths=[name],
            help="give the leaf a place in the target; remove `assert:` only if its loss is intended",
        )


def _count_nonzero(drop: Dropped, reader: Reader, limit: int) -> int:
    """The number of a leaf's values that are not zero; 0 for strings and empty nodes."""
    aval = drop.leaf.aval
    if aval is None or not aval.size:
        return 0
    if drop.leaf.kind == "scalar" or aval.nbytes <= limit:
        return int(np.count_nonzero(np.asarray(reader.read(drop.source))))
    source = open_source(reader, drop.source, aval, reading_context(0))
    return sum(int(np.count_nonzero(source.read(part))) for part in blocks(source, limit))


def _count_unequal(drop: Dropped, plan: Plan, reader: Reader, limit: int) -> int:
    """The number of values, after the ops of the rule, with other bits than those of the other leaf."""
    aval, other = drop.leaf.aval, plan.source.tree.leaves[drop.equal or ()].aval
    assert aval is not None
    assert other is not None
    if not other.size:
        return 0
    scalar = drop.leaf.kind == "scalar" or plan.source.tree.leaves[drop.equal or ()].kind == "scalar"
    if scalar or aval.nbytes + other.nbytes <= limit or not all(op.has_windows for op in drop.ops):
        array = np.asarray(reader.read(drop.source))
        for op in drop.ops:
            (array,) = op.apply(array)
        return _unequal(array, np.asarray(reader.read(drop.equal or ())))
    context = reading_context(limit // 2)
    twin = open_source(reader, drop.equal or (), other, context)
    node: ArrayNode = open_source(reader, drop.source, aval, context)
    task = _task(drop, aval, other)
    for op in drop.ops:
        (node,) = results(task, op, (node,))
    return sum(_unequal(node.read(part), twin.read(part)) for part in blocks(twin, limit // 4))


def _task(drop: Dropped, aval: AbstractArray, other: AbstractArray) -> Task:
    """The ops of a drop as a task, which names the rule and the leaf in errors."""
    steps = tuple(Step(op, ((0,),)) for op in drop.ops)
    return Task((drop.source,), (drop.equal or (),), (0,), steps, (aval,), (other,), rule=drop.rule)


def _unequal(a: Array, b: Array) -> int:
    """The number of elements whose bits differ."""
    if a.size == 0:
        return 0
    left, right = (np.ascontiguousarray(side).reshape(-1).view(np.uint8).reshape(side.size, -1) for side in (a, b))
    return int((left != right).any(axis=1).sum())
