"""What an op is: a value that says what it does to shapes, does it to NumPy arrays, and knows its way back.

Every op is a final, frozen dataclass in a file of its own. Four laws hold for each, and one property test runs them
over the whole registry (`migrate.testing.ops`):

    avals(apply(xs)) == infer(avals(xs))
    inverse.infer(infer(a)) == a
    exact  ⇒  inverse.apply(apply(xs)) == xs, bit for bit
    keeps_axes  ⇒  apply(x) is x with its axes in some order, but for axes of size one and the dtype

(A NaN that crosses dtypes comes back as a NaN; its payload bits are no value.)

Ops see arrays, never key paths; which arrays they see is the planner's business. Renaming is not an op.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from migrate.ops.chunk_grid import ChunkGrid
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

Role = Literal["map", "reduce", "extend"]
"""`map` takes one array to one; `reduce` takes a list to one; `extend` takes one to a list."""

ParamType = Literal["int", "ints", "str", "bool", "number", "dtype", "shape", "pairs", "sizes"]
"""What a rule file may write for a field. `shape` is a list of integers, one of which may be -1, or `template`;
`dtype` is a dtype name or `template`; `pairs` is a list of pairs of integers; `sizes` is a mapping of names to
integers. Fields hold lists as tuples, pairs as tuples of two, and a mapping as a tuple of (name, size)."""

TEMPLATE: Literal["template"] = "template"
"""What a rule writes where the template's own shape or dtype is meant."""


class OpError(ValueError):
    """An op does not fit its input or its fields; the message is a sentence that names both."""


@final
@dataclass(frozen=True, slots=True)
class NotInvertible:
    """Why an op has no inverse, in a sentence."""

    reason: str


@final
@dataclass(frozen=True, slots=True)
class Param:
    """One field of an op as a rule file writes it."""

    name: str
    type: ParamType
    doc: str
    required: bool = True


class Op(abc.ABC):
    """An array transformation.

    Attributes:
      name: how a rule file names it.
      role: `map`, `reduce` or `extend`.
      params: its fields, in order; each is also a dataclass field.
      shorthand: the field that may be written alone (`reshape: [2, 3]` for `reshape: {shape: [2, 3]}`).
      structural: whether it only moves elements, so that it commutes with every elementwise optimizer's moments.
      runs_code: whether it calls code that the rule file names.
    """

    name: ClassVar[str]
    role: ClassVar[Role] = "map"
    params: ClassVar[tuple[Param, ...]] = ()
    shorthand: ClassVar[str | None] = None
    structural: ClassVar[bool] = True
    runs_code: ClassVar[bool] = False

    @property
    def exact(self) -> bool:
        """Whether the inverse gives back every bit."""
        return True

    def bind(self, inputs: Sequence[AbstractArray], target: AbstractArray | None, count: int | None) -> Op:
        """The op with everything filled in that only the planner knows.

        Args:
          inputs: what it will be applied to.
          target: the template's leaf that the result goes to, where there is one.
          count: for `extend`, how many results the rule expects; None when the rule leaves it to the array.

        Raises:
          OpError: `template` stands where there is no template, or the count does not fit.
        """
        del inputs, target, count
        return self

    def keeps_axes(self, *inputs: AbstractArray) -> bool:
        """Whether every axis longer than one of the only input is an axis of the only result, whole and in its own
        direction, and nothing else is; so that the shape of the result says which axis became which. False for most
        ops: they merge, cut, turn or invent elements, and another op of that kind would give the same shape.
        """
        del inputs
        return False

    @abc.abstractmethod
    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        """The shapes and dtypes of the results.

        Raises:
          OpError: the op does not fit these inputs.
        """

    @abc.abstractmethod
    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        """The results; views where nothing has to move. Never casts, never calls JAX.

        Raises:
          OpError: a value does not allow it (only `cast`, `scale`, `pad` and `call`).
        """

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        """The results as chunks of the inputs; None when a chunk's bytes would have to change, as for most ops."""
        del inputs
        return None

    @abc.abstractmethod
    def inverse(self, *inputs: AbstractArray) -> Op | NotInvertible:
        """The op that goes back from the results to inputs of these shapes, or why there is none."""


def wide(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without its axes of size one, which can be anywhere without anything being elsewhere."""
    return tuple(size for size in shape if size != 1)


def normalize_axis(axis: int, ndim: int) -> int:
    """`axis` counted from the front.

    Raises:
      OpError: there is no such axis.
    """
    if not -ndim <= axis < ndim:
        raise OpError(f"axis {axis} is out of range for {ndim} dimensions")
    return axis % ndim


def avals(*arrays: np.ndarray[Any, Any]) -> tuple[AbstractArray, ...]:
    """The abstract arrays of NumPy arrays.

    Raises:
      KeyError: a dtype that no leaf can have.
    """
    from migrate import dtypes

    return tuple(AbstractArray(tuple(a.shape), dtypes.from_numpy(a.dtype)) for a in arrays)
