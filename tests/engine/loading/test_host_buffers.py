"""Buffers are aligned, so that JAX takes them over on a CPU, and are copies of their own."""

import jax
import ml_dtypes
import numpy as np
import pytest

from migrate.engine.loading.host_buffers import ALIGNMENT, aligned, aligned_copy


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (128, 64)])
@pytest.mark.parametrize("dtype", [np.float32, np.bool_, np.complex64, ml_dtypes.bfloat16, ml_dtypes.int4])
def test_a_buffer_is_aligned(shape, dtype):
    buffer = aligned(shape, np.dtype(dtype))
    assert (shape, np.dtype(dtype), 0) == (buffer.shape, buffer.dtype, buffer.ctypes.data % ALIGNMENT)
    assert buffer.flags.c_contiguous
    assert buffer.flags.writeable


@pytest.mark.parametrize("array", [np.arange(6.0), np.arange(600.0).reshape(20, 30).T, np.float32(3), np.ones((2, 0))])
def test_a_copy_has_the_values_in_memory_of_its_own(array):
    copy = aligned_copy(np.asarray(array))
    np.testing.assert_array_equal(array, copy)
    assert not np.shares_memory(array, copy)
    assert copy.flags.c_contiguous


def test_a_copy_has_the_byte_order_of_the_machine():
    copy = aligned_copy(np.arange(3, dtype=">i4"))
    assert np.dtype(np.int32) == copy.dtype
    assert [0, 1, 2] == copy.tolist()


def test_jax_takes_an_aligned_buffer_over_and_does_not_write_to_it_where_it_is_donated():
    buffer = aligned_copy(np.ones(4096, np.float32))
    array = jax.device_put(buffer, jax.devices("cpu")[0])
    assert buffer.ctypes.data == array.unsafe_buffer_pointer()
    jax.block_until_ready(jax.jit(lambda x: x + 1, donate_argnums=0)(array))
    assert (buffer == 1).all()
