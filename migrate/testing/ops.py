"""The laws that every op keeps, and Hypothesis strategies that try them: see `migrate.ops.base`.

A new op needs a strategy here, in `_CASES`; the test over the whole registry fails without one.
"""

from __future__ import annotations

import math
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from migrate import dtypes
from migrate.dtypes import kind
from migrate.ops.base import NotInvertible, Op, avals, wide
from migrate.ops.call import Call
from migrate.ops.cast import Cast
from migrate.ops.concat import Concat, Split
from migrate.ops.crop import Crop
from migrate.ops.flip import Flip
from migrate.ops.pad import Pad
from migrate.ops.rearrange import Rearrange
from migrate.ops.reshape import Reshape
from migrate.ops.scale import Scale
from migrate.ops.slice import Slice
from migrate.ops.squeeze import ExpandDims, Squeeze
from migrate.ops.stack import Stack, Unstack
from migrate.ops.tile import Tile
from migrate.ops.transpose import Transpose
from migrate.ops.wrap_key_data import KeyData, WrapKeyData

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Array = np.ndarray[Any, Any]
    Case = tuple[Op, tuple[Array, ...]]

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
"""Those of `DTYPES` that hold numbers."""


def check_op_laws(op: Op, arrays: Sequence[Array]) -> None:
    """Asserts the four laws for one op on arrays that fit it.

    Every bit must come back; only where the dtype changes on the way is one NaN as good as another.

    Raises:
      AssertionError: with the op and the law that it breaks.
    """
    before = avals(*arrays)
    originals = [array.tobytes() for array in arrays]
    results = op.apply(*arrays)
    inferred = op.infer(*before)
    assert avals(*results) == inferred, f"{op} promises {inferred} and makes {avals(*results)}"
    assert originals == [array.tobytes() for array in arrays], f"{op} changes its input"
    _check_axes(op, arrays, results)
    back = op.inverse(*before)
    if isinstance(back, NotInvertible):
        assert not op.exact, f"{op} is exact and has no inverse"
        assert back.reason, f"{op} has no inverse and does not say why"
        return
    assert back.infer(*inferred) == before, f"{op} and its inverse {back} lead to {back.infer(*inferred)}, not {before}"
    if op.exact:
        restored = back.apply(*results)
        same = _same_bits if {a.dtype for a in before} == {a.dtype for a in inferred} else _same_values
        assert all(map(same, arrays, restored)), f"{back} does not bring back what {op} was given"


def _check_axes(op: Op, arrays: Sequence[Array], results: Sequence[Array]) -> None:
    if not op.keeps_axes(*avals(*arrays)):
        return
    before, after = (side[0].reshape(wide(side[0].shape)) for side in (arrays, results))
    same = _same_bits if before.dtype == after.dtype else _same_shape
    orders = permutations(range(before.ndim))
    assert len(arrays) == len(results) == 1, f"{op} keeps the axes of {len(arrays)} arrays in {len(results)}"
    assert any(same(before.transpose(order), after) for order in orders), f"{op} does not keep the axes"


def _same_shape(a: Array, b: Array) -> bool:
    return bool(a.shape == b.shape)


def _same_bits(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()


def _same_values(a: Array, b: Array) -> bool:
    if a.dtype.kind == "c":
        return _same_values(a.real, b.real) and _same_values(a.imag, b.imag)
    if kind(dtypes.from_numpy(a.dtype)) != "float":
        return _same_bits(a, b)
    with np.errstate(invalid="ignore"):
        nan = np.isnan(a)
        return a.shape == b.shape and bool(np.isnan(b[nan]).all()) and _same_bits(a[~nan], b[~nan])


def shapes(min_dims: int = 0, max_dims: int = 4, max_side: int = 4) -> st.SearchStrategy[tuple[int, ...]]:
    """Small shapes; sides of 0 and 1 are among them."""
    return st.lists(st.integers(0, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


def filled(shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    """An array of random bits (NaNs, infinities and subnormals among them), the same for the same arguments."""
    bits = np.random.default_rng(seed)
    if dtype == "bool":
        return bits.integers(0, 2, shape, np.uint8).view(np.bool_)
    if kind(dtype) in ("int", "uint") and dtypes.item_bytes(dtype) == 1:
        # In a type narrower than a byte not every byte means something; a conversion yields only those that do.
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
      shape: strategy of shapes; up to four small dimensions by default.
      dtype: strategy of dtype names; all of `DTYPES` by default.
    """
    drawn = draw(shapes() if shape is None else shape)
    array = filled(drawn, draw(st.sampled_from(DTYPES) if dtype is None else dtype), draw(st.integers(0, 2**16)))
    return np.asfortranarray(array).reshape(drawn) if draw(st.booleans()) else array


def op_cases(name: str) -> st.SearchStrategy[Case]:
    """Pairs of an op of this name and arrays that fit it.

    Raises:
      KeyError: nobody wrote a strategy for this op.
    """
    if name not in _CASES:
        raise KeyError(f"migrate.testing.ops has no strategy for `{name}`")
    return _drawn(_CASES[name])


@st.composite
def _drawn(draw: st.DrawFn, case: Callable[[st.DrawFn], Case]) -> Case:
    return case(draw)


def _some_axis(draw: st.DrawFn, ndim: int) -> int:
    return draw(st.integers(-ndim, ndim - 1))


def _with_axis(draw: st.DrawFn) -> tuple[Array, int]:
    array = draw(arrays(shapes(min_dims=1)))
    return array, _some_axis(draw, array.ndim)


def _ordered(draw: st.DrawFn, size: int) -> tuple[int, int]:
    start, stop = sorted((draw(st.integers(0, size)), draw(st.integers(0, size))))
    return start, stop


def _reshape(draw: st.DrawFn) -> Case:
    array = draw(arrays())
    shape = list(draw(st.permutations(array.shape)))
    if shape and array.size and draw(st.booleans()):
        shape[draw(st.integers(0, len(shape) - 1))] = -1
    return Reshape(tuple(shape)), (array,)


def _transpose(draw: st.DrawFn) -> Case:
    array = draw(arrays())
    perm = tuple(axis - draw(st.sampled_from((0, array.ndim))) for axis in draw(st.permutations(range(array.ndim))))
    return Transpose(draw(st.sampled_from((None, perm)))), (array,)


def _groups(draw: st.DrawFn, names: Sequence[str]) -> str:
    """The names in any order, some of them merged, with axes of size 1 in between."""
    words, rest = [], list(draw(st.permutations(names)))
    while rest:
        count = draw(st.integers(0, len(rest)))
        words.append(f"({' '.join(rest[:count])})" if count != 1 else rest[0])
        rest = rest[count:]
    return " ".join(words)


def _rearrange(draw: st.DrawFn) -> Case:
    names = ("a", "b", "c")[: draw(st.integers(0, 3))]
    sizes = {name: draw(st.integers(0, 4)) for name in names}
    left = [*names, "1"] if draw(st.booleans()) else list(names)
    shape = [*sizes.values(), 1][: len(left)]
    if len(names) > 1 and draw(st.booleans()):
        left[:2] = ["(a b)"]
        shape[:2] = [shape[0] * shape[1]]
    dots = draw(shapes(max_dims=2)) if draw(st.booleans()) else None
    right = _groups(draw, (*names, "...") if dots is not None else names)
    if dots is not None:
        left, shape = [*left, "..."], [*shape, *dots]
    given = tuple(sizes.items()) if "(a b)" in left else ()
    return Rearrange(f"{' '.join(left)} -> {right}", given), (draw(arrays(st.just(tuple(shape)))),)


def _concat(draw: st.DrawFn) -> Case:
    first, axis = _with_axis(draw)
    sides = draw(st.lists(st.integers(0, 3), max_size=3))
    others = []
    for seed, side in enumerate(sides):
        shape = list(first.shape)
        shape[axis] = side
        others.append(filled(tuple(shape), dtypes.from_numpy(first.dtype), seed))
    return Concat(axis), (first, *others)


def _split(draw: st.DrawFn) -> Case:
    array, axis = _with_axis(draw)
    ends = sorted(draw(st.lists(st.integers(0, array.shape[axis]), max_size=3)))
    sizes = [after - before for before, after in zip((0, *ends), (*ends, array.shape[axis]), strict=True)]
    return Split(axis, tuple(sizes)), (array,)


def _stack(draw: st.DrawFn) -> Case:
    first = draw(arrays())
    count = draw(st.integers(0, 3))
    others = [filled(first.shape, dtypes.from_numpy(first.dtype), seed) for seed in range(count)]
    return Stack(_some_axis(draw, first.ndim + 1)), (first, *others)


def _unstack(draw: st.DrawFn) -> Case:
    shape = list(draw(shapes(min_dims=1)))
    axis = _some_axis(draw, len(shape))
    shape[axis] += 1
    return Unstack(axis), (draw(arrays(st.just(tuple(shape)))),)


def _squeeze(draw: st.DrawFn) -> Case:
    shape = list(draw(shapes(min_dims=1)))
    axis = _some_axis(draw, len(shape))
    shape[axis] = 1
    return Squeeze(axis), (draw(arrays(st.just(tuple(shape)))),)


def _expand_dims(draw: st.DrawFn) -> Case:
    array = draw(arrays())
    return ExpandDims(_some_axis(draw, array.ndim + 1)), (array,)


def _flip(draw: st.DrawFn) -> Case:
    array, axis = _with_axis(draw)
    return Flip(axis), (array,)


def _slice(draw: st.DrawFn) -> Case:
    array, axis = _with_axis(draw)
    start, stop = _ordered(draw, array.shape[axis])
    ends = (draw(st.sampled_from((start, None))), draw(st.sampled_from((stop, None))))
    return Slice(axis, *ends, step=draw(st.integers(1, 3))), (array,)


def _crop(draw: st.DrawFn) -> Case:
    array = draw(arrays())
    return Crop(tuple(_ordered(draw, size) for size in array.shape)), (array,)


def _pad(draw: st.DrawFn) -> Case:
    array = draw(arrays(dtype=st.sampled_from(NUMBERS)))
    widths = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in array.shape)
    return Pad(widths, draw(st.sampled_from((0, 1, True, 1.0)))), (array,)


def _tile(draw: st.DrawFn) -> Case:
    array = draw(arrays(shapes(max_dims=3)))
    return Tile(tuple(draw(st.integers(1, 3)) for _ in array.shape)), (array,)


def _scale(draw: st.DrawFn) -> Case:
    dtype = draw(st.sampled_from([name for name in NUMBERS if name != "bool"]))
    # Numbers this small stay in range of every dtype whatever the factor.
    array = np.ones(draw(shapes()), dtypes.to_numpy(dtype))
    factors = (1, 2, 3.0, 0) if kind(dtype) in ("int", "uint") else (1, 2, 0.5, -1.5, 0, 1e-320)
    return Scale(draw(st.sampled_from(factors))), (array,)


def _cast(draw: st.DrawFn) -> Case:
    to = draw(st.sampled_from(NUMBERS))
    if draw(st.booleans()):
        return Cast(to, lossy=True), (draw(arrays(dtype=st.sampled_from(NUMBERS))),)
    numbers = filled(draw(shapes()), "bool", draw(st.integers(0, 2**16)))
    return Cast(to), (numbers.astype(dtypes.to_numpy(draw(st.sampled_from(NUMBERS)))),)


def _call(draw: st.DrawFn) -> Case:
    array = draw(arrays())
    return Call("numpy:ravel", shape=(array.size,)), (array,)


def _wrap_key_data(draw: st.DrawFn) -> Case:
    short = draw(st.sampled_from(tuple(dtypes.KEY_WORDS)))
    shape = (*draw(shapes(max_dims=3)), dtypes.KEY_WORDS[short])
    return WrapKeyData(dtypes.KEY_IMPLS[short]), (draw(arrays(st.just(shape), st.just("uint32"))),)


def _key_data(draw: st.DrawFn) -> Case:
    short = draw(st.sampled_from(tuple(dtypes.KEY_WORDS)))
    return KeyData(), (draw(arrays(shapes(max_dims=3), st.just(f"key<{short}>"))),)


_CASES: dict[str, Callable[[st.DrawFn], Case]] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "rearrange": _rearrange,
    "concat": _concat,
    "split": _split,
    "stack": _stack,
    "unstack": _unstack,
    "squeeze": _squeeze,
    "expand_dims": _expand_dims,
    "flip": _flip,
    "slice": _slice,
    "crop": _crop,
    "pad": _pad,
    "tile": _tile,
    "scale": _scale,
    "cast": _cast,
    "call": _call,
    "wrap_key_data": _wrap_key_data,
    "key_data": _key_data,
}
