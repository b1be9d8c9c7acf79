"""The laws of ops as functions that a test of any op can run: see `migrate.ops.base`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from migrate import dtypes
from migrate.dtypes import kind
from migrate.ops.base import NotInvertible, Op, avals, wide
from migrate.ops.windows import Window, cut, extent, whole, windows
from migrate.tree import AbstractArray

Array = np.ndarray[Any, Any]

_MOST_TILES = 24
"""Tiles of one size that are checked; of more, some are left out."""


def check_op_laws(op: Op, arrays: Sequence[Array]) -> None:
    """Checks every law for one op on arrays that fit it.

    Every bit must come back; only an op that changes the dtype may turn one NaN into another.

    Raises:
      AssertionError: with the op and the law that it breaks.
    """
    before = avals(*arrays)
    originals = [array.tobytes() for array in arrays]
    results = op.apply(*arrays)
    inferred = op.infer(*before)
    assert avals(*results) == inferred, f"{op} promises {inferred} and makes {avals(*results)}"
    assert originals == [array.tobytes() for array in arrays], f"{op} changes its input"
    _check_shapes_before(op, arrays, results)
    _check_combination(op, results)
    _check_axes(op, arrays, results)
    _check_elements(op, arrays, results)
    _check_elementwise(op, arrays, results)
    check_windows(op, arrays)
    _check_preimage(op, inferred)
    back = op.inverse(*before)
    if isinstance(back, NotInvertible):
        assert not op.exact, f"{op} is exact and has no inverse"
        assert back.reason, f"{op} has no inverse and does not say why"
        return
    assert back.infer(*inferred) == before, f"{op} and its inverse {back} lead to {back.infer(*inferred)}, not {before}"
    assert op.restores(*before) or not op.exact, f"{op} is exact and does not restore its input"
    if op.restores(*before):
        restored = back.apply(*results)
        same = _same_bits if {a.dtype for a in before} == {a.dtype for a in inferred} else _same_values
        assert all(map(same, arrays, restored)), f"{back} does not restore the input of {op}"


def _check_preimage(op: Op, results: tuple[AbstractArray, ...]) -> None:
    found = op.preimage(*results)
    if isinstance(found, NotInvertible):
        assert found.reason, f"{op} has no preimage and does not say why"
    else:
        assert op.infer(*found) == results, f"{op} makes {op.infer(*found)} of its preimage {found}, not {results}"


def check_windows(op: Op, arrays: Sequence[Array]) -> None:
    """Checks that windows of every result are made right: tiles of several sizes down to one element, and empty ones.

    Raises:
      AssertionError: with the op and the window.
    """
    if not op.has_windows:
        return
    for output, result in enumerate(op.apply(*arrays)):
        for window in _some_windows(result.shape):
            _check_window(op, arrays, output, cut(result, window), window)


def _check_window(op: Op, arrays: Sequence[Array], output: int, expected: Array, window: Window) -> None:
    pull = op.window(avals(*arrays), output, window)
    for number, part in pull.needs:
        assert 0 not in extent(part), f"{op} needs the empty window {part} for {window}"
        inside = all(0 <= low < high <= size for (low, high), size in zip(part, arrays[number].shape, strict=True))
        assert inside, f"{op} needs {part} for {window}, outside of an input"
    made = pull.make([cut(arrays[number], part) for number, part in pull.needs])
    assert avals(made) == avals(expected), f"{op} makes {avals(made)[0]} of the window {window}"
    assert _same_bits(made, expected), f"{op} makes other elements of the window {window}"


def _some_windows(shape: tuple[int, ...]) -> Iterator[Window]:
    for axis, size in enumerate(shape):
        for bound in sorted({0, size // 2, size}):
            yield (*whole(shape)[:axis], (bound, bound), *whole(shape)[axis + 1 :])
    for tile in {shape, tuple(max(size // 2, 1) for size in shape), (1,) * len(shape)}:
        if 0 not in tile:
            tiles = list(windows(shape, tile))
            yield from tiles[:: -(-len(tiles) // _MOST_TILES) or 1]


def _check_shapes_before(op: Op, arrays: Sequence[Array], results: Sequence[Array]) -> None:
    for result in results:
        open_shapes = (result.shape, *((None,) * at + result.shape[at:] for at in range(1, result.ndim + 1)))
        for shape in filter(None, map(op.shape_before, open_shapes)):
            for array in arrays:
                fits = len(shape) == array.ndim and all(a in (None, b) for a, b in zip(shape, array.shape, strict=True))
                assert fits, f"{op} takes {shape} for the shape of an input {array.shape}"


def _check_combination(op: Op, results: Sequence[Array]) -> None:
    assert not op.combines or len(results) == 1, f"{op} combines arrays to {len(results)} results"
    if op.role == "combine":
        assert op.has_windows, f"{op} combines arrays, which may be large, and has no windows"
        assert not op.structural, f"{op} combines arrays and is structural"
        required = [one.required for one in op.inputs]
        assert required == sorted(required, reverse=True), f"{op} has an optional input before a required one"


def _check_axes(op: Op, arrays: Sequence[Array], results: Sequence[Array]) -> None:
    if not op.keeps_axes(*avals(*arrays)):
        return
    before, after = (side[0].reshape(wide(side[0].shape)) for side in (arrays, results))
    same = _same_bits if before.dtype == after.dtype else _same_shape
    orders = permutations(range(before.ndim))
    assert len(arrays) == len(results) == 1, f"{op} keeps the axes of {len(arrays)} arrays in {len(results)}"
    assert any(same(before.transpose(order), after) for order in orders), f"{op} does not keep the axes"


def _check_elements(op: Op, arrays: Sequence[Array], results: Sequence[Array]) -> None:
    assert not (op.recuts and op.role == "map" and op.exact), f"{op} recuts an array and loses nothing"
    if not op.structural:
        return
    # Of an op that changes the dtype, such as `key_data`, the words are compared.
    nbytes = arrays[0].itemsize if {a.dtype for a in arrays} == {a.dtype for a in results} else 4
    before, after = _elements(arrays, nbytes), _elements(results, nbytes)
    assert after.keys() <= before.keys(), f"{op} is structural and makes new elements"
    if op.only_permutes:
        assert (len(arrays), len(results)) == (1, 1), f"{op} only permutes, but {len(arrays)} → {len(results)} arrays"
        assert before == after, f"{op} only permutes, but the elements differ"
        assert op.exact, f"{op} only permutes and is not exact"


def _elements(arrays: Sequence[Array], nbytes: int) -> Counter[bytes]:
    content = b"".join(array.tobytes() for array in arrays)
    return Counter(content[start : start + nbytes] for start in range(0, len(content), nbytes))


def _check_elementwise(op: Op, arrays: Sequence[Array], results: Sequence[Array]) -> None:
    assert op.elementwise or not op.only_casts, f"{op} only casts and is not elementwise"
    if op.elementwise:
        (array,), (result,) = arrays, results
        assert array.shape == result.shape, f"{op} is elementwise and changes the shape"
        assert _same_bits(op.apply(array.ravel())[0], result.ravel()), f"{op} is not elementwise"


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
