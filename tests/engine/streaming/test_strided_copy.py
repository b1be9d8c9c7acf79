"""A copy has the elements of the array, whatever the memory layouts of the two."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate import dtypes
from migrate.engine.streaming import strided_copy
from migrate.engine.streaming.strided_copy import copy_into

DTYPES = [np.uint8, np.int8, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.float16, np.float32, np.float64]
DTYPES += [np.complex64, np.complex128, np.bool_, dtypes.to_numpy("key<fry>")]


@pytest.fixture(autouse=True, scope="module")
def small_blocks():
    """Blocks also in small arrays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strided_copy, "_FEW_ELEMENTS", 256)
        yield


def numbered(shape, dtype):
    """Random bytes as an array."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=int)) * dtype.itemsize
    return np.random.default_rng(0).integers(0, 2, count, np.uint8).view(dtype).reshape(shape)


def copied(array, layout=None):
    """A copy, in C order or with the memory layout of another array of its shape, within an array of zeros."""
    result = np.zeros(array.shape, array.dtype) if layout is None else np.zeros_like(layout)
    copy_into(result, array)
    return result


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("shape", [(130, 1100), (1100, 130), (67, 371), (16, 1100), (16, 16), (3, 700)])
def test_a_transposed_matrix_is_copied(shape, dtype):
    array = numbered(shape, dtype).T
    assert array.tobytes() == copied(array).tobytes()


@pytest.mark.parametrize("perm", list(itertools.permutations(range(4))), ids=str)
def test_axes_in_any_order_are_copied(perm):
    array = numbered((17, 1, 40, 19), ml_dtypes.bfloat16).transpose(perm)
    assert array.tobytes() == copied(array).tobytes()


@given(
    st.lists(st.sampled_from([0, 1, 2, 17, 33]), max_size=4),
    st.sampled_from([np.uint8, ml_dtypes.bfloat16, np.float32]),
    st.randoms(use_true_random=False),
)
def test_views_of_any_strides_are_copied_into_views_of_any_strides(shape, dtype, random):
    def view(array):
        """Axes in a random order, some of them reversed or with a step."""
        order = random.sample(range(len(shape)), len(shape))
        steps = [random.choice([1, 1, 2, -1]) for _ in shape]
        wide = array([shape[axis] * abs(steps[axis]) for axis in order])
        back = wide.transpose([order.index(axis) for axis in range(len(shape))])
        return back[(*(slice(None, None, step) for step in steps), ...)]

    source = view(lambda sizes: numbered(sizes, dtype))
    result = view(lambda sizes: np.zeros(sizes, dtype))
    around = result.base if result.base is not None else result
    copy_into(result, source)
    assert source.tobytes() == result.tobytes()
    assert np.count_nonzero(source.view(_bits(dtype))) == np.count_nonzero(around.view(_bits(dtype)))


def _bits(dtype):
    return np.dtype(f"u{np.dtype(dtype).itemsize}")


def test_many_small_matrices_are_copied_at_once(monkeypatch):
    monkeypatch.setattr(strided_copy, "_transpose_into", None)
    array = numbered((1000, 20, 12), np.float32).transpose(0, 2, 1)
    assert array.tobytes() == copied(array).tobytes()


def test_elements_that_are_not_adjacent_in_memory_are_copied():
    array = numbered((64, 64, 2), np.float32)[..., 0].T
    assert array.tobytes() == copied(array).tobytes()
    assert array.tobytes() == copied(array, array).tobytes()


def test_another_byte_order_is_converted():
    array = np.arange(70 * 80, dtype=">f4").reshape(70, 80).T
    result = np.empty(array.shape, "<f4")
    copy_into(result, array)
    assert np.array_equal(array, result)


def test_an_array_of_one_element_repeated_is_copied():
    array = np.broadcast_to(np.float32([[1], [2]]), (2, 100)).T
    assert array.tobytes() == copied(array).tobytes()
