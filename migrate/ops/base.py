"""The base class of ops: an op infers shapes, works on NumPy arrays and whole or partial results, and has an inverse.

Every op is a final, frozen dataclass in a module of its own, and everything that another part of the package needs to
know about an op is a member of its class. The laws of every op, which `migrate.testing.ops` checks over the registry:

    avals(apply(xs)) == infer(avals(xs))
    inverse.infer(infer(a)) == a
    exact          ⇒  restores(avals(xs))
    restores       ⇒  inverse.apply(apply(xs)) == xs, bit for bit
    infer(preimage(infer(a))) == infer(a), where there is a preimage
    keeps_axes     ⇒  apply(x) is x with its axes in some order, except for axes of size one and the dtype
    combine        ⇒  one result that is not structural, and has_windows
    has_windows    ⇒  a window made by `window` is that window of apply(xs), bit for bit, and needs no empty window
    shape_before(shape of a result) is the shape of every input as far as it is known
    structural     ⇒  apply(xs) has no element that xs lacks
    only_permutes  ⇒  one result, with the elements of the only input in some order
    elementwise    ⇒  apply(x.ravel()) == apply(x).ravel()
    only_casts     ⇒  elementwise

A NaN that is cast and cast back is still a NaN; its payload bits may differ.

Ops see arrays, never key paths; the planner decides which arrays an op gets. Renaming is not an op.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from migrate.codes import OpMismatch
from migrate.errors import Code
from migrate.ops.chunk_grid import ChunkGrid
from migrate.ops.open_shapes import OpenShape
from migrate.ops.windows import Pull, Window, empty, extent
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

Addition = Literal["fresh", "copies"]
"""Elements that an op adds to a tensor, as params: `fresh` ones, whose moments are those of a fresh optimizer, or
`copies` of the tensor's own."""

Role = Literal["map", "reduce", "extend", "combine"]
"""`map` takes one array to one; `reduce` takes a list to one; `extend` takes one to a list; `combine` takes unlike
arrays, each with a meaning of its own, to one."""

ParamType = Literal["int", "ints", "str", "bool", "number", "arithmetic", "dtype", "shape", "pairs", "sizes", "names"]
"""The form of a field in a rule file. `arithmetic` is a number, or text such as `1/sqrt(16)`; `shape` is a list of
integers, one of which may be -1, or `template`; `dtype` is a dtype name or `template`; `pairs` is a list of pairs of
integers; `sizes` is a mapping of names to integers; `names` is a name that `from:` binds, or a list of them. Fields
store lists as tuples, pairs as tuples of two, and a mapping as a tuple of (name, size)."""

TEMPLATE: Literal["template"] = "template"
"""The value of a field in a rule that takes the template's shape or dtype."""


class OpError(ValueError):
    """An op does not fit its input or its fields; the message is a sentence that names both.

    Attributes:
      help: the edit that cures it, where the op's `remedy` is too general.
      code: its diagnostic in a plan.
    """

    def __init__(self, message: str, help: str | None = None, code: type[Code] = OpMismatch) -> None:
        super().__init__(message)
        self.help = help
        self.code = code


@final
@dataclass(frozen=True, slots=True)
class NotInvertible:
    """Why an op has no inverse, in a sentence."""

    reason: str


@final
@dataclass(frozen=True, slots=True)
class Param:
    """One field of an op in a rule file."""

    name: str
    type: ParamType
    doc: str
    required: bool = True


@final
@dataclass(frozen=True, slots=True)
class Input:
    """One of the unlike arrays that an op of the role `combine` takes.

    Attributes:
      name: the name under which `from:` binds it, unless `of:` gives another.
      required: whether a rule must bind it.
    """

    name: str
    doc: str
    required: bool = True


class Op(abc.ABC):
    """An array transformation.

    Attributes:
      name: its name in a rule file.
      role: `map`, `reduce`, `extend` or `combine`.
      inputs: the arrays that an op of the role `combine` takes, in order; empty where it takes any number of two or
        more. The required ones come first.
      params: its fields, in order; each is also a dataclass field.
      shorthand: the field that may be written alone (`reshape: [2, 3]` for `reshape: {shape: [2, 3]}`).
      structural: whether it only moves or drops elements, so that it commutes with the moments of every elementwise
        optimizer.
      adds: the elements that it adds to a tensor while it keeps all others; None for ops that add none, and for those
        that compute new numbers.
      recuts: whether a structural op makes other tensors than before: it joins, divides or crops them.
      elementwise: whether each element of the result is computed from the element in the same place.
      only_casts: whether it changes nothing but the dtype.
      regroups: whether it merges and divides axes, so that a small window of the result may need elements from all
        over the input.
      only_reshapes: whether the elements keep their order, and only the shape changes.
      prominence: which op of a task names the task in a plan: the most prominent, and the first of equals.
    """

    name: ClassVar[str]
    role: ClassVar[Role] = "map"
    inputs: ClassVar[tuple[Input, ...]] = ()
    params: ClassVar[tuple[Param, ...]] = ()
    shorthand: ClassVar[str | None] = None
    structural: ClassVar[bool] = True
    adds: ClassVar[Addition | None] = None
    recuts: ClassVar[bool] = False
    elementwise: ClassVar[bool] = False
    only_casts: ClassVar[bool] = False
    regroups: ClassVar[bool] = False
    only_reshapes: ClassVar[bool] = False
    prominence: ClassVar[int] = 0

    @property
    def code(self) -> str | None:
        """The function that it calls, as `module:function`; None for ops that run no code of the user's."""
        return None

    @property
    def combines(self) -> bool:
        """Whether it takes unlike arrays to one: those that `of` names, or all that `from:` binds."""
        return self.role == "combine"

    @property
    def takes_several(self) -> bool:
        """Whether one call takes several arrays to one."""
        return self.role == "reduce" or self.combines

    @property
    def exact(self) -> bool:
        """Whether the inverse restores every bit."""
        return True

    @property
    def rounds(self) -> bool:
        """Whether the result may be rounded, which a plan reports as lossy; false for ops that check every value."""
        return self.only_casts and not self.exact

    @property
    def only_permutes(self) -> bool:
        """Whether its only result has the elements of its only input in some order, each of them once."""
        return self.structural and not self.recuts

    @property
    def has_windows(self) -> bool:
        """Whether windows of the results can be made from windows of the inputs: the op defines `_window`."""
        return type(self)._window is not Op._window  # noqa: SLF001 - its own class

    @property
    def omits_sizes(self) -> bool:
        """Whether the rule leaves sizes to the template, which `fit` fills in."""
        return False

    def fit(self, inputs: Sequence[AbstractArray], shape: OpenShape | None, target: AbstractArray) -> Op:
        """The op with the sizes that it omits and that the template determines; called before `bind`.

        Args:
          inputs: the arrays that it will be applied to.
          shape: the shape that its result must have, as far as the template and the later ops determine it; None if
            they determine nothing.
          target: the template's leaf that the result goes to, for messages.

        Raises:
          OpError: a size is not determined, or does not fit the array.
        """
        del inputs, shape, target
        return self

    def shape_before(self, shape: OpenShape) -> OpenShape | None:
        """The shape of every input whose result has this shape, as far as it is known; None if nothing is known."""
        return shape if self.elementwise else None

    def unseen_order(self, *inputs: AbstractArray) -> str:
        """The factors of split and merged axes whose order no shape shows, such as `(n h) = 6 × 16`; often empty."""
        del inputs
        return ""

    def bind(self, inputs: Sequence[AbstractArray], target: AbstractArray | None, count: int | None) -> Op:
        """The op with every field filled in that only the planner knows.

        Args:
          inputs: the arrays that it will be applied to.
          target: the template's leaf that the result goes to, if there is one.
          count: for `extend`, the number of results that the rule expects; None when the array decides.

        Raises:
          OpError: `template` is used without a template, or the count does not fit.
        """
        del inputs, target, count
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names in `from:` of the arrays that it combines, in order; empty where the rule leaves them out."""
        return ()

    def called_with(self, names: tuple[str, ...]) -> Op:
        """The op as it is applied to the arrays of these names, in order; most ops need the names no more."""
        del names
        return self

    def for_moments(self, *, templated: bool) -> Op | None:
        """The op as it applies to the moments of a param; None where it does nothing to them.

        Args:
          templated: whether a template specifies the dtypes of the moments; otherwise they keep theirs.
        """
        del templated
        return self

    @property
    def gradient_factor(self) -> float | None:
        """What the gradient of the result is times that of the input, for ops that shift or scale a param."""
        return None

    def for_gradient(self, power: int) -> Op | None:
        """The op that multiplies by `gradient_factor ** power`, for moments; None where the factor is 1."""
        del power
        return None

    def keeps_axes(self, *inputs: AbstractArray) -> bool:
        """Whether the axes longer than one are the same in the only input and the only result, each whole and in its
        own direction, so that the shape of the result tells which axis became which. False for most ops: they merge,
        cut, reverse or add elements, and another op of that kind would give the same shape.
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
        """The results; views where no element has to move. Never casts, never calls JAX.

        Raises:
          OpError: a value does not allow it (only ops that check values, such as `cast`, `scale` and `call`).
        """

    @final
    def window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        """How a window of one result is made from windows of the inputs.

        Args:
          inputs: what the op, which is bound, is applied to.
          output: the position of the result.
          window: of that result; may be empty, and then needs no input.

        Raises:
          TypeError: the op needs whole inputs; see `has_windows`.
        """
        if 0 in extent(window):
            return empty(window, self.infer(*inputs)[output].dtype)
        return self._window(inputs, output, window)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        """`window` for a window that is not empty; the windows that it needs must not be empty either."""
        del inputs, output, window
        raise TypeError(f"`{self.name}` needs whole arrays")

    def _applied_to(self, window: Window) -> Pull:
        """The pull of an op that makes the result's window when it is applied to this window of the input."""
        return Pull(((0, window),), lambda parts: self.apply(*parts)[0])

    def simple_ops(self, *inputs: AbstractArray) -> tuple[Op, ...]:
        """The simpler ops that together do the same to these inputs, in order; for most ops the op itself."""
        del inputs
        return (self,)

    def relink(self, *inputs: ChunkGrid) -> tuple[ChunkGrid, ...] | None:
        """The results as chunks of the inputs; None when the bytes of a chunk would change, as for most ops."""
        del inputs
        return None

    @abc.abstractmethod
    def inverse(self, *inputs: AbstractArray) -> Op | NotInvertible:
        """The op that leads from the results back to inputs of these shapes, or why there is none."""

    def preimage(self, *results: AbstractArray) -> tuple[AbstractArray, ...] | NotInvertible:
        """The arrays of which these are the results, as far as the results and the fields of the op determine them;
        or why they do not. A dtype that the op changes stays that of the results.

        Raises:
          OpError: no arrays have these results.
        """
        shape = self.shape_before(results[0].shape) if self.role == "map" else None
        if shape is None or None in shape:
            return NotInvertible(f"the results of `{self.name}` do not determine the arrays before it")
        return (AbstractArray(tuple(size for size in shape if size is not None), results[0].dtype),)

    def restores(self, *inputs: AbstractArray) -> bool:
        """Whether the inverse, if there is one, restores every bit of inputs of these shapes and dtypes."""
        del inputs
        return self.exact

    def does_nothing(self, *inputs: AbstractArray) -> bool:
        """Whether the only result is the only input, bit for bit."""
        return (self.only_reshapes or self.only_casts) and self.infer(*inputs) == inputs

    def after(self, before: Op, *inputs: AbstractArray) -> Op | None:
        """One op that does to these inputs what `before` and then this op do; None where there is none."""
        del before, inputs
        return None

    def unrestored(self, *inputs: AbstractArray) -> str:
        """Which numbers the inverse does not restore, as a clause computed on the dtype; empty where it is unknown."""
        del inputs
        return ""

    @property
    def loss(self) -> str:
        """Why the inverse may not restore every bit, as a clause."""
        return f"`{self.name}` rounds"

    @property
    def remedy(self) -> str:
        """What to do where a value does not allow the op, for the help of the error."""
        return "add `lossy: true` to the cast if the loss is intended"

    def spellings(self, inputs: Sequence[AbstractArray], inverts: Op) -> Iterator[Op]:
        """Ops that do the same to these inputs and may do it to others too, the plainest first.

        A rule has one op for all of its arrays, while `inverse` returns the axes and sizes of particular ones. The
        candidates include ops that do not fit; the caller checks each.

        Args:
          inputs: the arrays that this op is applied to.
          inverts: the op of which this is the inverse.
        """
        del inverts
        yield self
        axis = getattr(self, "axis", None)
        if isinstance(axis, int):
            rank = len(inputs[0].shape)
            for from_end in (axis - rank, axis - rank - 1):
                yield replace(self, axis=from_end)  # type: ignore[type-var]  # every op is a dataclass


def wide(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without its axes of size one, which can stand anywhere without moving an element."""
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
