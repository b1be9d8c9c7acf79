"""Adafactor's second moments: means over the two longest axes of a param, or the whole moment of a short param.

For a factored param, `v_row` lacks the longest axis, `v_col` the second longest, and `v` is a placeholder; for other
params, `v` is the moment and `v_row` and `v_col` are placeholders. A transpose permutes the remaining axes; where both
axes have the same length, it may also exchange rows and columns. No other op of the param has an exact equivalent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrate.ops.base import OpError
from migrate.ops.transpose import Transpose
from migrate.planning.model import Step, Task
from migrate.tree import AbstractArray

PLACEHOLDER = (1,)
"""The shape of an unused field; its only element is zero."""

_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)
"""Distinct sizes that identify axes."""


@dataclass(frozen=True, slots=True)
class Factors:
    """The targets of rows and columns.

    Attributes:
      swapped: whether `v_row` becomes `v_col` and vice versa.
      rows, columns: the new order of the remaining axes.
    """

    swapped: bool
    rows: tuple[int, ...]
    columns: tuple[int, ...]


def is_factored(param: AbstractArray, row: AbstractArray, column: AbstractArray) -> bool:
    """Whether these arrays are the means of this param."""
    if len(param.shape) < 2:
        return False
    second, longest = longest_axes(param.shape)
    return (row.shape, column.shape) == (_without(param.shape, longest), _without(param.shape, second))


def longest_axes(shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns the second longest and the longest axis; of two equal axes the later counts as longer, as in optax."""
    ordered = sorted(range(len(shape)), key=lambda axis: shape[axis])
    return ordered[-2], ordered[-1]


def factors(param: AbstractArray, steps: Sequence[Step]) -> Factors | None:
    """Returns the effect of a param's ops on its means; None where they have no exact equivalent."""
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
    """Returns the task that reorders the axes of one array."""
    if order == tuple(range(len(order))):
        return Task((source,), (target,), (0,), (), (aval,), (aval,))
    op = Transpose(order)
    return Task((source,), (target,), (0,), (Step(op, ((0,),)),), (aval,), op.infer(aval))


def _permutation(param: AbstractArray, steps: Sequence[Step]) -> tuple[int, ...] | None:
    """Returns the old axis for each new one, if the ops only reorder the axes of the param.

    An array whose sizes all differ shows the order. The param itself goes through the ops as well: ops that keep the
    axes of one shape (`reshape: [2, -1]`, `(a b) c -> (b a) c`) may divide or mix those of another.
    """
    ndim = len(param.shape)
    if ndim > len(_PRIMES):
        return None
    marked, made = AbstractArray(_PRIMES[:ndim], "bool"), param
    for step in steps:
        try:
            if step.bound or not (step.op.only_permutes and step.op.keeps_axes(marked) and step.op.keeps_axes(made)):
                return None
            (marked,), (made,) = step.op.infer(marked), step.op.infer(made)
        except OpError:
            return None
    if sorted(marked.shape) != list(_PRIMES[:ndim]):
        return None
    order = tuple(_PRIMES.index(size) for size in marked.shape)
    return order if made.shape == tuple(param.shape[axis] for axis in order) else None


def _induced(order: tuple[int, ...], lacking: int, new_lacking: int) -> tuple[int, ...]:
    """Returns the axis order of an array that lacks one old axis, when the reordered array lacks one new axis."""
    old = [axis for axis in range(len(order)) if axis != lacking]
    return tuple(old.index(axis) for position, axis in enumerate(order) if position != new_lacking)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]
