"""Copies arrays between memory layouts, block by block, so that the processor's cache holds what a block needs.

NumPy copies one element at a time where two layouts differ, and an array of bfloat16 through functions of its dtype.
Here such elements are copied as integers, and small ones of a transposed matrix first as words of several elements.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

Array = np.ndarray[Any, Any]

_PANEL = 64
"""Rows that are copied together, so that their cache lines are used up before they are evicted."""

_WORD = np.dtype(np.uint64)
_WORD_COLUMNS = 128
_WORD_ROWS = 1024
"""Words of a block: 1 MiB together."""

_NARROW = 16
_FEW_ELEMENTS = 1 << 17
"""Matrices with fewer rows or columns, or with fewer elements, fit the cache: NumPy copies all of them at once."""

_INTEGERS = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


def copy_into(result: Array, array: Array) -> None:
    """Copies an array into another of the same shape, perhaps in another byte order; the two share no memory."""
    if result.dtype != array.dtype:
        result[...] = array
        return
    result, array = _as_integers(result), _as_integers(array)
    result, array = _with_merged_axes(result, array)
    row, column = _inner_axis(result), _inner_axis(array)
    if row is None or column is None or row == column:
        result[...] = array
        return
    result, array = (np.moveaxis(side, (row, column), (-2, -1)) for side in (result, array))
    rows, columns = array.shape[-2:]
    if min(rows, columns) < _NARROW or rows * columns < _FEW_ELEMENTS:
        result[...] = array
        return
    for index in np.ndindex(array.shape[:-2]):
        _transpose_into(result[index], array[index])


def _as_integers(array: Array) -> Array:
    """Returns a view as integers, whose copies are the fastest; the array itself where there is no such view."""
    integer = _INTEGERS.get(array.dtype.itemsize)
    return array if integer is None or array.dtype.hasobject else array.view(integer)


def _with_merged_axes(*arrays: Array) -> list[Array]:
    """Returns views of arrays of one shape in which axes that all of them store as one are one axis."""
    shape: list[int] = []
    strides: list[list[int]] = []
    for axis, size in enumerate(arrays[0].shape):
        steps = [array.strides[axis] for array in arrays]
        if size == 1:
            continue
        if shape and strides[-1] == [step * size for step in steps]:
            shape[-1], strides[-1] = shape[-1] * size, steps
        else:
            shape.append(size)
            strides.append(steps)
    views = (as_strided(array, shape, [steps[i] for steps in strides]) for i, array in enumerate(arrays))
    return list(views)  # `reshape` could return a copy, which must not happen to the result


def _inner_axis(array: Array) -> int | None:
    """Returns the axis whose elements are adjacent in memory."""
    return next((axis for axis, step in enumerate(array.strides) if step == array.itemsize), None)


def _transpose_into(result: Array, array: Array) -> None:
    """Copies a matrix whose rows are contiguous into one whose columns are."""
    ratio = _WORD.itemsize // array.itemsize
    words = array.shape[1] // ratio if ratio > 2 else 0
    if words:
        _transpose_words(result.T[: words * ratio].reshape(words, ratio, -1), array[:, : words * ratio].view(_WORD))
        result, array = result[:, words * ratio :], array[:, words * ratio :]
    for row in range(0, len(array), _PANEL):
        result[row : row + _PANEL] = array[row : row + _PANEL]


def _transpose_words(result: Array, array: Array) -> None:
    """Transposes a matrix of words, and moves the elements of each word to different rows.

    Args:
      result: shape (columns, elements of a word, rows).
      array: shape (rows, columns).
    """
    rows, columns = array.shape
    block = np.empty((min(columns, _WORD_COLUMNS), min(rows, _WORD_ROWS)), _WORD)
    elements = block.view(result.dtype).reshape(*block.shape, -1).transpose(0, 2, 1)
    for column in range(0, columns, len(block)):
        for row in range(0, rows, block.shape[1]):
            part = array[row : row + block.shape[1], column : column + len(block)]
            for start in range(0, len(part), _PANEL):
                panel = part[start : start + _PANEL]
                block[: part.shape[1], start : start + len(panel)] = panel.T
            place = result[column : column + len(block), :, row : row + block.shape[1]]
            place[...] = elements[: part.shape[1], :, : len(part)]
