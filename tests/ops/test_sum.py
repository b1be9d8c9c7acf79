import numpy as np
import pytest

from migrate.ops.base import OpError
from migrate.ops.sum import Product, Sum
from migrate.tree import AbstractArray

A = AbstractArray((2, 3), "float32")


@pytest.mark.parametrize("op", [Sum(), Product()])
@pytest.mark.parametrize("other", [AbstractArray((3, 2), "float32"), AbstractArray((2, 3), "bfloat16")])
def test_arrays_that_differ_are_refused(op, other):
    with pytest.raises(OpError, match="differ"):
        op.infer(A, other)


@pytest.mark.parametrize("op", [Sum(), Product()])
@pytest.mark.parametrize("dtype", ["int32", "bool", "float8_e4m3fn"])
def test_dtypes_without_room_are_refused(op, dtype):
    with pytest.raises(OpError):
        op.infer(AbstractArray((2,), dtype), AbstractArray((2,), dtype))


def test_any_number_of_arrays_is_combined():
    ones = [np.full((2,), n, np.float32) for n in (1, 2, 4)]
    assert ([7, 7], [8, 8]) == (Sum().apply(*ones)[0].tolist(), Product().apply(*ones)[0].tolist())
