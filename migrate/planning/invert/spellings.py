"""One op with the intended effect on several arrays.

`Op.inverse` returns the axes, shapes and sizes of particular arrays. A rule has one op for all of its arrays, so the
inverse often needs another spelling: an axis counted from the end, or a size left open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from migrate.ops.axis_pattern import Group, parse
from migrate.ops.base import Op, OpError
from migrate.ops.concat import Split
from migrate.ops.rearrange import Rearrange
from migrate.ops.reshape import Reshape
from migrate.planning.invert.expressions import Avals, identity

_MOST = 32


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
    return next((op for op in _spellings(first) if all(_fits(op, use) for use in uses)), None)


def _fits(op: Op, use: OpUse) -> bool:
    """Whether an op has the intended effect."""
    try:
        return identity(op.bind(use.inputs, None, use.count), use.inputs) == identity(use.op, use.inputs)
    except OpError:
        return False


def _spellings(use: OpUse) -> Iterator[Op]:
    """Yields candidates for an op, the plainest first; each needs a check."""
    op = use.op
    if isinstance(op, Rearrange):
        yield from _rearranged(use, op)
    elif isinstance(op, Reshape):
        yield op
        yield from _with_open_size(op)
    elif isinstance(op, Split):
        for one in (replace(op, sizes=None), op):
            yield from _by_axis(one, use.inputs)
    else:
        yield from _by_axis(op, use.inputs)


def _by_axis(op: Op, inputs: Avals) -> Iterator[Op]:
    yield op
    axis = getattr(op, "axis", None)
    if isinstance(axis, int):
        rank = len(inputs[0].shape)
        yield _with_axis(op, axis - rank)
        yield _with_axis(op, axis - rank - 1)


def _with_axis(op: Op, axis: int) -> Op:
    return replace(op, axis=axis)  # type: ignore[type-var]  # every op is a dataclass


def _with_open_size(op: Reshape) -> Iterator[Op]:
    if isinstance(op.shape, tuple):
        for at in range(len(op.shape)):
            yield Reshape((*op.shape[:at], -1, *op.shape[at + 1 :]))


def _rearranged(use: OpUse, op: Rearrange) -> Iterator[Op]:
    lengths = dict(op.sizes)
    for pattern in dict.fromkeys((*_turned(use.undoes), op.pattern)):
        try:
            groups = [group for group in parse(pattern).left if group is not None and len(group) > 1]
        except OpError:  # `...` in parentheses cannot stand on the left
            continue
        for sizes in _sizes(groups, lengths):
            yield Rearrange(pattern, sizes)


def _turned(op: Op) -> tuple[str, ...]:
    """Returns the original pattern with its sides exchanged."""
    if not isinstance(op, Rearrange):
        return ()
    left, _, right = op.pattern.partition("->")
    return (f"{right.strip()} -> {left.strip()}",)


def _sizes(groups: Sequence[Group], lengths: dict[str, int]) -> Iterator[tuple[tuple[str, int], ...]]:
    """Yields the sizes for split axes: all names of a group but one, which follows from the array; then all names."""
    choices = list(product(*groups))[:_MOST] if groups else [()]
    names = [name for group in groups for name in group]
    if any(name not in lengths for name in names):
        return
    for open_names in choices:
        yield tuple((name, lengths[name]) for name in names if name not in open_names)
    yield tuple((name, lengths[name]) for name in names)
