"""Two outputs that should be one: how far they are apart, and how to say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from migrate import dtypes
from migrate.dtypes import kind
from migrate.ops.base import avals

Array = np.ndarray[Any, Any]


class PairError(ValueError):
    """What was given is no pair of arrays; the message says why."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An output of the old model and the same of the new one.

    Attributes:
      place: how messages call it, such as "layer `blocks.3`" or "pair 2".
      name: the name that the user gave it, or "".
      old, new: the arrays; the words of typed keys.
    """

    place: str
    name: str
    old: Array
    new: Array

    @classmethod
    def read(cls, given: Any, number: int) -> Pair:
        """A pair from what a probe yields: `(old, new)` or `(name, old, new)`.

        Raises:
          PairError: it is something else, or an array is empty, so that nothing can be compared.
        """
        if not isinstance(given, tuple | list) or len(given) not in (2, 3):
            raise PairError(f"pair {number} is {_what(given)}, not `(old, new)` or `(name, old, new)`")
        name = given[0] if len(given) == 3 else ""
        if not isinstance(name, str):
            raise PairError(f"pair {number} has three members, and the first is {_what(name)}, not a name")
        place = f"layer `{name}`" if name else f"pair {number}"
        old, new = (
            _array(value, f"the {side} output of {place}") for side, value in zip(_SIDES, given[-2:], strict=True)
        )
        if not old.size and not new.size:
            raise PairError(f"{place} compares nothing: both outputs are empty")
        return cls(place, name, old, new)

    def misfit(self) -> str | None:
        """Why these can be no outputs of one model, whatever their values; None when they can."""
        (old,), (new,) = avals(self.old), avals(self.new)
        if old.shape == new.shape and _family(old.dtype) == _family(new.dtype):
            return None
        return f"{self.place}: the old output is {old}, the new one {new}"

    def distance(self) -> float:
        """The largest |old − new|; NaN and infinities are at one with themselves and infinitely far from all else."""
        old, new = _widened(self.old), _widened(self.new)
        floats = _family(dtypes.from_numpy(self.old.dtype)) in ("float", "complex")
        differs = (old != new) & ~(_is_nan(old) & _is_nan(new)) if floats else self.old != self.new
        if not differs.any():
            return 0.0
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(old[differs] - new[differs])
        largest = float(np.where(np.isnan(apart), np.inf, apart).max())
        return largest if floats else max(largest, 1.0)  # integers that differ differ by one, even where both round

    def count_nan(self) -> int:
        """How many elements are NaN on one side alone."""
        return int((_is_nan(_widened(self.old)) != _is_nan(_widened(self.new))).sum())


_SIDES = ("old", "new")


def _array(value: Any, place: str) -> Array:
    if isinstance(value, tuple | list | dict | str) or value is None:
        raise PairError(f"{place} is {_what(value)}, not an array")
    try:
        array = np.asarray(_words(value))
        avals(array)
    except (KeyError, TypeError, ValueError):
        raise PairError(f"{place} is {_what(value)}, not an array of numbers") from None
    return array


def _words(value: Any) -> Any:
    """Typed keys as their words, which NumPy can hold."""
    if type(value).__module__.partition(".")[0] not in ("jax", "jaxlib"):
        return value
    import jax

    return jax.random.key_data(value) if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key) else value


def _what(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 40 else 'a value'} of type `{type(value).__name__}`"


def _family(dtype: str) -> str:
    """Dtypes whose values can be compared with a tolerance: precision is no difference, and neither is a sign bit."""
    return {"uint": "int"}.get(kind(dtype), kind(dtype))


def _widened(array: Array) -> Array:
    """Wide enough that a difference is what it says; everything but floats and complex numbers becomes `longdouble`."""
    family = _family(dtypes.from_numpy(array.dtype))
    wide: dict[str, Any] = {"float": np.float64, "complex": np.complex128}
    return array.astype(wide.get(family, np.longdouble))


def _is_nan(array: Array) -> Array:
    found: Array = np.isnan(array)
    return found
