import numpy as np
import pytest

from migrate.ops.base import OpError
from migrate.ops.lora import Lora
from migrate.tree import AbstractArray

BASE, A, B = (AbstractArray(shape, "float32") for shape in ((6, 8), (2, 8), (6, 2)))


def test_the_result_has_the_dtype_of_the_base_or_of_the_template():
    base = AbstractArray((6, 8), "bfloat16")
    assert "bfloat16[6,8]" == str(Lora(1).infer(base, A, B)[0])
    assert "bfloat16" == Lora(1).bind([base, A, B], BASE, None).to
    assert "float32" == Lora(1, "template").bind([base, A, B], BASE, None).to


@pytest.mark.parametrize(
    ("base", "a", "b"),
    [(BASE, B, A), (BASE, A, A), (AbstractArray((6, 8), "int8"), A, B), (BASE, AbstractArray((), "float32"), B)],
)
def test_shapes_that_make_no_product_are_refused(base, a, b):
    with pytest.raises(OpError):
        Lora(1).infer(base, a, b)


def test_a_base_that_is_stored_transposed_is_told_so():
    with pytest.raises(OpError) as error:
        Lora(1).infer(AbstractArray((8, 6), "float32"), A, B)
    assert "fan_in_fan_out" in error.value.help


def test_the_scale_multiplies_the_update_alone():
    base, a, b = np.ones((2, 2), np.float32), np.ones((3, 2), np.float32), np.ones((2, 3), np.float32)
    (merged,) = Lora(0.5).apply(base, a, b)
    assert [[2.5, 2.5], [2.5, 2.5]] == merged.tolist()


def test_the_scale_may_be_arithmetic():
    base, a, b = np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), np.ones((1, 1), np.float32)
    assert [[5.0]] == Lora("16 / sqrt(16)").apply(base, a, b)[0].tolist()


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_scale_that_is_no_number_is_refused(scale):
    with pytest.raises(OpError):
        Lora(scale)
