"""Hypothesis strategies of ops: an op with arrays that fit it, an op for a given array, and chains of ops.

A new op needs a row in `_CASES`: arrays that suit it, and a function that draws the op for one of them. The tests over
the whole registry fail without one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from migrate import dtypes
from migrate.dtypes import kind
from migrate.ops.add import Add
from migrate.ops.arithmetic import Number
from migrate.ops.base import Op, OpError, avals
from migrate.ops.call import Call
from migrate.ops.cast import Cast
from migrate.ops.concat import Concat, Split
from migrate.ops.crop import Crop
from migrate.ops.dequantize import Dequantize
from migrate.ops.flip import Flip
from migrate.ops.lora import Lora
from migrate.ops.mxfp4 import Mxfp4
from migrate.ops.pad import Pad
from migrate.ops.rearrange import Rearrange
from migrate.ops.reshape import Reshape
from migrate.ops.roll import Roll
from migrate.ops.scale import Scale
from migrate.ops.slice import Slice
from migrate.ops.squeeze import ExpandDims, Squeeze
from migrate.ops.stack import Stack, Unstack
from migrate.ops.sum import Product, Sum
from migrate.ops.tile import Tile
from migrate.ops.transpose import Transpose
from migrate.ops.unreplicate import Unreplicate
from migrate.ops.wrap_key_data import KeyData, WrapKeyData
from migrate.testing.arrays import (
    DTYPES,
    NUMBERS,
    arrays,
    filled,
    key_words,
    keys,
    ones,
    shapes,
    windows_of,
    with_axis_of,
    zeros_and_ones,
)
from migrate.testing.op_laws import check_op_laws, check_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Array = np.ndarray[Any, Any]
    Case = tuple[Op, tuple[Array, ...]]
    Draw = Callable[[st.DrawFn, Array], Op | Case]

__all__ = [
    "DTYPES",
    "NUMBERS",
    "arrays",
    "check_op_laws",
    "check_windows",
    "filled",
    "op_cases",
    "op_chains",
    "shapes",
    "windows_of",
]


_LARGEST = 500
"""Elements of an array to which a chain still applies another op."""


def op_cases(name: str) -> st.SearchStrategy[Case]:
    """Pairs of an op of this name and arrays that fit it.

    Raises:
      KeyError: `_CASES` has no strategy for this op.
    """
    if name not in _CASES:
        raise KeyError(f"migrate.testing.ops has no strategy for `{name}`")
    suitable, draw_op = _CASES[name]
    return suitable.flatmap(lambda array: _case(draw_op, array))


@st.composite
def _case(draw: st.DrawFn, draw_op: Draw, array: Array) -> Case:
    drawn = draw_op(draw, array)
    return drawn if isinstance(drawn, tuple) else (drawn, (array,))


@st.composite
def op_chains(draw: st.DrawFn, names: Sequence[str], most: int = 3) -> list[tuple[Op, tuple[Array, ...], int]]:
    """Chains of up to `most` ops with these names.

    Returns:
      For each op the op, its arrays, and the position of the result that is the first array of the next op.
    """
    op, arrays_of_op = draw(st.sampled_from(names).flatmap(op_cases))
    chain: list[tuple[Op, tuple[Array, ...], int]] = []
    while True:
        try:
            results = op.apply(*arrays_of_op)
        except OpError:
            return chain
        chain.append((op, arrays_of_op, draw(st.integers(0, len(results) - 1))))
        array = results[chain[-1][2]]
        found = _next(draw, array, names) if len(chain) < most and array.size <= _LARGEST else None
        if found is None:
            return chain
        op, arrays_of_op = found


def _next(draw: st.DrawFn, array: Array, names: Sequence[str]) -> Case | None:
    """An op that fits this array, with its arrays; None where a few attempts find none."""
    for name in draw(st.lists(st.sampled_from(names), min_size=4, max_size=4)):
        try:
            op, fitting = draw(_case(_CASES[name][1], array))
            op.infer(*avals(*fitting))
        except OpError:
            continue
        if fitting[0] is array:
            return op, fitting
    return None


def _some_axis(draw: st.DrawFn, ndim: int) -> int:
    if not ndim:
        raise OpError("there is no axis")
    return draw(st.integers(-ndim, ndim - 1))


def _axis_of(draw: st.DrawFn, array: Array, sizes: range) -> int:
    """An axis whose size is one of these."""
    axes = [axis for axis, size in enumerate(array.shape) if size in sizes]
    if not axes:
        raise OpError(f"no axis of {array.shape} has a size in {sizes}")
    return draw(st.sampled_from(axes)) - draw(st.sampled_from((0, array.ndim)))


def _ordered(draw: st.DrawFn, size: int) -> tuple[int, int]:
    start, stop = sorted((draw(st.integers(0, size)), draw(st.integers(0, size))))
    return start, stop


def _reshape(draw: st.DrawFn, array: Array) -> Op:
    factors = [factor for size in array.shape for factor in (_factors(size) if draw(st.booleans()) else (size,))]
    shape = list(draw(st.permutations(factors)))
    if len(shape) > 1 and draw(st.booleans()):
        shape[:2] = [shape[0] * shape[1]]
    if shape and array.size and draw(st.booleans()):
        shape[draw(st.integers(0, len(shape) - 1))] = -1
    return Reshape(tuple(shape))


def _factors(size: int) -> tuple[int, ...]:
    return (2, size // 2) if size and size % 2 == 0 else (size,)


def _transpose(draw: st.DrawFn, array: Array) -> Op:
    perm = tuple(axis - draw(st.sampled_from((0, array.ndim))) for axis in draw(st.permutations(range(array.ndim))))
    return Transpose(draw(st.sampled_from((None, perm))))


def _groups(draw: st.DrawFn, names: Sequence[str]) -> str:
    """The names in any order, some of them merged, with axes of size 1 in between."""
    words, rest = [], list(draw(st.permutations(names)))
    while rest:
        count = draw(st.integers(0, len(rest)))
        words.append(f"({' '.join(rest[:count])})" if count != 1 else rest[0])
        rest = rest[count:]
    return " ".join(words)


def _rearrange(draw: st.DrawFn, array: Array) -> Op:
    named = draw(st.integers(0, array.ndim))
    dots = named < array.ndim or draw(st.booleans())
    left, names, sizes = [], [], []
    for axis, size in enumerate(array.shape[:named]):
        if size == 1 and draw(st.booleans()):
            left.append("1")
        elif size and size % 2 == 0 and draw(st.booleans()):
            left.append(f"(a{axis} b{axis})")
            names += [f"a{axis}", f"b{axis}"]
            sizes.append((f"a{axis}", 2))
        else:
            left.append(f"a{axis}")
            names.append(f"a{axis}")
    if dots:
        left, names = [*left, "..."], [*names, "..."]
    return Rearrange(f"{' '.join(left)} -> {_groups(draw, names)}", tuple(sizes))


def _concat(draw: st.DrawFn, first: Array) -> Case:
    axis = _some_axis(draw, first.ndim)
    others = []
    for seed, side in enumerate(draw(st.lists(st.integers(0, 3), max_size=3))):
        shape = list(first.shape)
        shape[axis] = side
        others.append(filled(tuple(shape), dtypes.from_numpy(first.dtype), seed))
    return Concat(axis), (first, *others)


def _split(draw: st.DrawFn, array: Array) -> Op:
    axis = _some_axis(draw, array.ndim)
    ends = sorted(draw(st.lists(st.integers(0, array.shape[axis]), max_size=3)))
    sizes = [after - before for before, after in zip((0, *ends), (*ends, array.shape[axis]), strict=True)]
    return Split(axis, tuple(sizes))


def _stack(draw: st.DrawFn, first: Array) -> Case:
    count = draw(st.integers(0, 3))
    others = [filled(first.shape, dtypes.from_numpy(first.dtype), seed) for seed in range(count)]
    return Stack(_some_axis(draw, first.ndim + 1)), (first, *others)


def _unstack(draw: st.DrawFn, array: Array) -> Op:
    return Unstack(_axis_of(draw, array, range(1, 20)))


def _squeeze(draw: st.DrawFn, array: Array) -> Op:
    return Squeeze(_axis_of(draw, array, range(1, 2)))


def _unreplicate(draw: st.DrawFn, array: Array) -> Case:
    axis = _some_axis(draw, array.ndim + 1)
    return Unreplicate(axis), (np.stack([array] * draw(st.integers(1, 3)), axis),)


def _expand_dims(draw: st.DrawFn, array: Array) -> Op:
    return ExpandDims(_some_axis(draw, array.ndim + 1))


def _flip(draw: st.DrawFn, array: Array) -> Op:
    return Flip(_some_axis(draw, array.ndim))


def _roll(draw: st.DrawFn, array: Array) -> Op:
    return Roll(draw(st.integers(-9, 9)), _some_axis(draw, array.ndim))


def _slice(draw: st.DrawFn, array: Array) -> Op:
    axis = _some_axis(draw, array.ndim)
    start, stop = _ordered(draw, array.shape[axis])
    ends = (draw(st.sampled_from((start, None))), draw(st.sampled_from((stop, None))))
    return Slice(axis, *ends, step=draw(st.integers(1, 3)))


def _crop(draw: st.DrawFn, array: Array) -> Op:
    return Crop(tuple(_ordered(draw, size) for size in array.shape))


def _pad(draw: st.DrawFn, array: Array) -> Op:
    widths = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in array.shape)
    return Pad(widths, draw(st.sampled_from((0, 1, True, 1.0))))


def _tile(draw: st.DrawFn, array: Array) -> Op:
    return Tile(tuple(draw(st.integers(1, 3)) for _ in array.shape))


def _scale(draw: st.DrawFn, array: Array) -> Op:
    factors: tuple[Number, ...] = (
        (1, 2, 3.0, 0)
        if kind(dtypes.from_numpy(array.dtype)) in ("int", "uint")
        else (1, 2, 0.5, -1.5, 0, 1e-320, "1/sqrt(16)", "sqrt(2)")
    )
    return Scale(draw(st.sampled_from(factors)))


def _add(draw: st.DrawFn, array: Array) -> Op:
    whole = kind(dtypes.from_numpy(array.dtype)) in ("int", "uint")
    numbers: tuple[Number, ...] = (0, -1, 0.0, "2 - 3") if whole else (0, 1, 0.25, "sqrt(2)")
    return Add(draw(st.sampled_from(numbers)))


def _cast(draw: st.DrawFn, array: Array) -> Op:
    if kind(dtypes.from_numpy(array.dtype)) == "key":
        raise OpError("keys are not numbers")
    # Every dtype has zero and one; other values may be lost.
    with np.errstate(invalid="ignore"):
        exact = array.tobytes() == (array != 0).astype(array.dtype).tobytes()
    return Cast(draw(st.sampled_from(NUMBERS)), lossy=not exact or draw(st.booleans()))


def _dequantize(draw: st.DrawFn, value: Array) -> Case:
    """One block size for all axes, which the op gets; an axis may also be one block."""
    if kind(dtypes.from_numpy(value.dtype)) not in ("int", "uint", "float"):
        raise OpError("there are no real numbers")
    block = draw(st.integers(1, 3))
    others = []
    for seed, dtype in enumerate(draw(st.sampled_from([("float32",), ("bfloat16",), ("float32", "int8")]))):
        counts = [draw(st.sampled_from((1, -(-size // block) or 1))) for size in value.shape]
        others.append(_moderate(draw(st.sampled_from((tuple(counts), ()))), dtype, seed))
    return Dequantize(draw(st.sampled_from(("float32", "bfloat16"))), block), (value, *others)


def _moderate(shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    """Numbers from 1 to 3 whose products and sums stay in the range of every float."""
    return np.asarray(np.random.default_rng(seed).random(shape) * 2 + 1).astype(dtypes.to_numpy(dtype))


def _mxfp4(draw: st.DrawFn, packed: Array) -> Case:
    if packed.dtype != np.uint8 or packed.ndim < 3 or packed.shape[-1] != 16:
        raise OpError("these are no blocks")
    scales = np.random.default_rng(packed.size).integers(100, 150, packed.shape[:-1], np.uint8)
    return Mxfp4(draw(st.sampled_from(("float32", "bfloat16")))), (packed, scales)


def _lora(draw: st.DrawFn, base: Array) -> Case:
    dtype = dtypes.from_numpy(base.dtype)
    if dtype not in ("float32", "bfloat16"):
        raise OpError("the base has no floats of this range")
    rank, rows = draw(st.integers(1, 3)), draw(st.integers(0, base.ndim))
    a = _moderate((rank, *base.shape[rows:]), "float32", 1)
    b = _moderate((*base.shape[:rows], rank), "bfloat16", 2)
    return Lora(draw(st.sampled_from((1, -0.5, 2.0))), draw(st.sampled_from((dtype, "float32")))), (base, a, b)


def _sum(draw: st.DrawFn, first: Array) -> Case:
    return Sum(), _like(draw, first)


def _product(draw: st.DrawFn, first: Array) -> Case:
    return Product(), _like(draw, first)


def _like(draw: st.DrawFn, first: Array) -> tuple[Array, ...]:
    dtype = dtypes.from_numpy(first.dtype)
    return (first, *(_moderate(first.shape, dtype, seed) for seed in range(draw(st.integers(1, 2)))))


def _call(draw: st.DrawFn, array: Array) -> Op:
    del draw
    return Call("numpy:ravel", shape=(array.size,))


def _wrap_key_data(draw: st.DrawFn, array: Array) -> Op:
    impls = [short for short, words in dtypes.KEY_WORDS.items() if array.shape[-1:] == (words,)]
    if not impls:
        raise OpError("the last axis is not the words of a key")
    return WrapKeyData(dtypes.KEY_IMPLS[draw(st.sampled_from(impls))])


def _key_data(draw: st.DrawFn, array: Array) -> Op:
    del draw, array
    return KeyData()


def _floats() -> st.SearchStrategy[Array]:
    names = st.sampled_from(("float32", "bfloat16", "float16", "float64"))
    return st.builds(_moderate, shapes(), names, st.integers(0, 9))


def _blocks() -> st.SearchStrategy[Array]:
    return arrays(shapes(min_dims=2, max_dims=3).map(lambda shape: (*shape, 16)), st.just("uint8"))


_ANY = arrays()
_WITH_AXES = arrays(shapes(min_dims=1))

_CASES: dict[str, tuple[st.SearchStrategy[Array], Draw]] = {
    "reshape": (_ANY, _reshape),
    "transpose": (_ANY, _transpose),
    "rearrange": (_ANY, _rearrange),
    "concat": (_WITH_AXES, _concat),
    "split": (_WITH_AXES, _split),
    "stack": (_ANY, _stack),
    "unstack": (with_axis_of(1, 4), _unstack),
    "squeeze": (with_axis_of(1, 1), _squeeze),
    "expand_dims": (_ANY, _expand_dims),
    "unreplicate": (_ANY, _unreplicate),
    "flip": (_WITH_AXES, _flip),
    "roll": (_WITH_AXES, _roll),
    "slice": (_WITH_AXES, _slice),
    "crop": (_ANY, _crop),
    "pad": (arrays(dtype=st.sampled_from(NUMBERS)), _pad),
    "tile": (arrays(shapes(max_dims=3)), _tile),
    "scale": (ones(), _scale),
    "add": (ones(), _add),
    "cast": (st.one_of(arrays(dtype=st.sampled_from(NUMBERS)), zeros_and_ones()), _cast),
    "dequantize": (arrays(dtype=st.sampled_from(("int8", "uint8", "int4", "float8_e4m3fn"))), _dequantize),
    "mxfp4": (_blocks(), _mxfp4),
    "lora": (arrays(dtype=st.sampled_from(("float32", "bfloat16"))), _lora),
    "sum": (_floats(), _sum),
    "product": (_floats(), _product),
    "call": (_ANY, _call),
    "wrap_key_data": (key_words(), _wrap_key_data),
    "key_data": (keys(), _key_data),
}
"""For each op, arrays that suit it, and the function that draws the op for such an array, with the other arrays that it
reduces. The function raises `OpError` for an array that cannot suit the op."""
