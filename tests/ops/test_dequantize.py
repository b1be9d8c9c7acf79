import numpy as np
import pytest

from migrate.ops.base import OpError
from migrate.ops.dequantize import Dequantize
from migrate.tree import AbstractArray

VALUE = AbstractArray((8, 4), "int8")


def inferred(scale, *more, op=None, value=VALUE):
    return str((op or Dequantize()).infer(value, scale, *more)[0])


@pytest.mark.parametrize("shape", [(), (1, 1), (8, 1), (1, 4), (2, 4), (4, 2), (8, 4)])
def test_a_scale_has_a_number_of_blocks_for_each_axis(shape):
    assert "float32[8,4]" == inferred(AbstractArray(shape, "bfloat16"))


def test_the_template_decides_the_dtype():
    scale = AbstractArray((8, 1), "float32")
    bound = Dequantize("template").bind([VALUE, scale], AbstractArray((8, 4), "bfloat16"), None)
    assert "bfloat16[8,4]" == inferred(scale, op=bound)
    with pytest.raises(OpError, match="no template leaf"):
        Dequantize("template").bind([VALUE, scale], None, None)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (AbstractArray((8,), "float32"), "has 1 dimensions"),
        (AbstractArray((9, 1), "float32"), "cannot have 9 blocks"),
        (AbstractArray((8, 1), "uint8"), "exponents"),
        (AbstractArray((8, 1), "bool"), "no real numbers"),
    ],
)
def test_a_scale_that_does_not_fit_is_refused(scale, message):
    with pytest.raises(OpError, match=message):
        inferred(scale)


def test_a_scale_without_an_axis_is_told_how_to_get_it():
    with pytest.raises(OpError) as error:
        inferred(AbstractArray((8,), "float32"))
    assert "`{expand_dims: {axis: 1, of: scale}}`" in error.value.help


@pytest.mark.parametrize(("to", "block"), [("int8", None), ("float8_e4m3fn", None), ("float32", 0)])
def test_fields_that_make_no_sense_are_refused(to, block):
    with pytest.raises(OpError):
        Dequantize(to, block)


def test_zero_points_are_subtracted_first():
    value, zero = np.array([[10, 20]], np.int8), np.array([[4, 4]], np.int8)
    (result,) = Dequantize().apply(value, np.array([[0.5, 2]], np.float32), zero)
    assert [[3.0, 32.0]] == result.tolist()


def test_an_overflow_is_refused():
    with pytest.raises(OpError, match="beyond float16"):
        Dequantize("float16").apply(np.array([[100]], np.int8), np.array([[1000]], np.float32))
