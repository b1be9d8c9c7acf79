"""An output of the old model and the same output of the new one: their difference, and its description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from migrate import dtypes
from migrate.engine.options import DEFAULT_TOLERANCE
from migrate.engine.verification.value_change import family, widened
from migrate.ops.base import avals

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Outputs agree if |old − new| ≤ absolute + relative · |old| everywhere, as in `numpy.allclose`."""

    absolute: float = DEFAULT_TOLERANCE
    relative: float = DEFAULT_TOLERANCE

    def __str__(self) -> str:
        return f"{self.absolute:g} + {self.relative:g}·|old|"


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two arrays.

    Attributes:
      absolute: the largest |old − new|.
      relative: the largest |old − new| / |old|, where the old output is not 0.
      beyond: the number of elements that exceed the tolerance.
    """

    absolute: float
    relative: float
    beyond: int

    def __str__(self) -> str:
        return f"max |old − new| = {self.absolute:.3g} (relative {self.relative:.3g})" if self.absolute else "equal"


class PairError(ValueError):
    """The value is not a pair of arrays; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class OutputPair:
    """An output of the old model and the same output of the new one.

    Attributes:
      place: its name in messages, such as "layer `blocks.3`" or "pair 2".
      name: the name that the probe gives it, or "".
      old, new: the arrays; the words of typed keys.
    """

    place: str
    name: str
    old: Array
    new: Array

    @classmethod
    def read(cls, given: Any, number: int) -> OutputPair:
        """Returns the pair that a probe yields as `(old, new)` or `(name, old, new)`.

        Raises:
          PairError: the value has another form, or both arrays are empty, so that nothing can be compared.
        """
        if not isinstance(given, tuple | list) or len(given) not in (2, 3):
            raise PairError(f"pair {number} is {_describe(given)}, not `(old, new)` or `(name, old, new)`")
        name = given[0] if len(given) == 3 else ""
        if not isinstance(name, str):
            raise PairError(f"pair {number} has three members, and the first is {_describe(name)}, not a name")
        place = f"layer `{name}`" if name else f"pair {number}"
        old, new = (
            _array(value, f"the {side} output of {place}") for side, value in zip(_SIDES, given[-2:], strict=True)
        )
        if not old.size and not new.size:
            raise PairError(f"{place} compares nothing: both outputs are empty")
        return cls(place, name, old, new)

    def misfit(self) -> str | None:
        """Returns how shapes or kinds of dtypes differ; None where they match."""
        (old,), (new,) = avals(self.old), avals(self.new)
        if old.shape == new.shape and family(old.dtype) == family(new.dtype):
            return None
        return f"{self.place}: the old output is {old}, the new one {new}"

    def difference(self, tolerance: Tolerance) -> Difference:
        """Returns how far the arrays are apart, and how many elements exceed a tolerance.

        NaN and infinities equal themselves and differ infinitely from all else. The relative tolerance applies to
        floats and complex numbers.
        """
        old, new = widened(self.old), widened(self.new)
        floats = family(dtypes.from_numpy(self.old.dtype)) in ("float", "complex")
        differs = (old != new) & ~(_is_nan(old) & _is_nan(new)) if floats else self.old != self.new
        if not differs.any():
            return Difference(0.0, 0.0, 0)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            apart, base = np.abs(old[differs] - new[differs]), np.abs(old[differs])
            apart = np.where(np.isfinite(base) & np.isfinite(apart), apart, np.inf)
            if not floats:
                apart = np.maximum(apart, 1.0)  # different integers may round to the same float
            relative = np.where(np.isfinite(apart), np.where(base > 0, apart / base, 0.0), np.inf)
            allowed = tolerance.absolute + tolerance.relative * (
                np.where(np.isfinite(base), base, 0.0) if floats else 0
            )
        return Difference(float(apart.max()), float(relative.max()), int((apart > allowed).sum()))

    def count_nan(self) -> int:
        """Returns the number of elements that are NaN on one side only."""
        return int((_is_nan(widened(self.old)) != _is_nan(widened(self.new))).sum())


_SIDES = ("old", "new")


def _array(value: Any, place: str) -> Array:
    if isinstance(value, tuple | list | dict | str) or value is None:
        raise PairError(f"{place} is {_describe(value)}, not an array")
    try:
        array = np.asarray(_words(value))
        avals(array)
    except (KeyError, TypeError, ValueError):
        raise PairError(f"{place} is {_describe(value)}, not an array of numbers") from None
    return array


def _words(value: Any) -> Any:
    """Returns typed keys as their words, which NumPy can hold."""
    if type(value).__module__.partition(".")[0] not in ("jax", "jaxlib"):
        return value
    import jax

    return jax.random.key_data(value) if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key) else value


def _describe(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 40 else 'a value'} of type `{type(value).__name__}`"


def _is_nan(array: Array) -> Array:
    found: Array = np.isnan(array)
    return found
