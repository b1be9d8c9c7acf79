"""`call`: a Python function of the user, for changes that no other op can make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from migrate import dtypes
from migrate.ops.base import TEMPLATE, NotInvertible, Op, OpError, Param, avals
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@final
@dataclass(frozen=True)
class Call(Op):
    """Passes the array (read-only) to a Python function, which returns the new one.

    With several names in `of`, it passes the arrays that `from:` binds to them as keyword arguments of these names.
    Planning does not run the function. `shape` and `dtype` declare its result (default: those of the template's leaf,
    else those of the input); the declaration is checked when the function runs.
    """

    name: ClassVar[str] = "call"
    params: ClassVar[tuple[Param, ...]] = (
        Param("function", "str", "`module:function`; it gets a NumPy array and returns one"),
        Param("shape", "shape", "the shape that it returns; default: the template's, else the input's", False),
        Param("dtype", "dtype", "the dtype that it returns; default: the template's, else the input's", False),
        Param("of", "names", "the names in `from:` of the arrays that it gets; default: each array alone", False),
    )
    shorthand: ClassVar[str | None] = "function"
    structural: ClassVar[bool] = False

    function: str
    shape: tuple[int, ...] | Literal["template"] | None = None
    dtype: str | None = None
    of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        module, _, name = self.function.partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            raise OpError(f"`{self.function}` is not of the form `module:function`")
        if isinstance(self.shape, tuple) and min(self.shape, default=0) < 0:
            raise OpError(f"{list(self.shape)} cannot be declared: only the function knows the size that -1 stands for")
        if self.dtype not in (None, TEMPLATE) and not dtypes.is_name(str(self.dtype)):
            raise OpError(f"there is no dtype `{self.dtype}`")

    @property
    def code(self) -> str:
        return self.function

    @property
    def names(self) -> tuple[str, ...]:
        return self.of

    @property
    def combines(self) -> bool:
        return len(self.of) > 1

    @property
    def exact(self) -> bool:
        return False

    def called_with(self, names: tuple[str, ...]) -> Call:
        return replace(self, of=names if self.combines else ())

    def bind(self, inputs: Sequence[AbstractArray], target: AbstractArray | None, count: int | None) -> Call:
        del count
        if target is None and TEMPLATE in (self.shape, self.dtype):
            raise OpError(
                "`call` promises the template's shape or dtype, but there is no template leaf that it goes to"
            )
        promised = target or inputs[0]
        return replace(
            self,
            shape=promised.shape if self.shape in (None, TEMPLATE) else self.shape,
            dtype=promised.dtype if self.dtype in (None, TEMPLATE) else self.dtype,
        )

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        array = inputs[0]
        if len(inputs) != max(len(self.of), 1):
            raise OpError(f"`of` names {len(self.of)} arrays, but there are {len(inputs)}")
        if self.shape == TEMPLATE or self.dtype == TEMPLATE:
            raise OpError("the promise is `template` and was not bound to a template leaf")
        return (AbstractArray(array.shape if self.shape is None else self.shape, self.dtype or array.dtype),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        result = self._run(arrays)
        (promised,) = self.infer(*avals(*arrays))
        try:
            (returned,) = avals(result)
        except KeyError as error:
            raise OpError(
                f"`{self.function}` returned {error.args[0]}, a dtype that no leaf can have", f"return {promised}"
            ) from None
        if returned != promised:
            shape, dtype = list(returned.shape), returned.dtype
            of = f", of: [{', '.join(self.of)}]" if self.of else ""
            declared = f'{{call: {{function: "{self.function}", shape: {shape}, dtype: {dtype}{of}}}}}'
            advice = f"return {promised}, or declare what it returns: `{declared}`"
            raise OpError(f"`{self.function}` returned {returned}, but {promised} was promised", advice)
        return (result,)

    def _run(self, arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        import numpy as np

        from migrate.template.user_code import load, running

        function = load(self.function)
        views = [array.view() for array in arrays]
        for view in views:
            view.flags.writeable = False
        with running(self.function):
            if self.of:
                return np.asarray(function(**dict(zip(self.of, views, strict=True))))
            return np.asarray(function(*views))

    def inverse(self, *inputs: AbstractArray) -> NotInvertible:
        del inputs
        return NotInvertible(f"nothing is known about the inverse of `{self.function}`")
