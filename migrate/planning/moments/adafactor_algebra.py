"""Adafactor's second moments: means over the two longest axes of a param, or the whole moment of a short one.

Of a factored param `v_row` lacks the longest axis and `v_col` the second longest, and `v` is one placeholder; of
others it is the other way round. A transpose permutes what is left of the axes; where both axes have one length, rows
and columns also change places. No other op of the param can be said in means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrate.ops.base import OpError
from migrate.ops.transpose import Transpose
from migrate.planning.model import Step, Task
from migrate.tree import AbstractArray

PLACEHOLDER = (1,)
"""The shape of a field that is not in use; its only element is zero."""

_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)
"""Sizes by which axes are told apart."""


@dataclass(frozen=True, slots=True)
class Factors:
    """Where rows and columns go.

    Attributes:
      swapped: whether `v_row` becomes `v_col` and the other way round.
      rows, columns: the order of the axes that are left.
    """

    swapped: bool
    rows: tuple[int, ...]
    columns: tuple[int, ...]


def is_factored(param: AbstractArray, row: AbstractArray, column: AbstractArray) -> bool:
    """Whether these are the means of this param."""
    if len(param.shape) < 2:
        return False
    second, longest = longest_axes(param.shape)
    return (row.shape, column.shape) == (_without(param.shape, longest), _without(param.shape, second))


def longest_axes(shape: tuple[int, ...]) -> tuple[int, int]:
    """The second longest axis and the longest, the later one of two that are as long: as optax sorts them."""
    ordered = sorted(range(len(shape)), key=lambda axis: shape[axis])
    return ordered[-2], ordered[-1]


def factors(param: AbstractArray, steps: Sequence[Step]) -> Factors | None:
    """What the ops of a param mean for its means; None where they have no exact meaning."""
    order = _permutation(param, steps)
    if order is None:
        return None
    second, longest = longest_axes(param.shape)
    new_second, new_longest = longest_axes(tuple(param.shape[axis] for axis in order))
    lacking = order[new_second], order[new_longest]
    if lacking not in ((second, longest), (longest, second)):
        return None
    swapped = lacking == (longest, second)
    left, right = (new_second, new_longest) if swapped else (new_longest, new_second)
    return Factors(swapped, _induced(order, longest, left), _induced(order, second, right))


def transposed(source: tuple[str, ...], target: tuple[str, ...], aval: AbstractArray, order: tuple[int, ...]) -> Task:
    """The task that gives one array another order of axes."""
    if order == tuple(range(len(order))):
        return Task((source,), (target,), (0,), (), (aval,), (aval,))
    op = Transpose(order)
    return Task((source,), (target,), (0,), (Step(op, ((0,),)),), (aval,), op.infer(aval))


def _permutation(param: AbstractArray, steps: Sequence[Step]) -> tuple[int, ...] | None:
    """For each new axis the old one, if all that the ops do to the param is to reorder its axes.

    An array whose sizes are all different shows the order. The param itself goes through the ops too: what keeps axes
    of one shape (`reshape: [2, -1]`, `(a b) c -> (b a) c`) may divide or mix those of another.
    """
    ndim = len(param.shape)
    if ndim > len(_PRIMES):
        return None
    marked, made = AbstractArray(_PRIMES[:ndim], "bool"), param
    for step in steps:
        try:
            if not (step.op.only_permutes and step.op.keeps_axes(marked) and step.op.keeps_axes(made)):
                return None
            (marked,), (made,) = step.op.infer(marked), step.op.infer(made)
        except OpError:
            return None
    if sorted(marked.shape) != list(_PRIMES[:ndim]):
        return None
    order = tuple(_PRIMES.index(size) for size in marked.shape)
    return order if made.shape == tuple(param.shape[axis] for axis in order) else None


def _induced(order: tuple[int, ...], lacking: int, new_lacking: int) -> tuple[int, ...]:
    """The order of an array's axes that lacks an old axis, when in the new order it lacks a new one."""
    old = [axis for axis in range(len(order)) if axis != lacking]
    return tuple(old.index(axis) for position, axis in enumerate(order) if position != new_lacking)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]
