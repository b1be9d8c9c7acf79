"""One op with the intended effect on several arrays.

`Op.inverse` returns the axes, shapes and sizes of particular arrays. A rule has one op for all of its arrays, so the
inverse often needs another spelling (`Op.spellings`): an axis counted from the end, or a size left open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrate.ops.base import Op, OpError
from migrate.planning.invert.expressions import identity
from migrate.planning.stages import Avals


@dataclass(frozen=True, slots=True)
class OpUse:
    """One call of an inverse op.

    Attributes:
      op: the op, as `Op.inverse` returns it.
      inputs: its inputs.
      count: the number of its results where they go to a list of targets.
      undoes: the op that it inverts.
    """

    op: Op
    inputs: Avals
    count: int | None
    undoes: Op


def common(uses: Sequence[OpUse]) -> Op | None:
    """Returns one op with the intended effect in every use, or None."""
    first = uses[0]
    if all(use.inputs == first.inputs and use.op == first.op for use in uses[1:]):
        uses = uses[:1]
    return next(
        (op for op in first.op.spellings(first.inputs, first.undoes) if all(_fits(op, use) for use in uses)), None
    )


def _fits(op: Op, use: OpUse) -> bool:
    """Whether an op has the intended effect."""
    if op.role != use.op.role:
        return False
    try:
        return identity(op.bind(use.inputs, None, use.count), use.inputs) == identity(use.op, use.inputs)
    except OpError:
        return False
