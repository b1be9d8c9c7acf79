"""Fills in what the template determines about an op of a rule: `template`, and sizes that `rearrange` omits."""

from __future__ import annotations

from collections.abc import Sequence

from migrate.ops.base import Op
from migrate.ops.open_shapes import OpenShape
from migrate.rules.model import RuleOp
from migrate.tree import AbstractArray


def bound(op: Op, inputs: Sequence[AbstractArray], target: AbstractArray | None, later: Sequence[RuleOp]) -> Op:
    """Returns an op for its inputs.

    Args:
      op: the op as the rule has it.
      inputs: the arrays that it is applied to.
      target: the template's leaf that the result becomes, if there is one.
      later: the ops of the rule that follow.

    Raises:
      OpError: the op does not fit the inputs or the template's leaf.
    """
    if target is not None and op.omits_sizes:
        op = op.fit(inputs, shape_after(later, target.shape), target)
    return op.bind(inputs, target, None)


def shape_after(later: Sequence[RuleOp], shape: OpenShape) -> OpenShape | None:
    """Returns the shape that an array must have before these ops in order to have `shape` after them."""
    known: OpenShape | None = shape
    for rule_op in reversed(later):
        known = None if known is None else rule_op.op.shape_before(known)
    return known
