"""What ops of unlike arrays have in common: block sizes, the computing dtype, pieces, and what leaves the range."""

import numpy as np
import pytest

from migrate.ops import combination
from migrate.ops.base import NotInvertible, OpError
from migrate.ops.combination import blocks, computing_dtype
from migrate.ops.dequantize import Dequantize
from migrate.ops.lora import Lora
from migrate.ops.sum import Product, Sum
from migrate.tree import AbstractArray


@pytest.mark.parametrize(
    ("size", "count", "block"),
    [
        (256, 2, 128),
        (300, 1, 300),
        (7, 7, 1),
        (96, 3, 32),
        (576, 5, 128),
        (2112, 17, 128),
        (7, 3, 3),
        (10, 5, 2),
        (48, 2, 24),
    ],
)
def test_a_block_is_read_off_the_shapes(size, count, block):
    assert block == blocks("scale", size, count)


@pytest.mark.parametrize(
    ("size", "count", "advice"),
    [(300, 3, "`block: 100` or `block: 128`"), (960, 8, "`block: 120` or `block: 128`"), (47, 4, "`block: N`")],
)
def test_shapes_that_allow_several_blocks_are_refused(size, count, advice):
    if advice.endswith("N`"):
        size, count = 100, 6  # 17 to 19
    with pytest.raises(OpError) as error:
        blocks("scale", size, count)
    assert advice in error.value.help
    assert 128 == blocks("scale", 300, 3, 128)


@pytest.mark.parametrize(("size", "count", "given"), [(300, 3, 64), (300, 3, 150), (4, 5, None), (4, 0, None)])
def test_blocks_that_do_not_fit_are_refused(size, count, given):
    with pytest.raises(OpError):
        blocks("scale", size, count, given)


def test_wide_inputs_are_combined_in_float64():
    assert "float32" == computing_dtype([AbstractArray((2,), "int8"), AbstractArray((2,), "bfloat16")])
    assert "float64" == computing_dtype([AbstractArray((2,), "int32"), AbstractArray((2,), "bfloat16")])
    (total,) = Sum().apply(np.array([1.0]), np.array([1e-12]))
    assert 1.0 + 1e-12 == total[0]


@pytest.mark.parametrize("op", [Dequantize(), Lora(1), Sum(), Product()])
def test_no_combination_can_be_undone(op):
    assert isinstance(op.inverse(), NotInvertible)
    assert (False, True, False) == (op.exact, op.rounds, op.structural)
    assert op.inverse().reason == op.no_inverse


def test_a_result_beyond_the_range_is_refused_and_infinity_passes():
    big = np.array([3e38, np.inf, np.nan, 1], np.float32)
    with pytest.raises(OpError, match="beyond float32"):
        Sum().apply(big, big)
    (total,) = Sum().apply(big[1:], big[1:])
    assert [np.inf, 2] == [total[0], total[2]]
    assert np.isnan(total[1])


def test_pieces_give_what_the_whole_gives(monkeypatch):
    value = np.random.default_rng(0).integers(-9, 9, (7, 6), np.int8)
    scale = np.random.default_rng(1).random((3, 2)).astype(np.float32)
    expected = Dequantize().apply(value, scale)[0].tobytes()
    for chunk in (1, 4, 6, 13):
        monkeypatch.setattr(combination, "CHUNK", chunk)
        assert expected == Dequantize().apply(value, scale)[0].tobytes()
