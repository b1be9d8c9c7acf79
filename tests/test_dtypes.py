"""Dtype names agree with NumPy and ml_dtypes."""

import ml_dtypes
import numpy as np
import pytest

from migrate import dtypes


def bits(name: str) -> int:
    """The significant bits of an element, as counted by ml_dtypes."""
    dtype = dtypes.to_numpy(name)
    if np.issubdtype(dtype, np.bool_) or np.issubdtype(dtype, np.complexfloating) or dtypes.key_impl(name):
        return 8 * dtype.itemsize
    try:
        return ml_dtypes.iinfo(dtype).bits
    except ValueError:
        return ml_dtypes.finfo(dtype).bits


@pytest.mark.parametrize("name", dtypes.NAMES)
def test_a_dtype_is_sub_byte_if_its_elements_have_less_than_a_byte_of_meaning(name: str):
    assert (bits(name) < 8) == (name in dtypes.SUB_BYTE)


@pytest.mark.parametrize("name", dtypes.NAMES)
def test_a_name_and_its_numpy_dtype_are_one_to_one(name: str):
    assert dtypes.from_numpy(dtypes.to_numpy(name)) == name
    assert dtypes.to_numpy(name).itemsize == dtypes.item_bytes(name)
