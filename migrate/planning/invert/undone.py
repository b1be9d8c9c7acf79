"""An op backwards, for shapes alone: from its results to the arrays before it (`Op.preimage`).

The old tree of a rule file is derived from the new one by rules whose ops are these. No array goes through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from migrate.ops.base import NotInvertible, Op, OpError
from migrate.tree import AbstractArray


@final
@dataclass(frozen=True)
class Undone(Op):
    """The shapes and dtypes before an op."""

    op: Op
    count: int | None = None

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the op, for messages."""
        return self.op.name

    @property
    def role(self) -> str:  # type: ignore[override]
        """Where the op joins arrays, this one divides them, and the reverse."""
        return {"reduce": "extend", "extend": "reduce"}.get(self.op.role, self.op.role)

    @property
    def structural(self) -> bool:  # type: ignore[override]
        """Whether moments can go through the op."""
        return self.op.structural or self.op.adds is not None

    @property
    def recuts(self) -> bool:  # type: ignore[override]
        """Whether the op makes other tensors."""
        return self.op.recuts or self.op.adds is not None

    @property
    def only_casts(self) -> bool:  # type: ignore[override]
        """Whether the op changes nothing but the dtype."""
        return self.op.only_casts

    def for_moments(self, *, templated: bool) -> Op | None:
        """The op as it applies to the moments of a param, undone."""
        found = self.op.for_moments(templated=templated)
        return Undone(found) if found else None

    def bind(self, inputs: Sequence[AbstractArray], target: AbstractArray | None, count: int | None) -> Op:
        """The op with the number of arrays that the rule expects."""
        del inputs, target
        return replace(self, count=count)

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        """The arrays before the op.

        Raises:
          OpError: the results do not determine them.
        """
        found = self.op.preimage(*inputs)
        if isinstance(found, NotInvertible):
            raise OpError(found.reason)
        if self.count not in (None, len(found)):
            raise OpError(f"{inputs[0]} comes from {len(found)} arrays, but the rule has {self.count}")
        return found

    def apply(self, *arrays: Any) -> tuple[Any, ...]:
        """Refused: it has no values."""
        del arrays
        raise TypeError(f"`{self.name}` is undone for shapes only")

    def inverse(self, *inputs: AbstractArray) -> Op | NotInvertible:
        """None: it has no values."""
        del inputs
        return NotInvertible(f"`{self.name}` is undone for shapes only")
