"""Hypothesis strategies of arrays, of every kind of dtype and in any memory order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from migrate import dtypes
from migrate.dtypes import kind

Array = np.ndarray[Any, Any]

DTYPES = (
    "float32",
    "bfloat16",
    "float8_e4m3fn",
    "float16",
    "int4",
    "int64",
    "uint8",
    "bool",
    "complex64",
    "key<fry>",
)
"""The dtypes that the strategies draw: one of each kind that NumPy treats in a way of its own."""

NUMBERS = tuple(name for name in DTYPES if kind(name) != "key")
"""The numeric dtypes among `DTYPES`."""


def shapes(min_dims: int = 0, max_dims: int = 4, max_side: int = 4) -> st.SearchStrategy[tuple[int, ...]]:
    """Small shapes; sides of 0 and 1 are among them."""
    return st.lists(st.integers(0, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


def filled(shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    """An array of random bits (NaNs, infinities and subnormals among them), the same for the same arguments."""
    bits = np.random.default_rng(seed)
    if dtype == "bool":
        return bits.integers(0, 2, shape, np.uint8).view(np.bool_)
    if kind(dtype) in ("int", "uint") and dtypes.item_bytes(dtype) == 1:
        # In a type narrower than a byte not every byte is a value; a conversion yields only those that are.
        return bits.integers(0, 256, shape, np.uint8).astype(dtypes.to_numpy(dtype))
    words = bits.integers(0, 256, math.prod(shape) * dtypes.item_bytes(dtype), np.uint8)
    return words.view(dtypes.to_numpy(dtype)).reshape(shape)


@st.composite
def arrays(
    draw: st.DrawFn,
    shape: st.SearchStrategy[tuple[int, ...]] | None = None,
    dtype: st.SearchStrategy[str] | None = None,
) -> Array:
    """NumPy arrays of random bits, in any memory order.

    Args:
      draw: given by Hypothesis.
      shape: strategy of shapes (default: up to four small dimensions).
      dtype: strategy of dtype names (default: all of `DTYPES`).
    """
    drawn = draw(shapes() if shape is None else shape)
    array = filled(drawn, draw(st.sampled_from(DTYPES) if dtype is None else dtype), draw(st.integers(0, 2**16)))
    return np.asfortranarray(array).reshape(drawn) if draw(st.booleans()) else array


@st.composite
def windows_of(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Windows of an array of this shape, empty ones among them."""
    ends = [sorted((draw(st.integers(0, size)), draw(st.integers(0, size)))) for size in shape]
    return tuple((start, stop) for start, stop in ends)


def zeros_and_ones() -> st.SearchStrategy[Array]:
    """Arrays of zeros and ones, which every numeric dtype has."""
    drawn = st.tuples(arrays(dtype=st.just("bool")), st.sampled_from(NUMBERS))
    return drawn.map(lambda pair: pair[0].astype(dtypes.to_numpy(pair[1])))


def ones() -> st.SearchStrategy[Array]:
    """Numbers so small that no factor takes them out of the range of a dtype."""
    names = st.sampled_from([name for name in NUMBERS if name != "bool"])
    return st.builds(lambda shape, name: np.ones(shape, dtypes.to_numpy(name)), shapes(), names)


def with_axis_of(low: int, high: int) -> st.SearchStrategy[Array]:
    """Arrays with an axis whose size is from `low` to `high`."""
    drawn = st.tuples(shapes(max_dims=3), st.integers(low, high), st.integers(0, 3))
    return arrays(drawn.map(lambda part: (*part[0][: part[2]], part[1], *part[0][part[2] :])))


def key_words() -> st.SearchStrategy[Array]:
    """Arrays of the words of PRNG keys."""
    drawn = st.tuples(shapes(max_dims=3), st.sampled_from(tuple(dtypes.KEY_WORDS.values())))
    return arrays(drawn.map(lambda part: (*part[0], part[1])), st.just("uint32"))


def keys() -> st.SearchStrategy[Array]:
    """Arrays of PRNG keys."""
    return arrays(shapes(max_dims=3), st.sampled_from([f"key<{short}>" for short in dtypes.KEY_WORDS]))
