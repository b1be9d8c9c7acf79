import numpy as np
import pytest

from migrate.ops.base import OpError
from migrate.ops.fill import Fill
from migrate.ops.registry import OPS
from migrate.testing.op_laws import check_windows
from migrate.tree import AbstractArray

ONES = Fill(AbstractArray((2, 3), "bfloat16"), 1)


def test_it_makes_an_array_of_one_number():
    (made,) = ONES.apply()

    assert ((2, 3), "bfloat16", 6.0) == (made.shape, made.dtype.name, float(made.astype("float32").sum()))


def test_a_window_is_a_part_of_it():
    check_windows(ONES, [])


def test_a_number_beyond_the_dtype_is_refused():
    with pytest.raises(OpError, match=r"float16\[1\] cannot hold a value near 1000000.0"):
        Fill(AbstractArray((1,), "float16"), 1e6).apply()


def test_it_takes_no_array():
    with pytest.raises(OpError, match="it takes no array"):
        ONES.infer(AbstractArray((), "bool"))


def test_rule_files_do_not_have_it():
    assert Fill.name not in OPS
    assert np.dtype("float32") == Fill(AbstractArray((), "float32"), 2).apply()[0].dtype
