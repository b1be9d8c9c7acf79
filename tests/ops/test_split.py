import numpy as np
import pytest

from migrate.ops.base import OpError
from migrate.ops.concat import Split
from migrate.tree import AbstractArray

MATRIX = AbstractArray((2, 6), "float32")


def test_without_sizes_the_parts_are_equal_and_as_many_as_the_rule_expects():
    assert Split(-1, (2, 2, 2)) == Split(-1).bind((MATRIX,), None, 3)


def test_given_sizes_are_kept_when_their_number_fits():
    assert Split(1, (1, 5)) == Split(1, (1, 5)).bind((MATRIX,), None, 2)


def test_a_part_may_be_empty():
    assert (AbstractArray((2, 0), "float32"), MATRIX) == Split(1, (0, 6)).infer(MATRIX)


def test_other_sizes_than_the_rule_expects_are_an_error():
    with pytest.raises(OpError) as caught:
        Split(1, (1, 5)).bind((MATRIX,), None, 3)

    assert "sizes [1, 5] make 2 parts, but the rule expects 3" == str(caught.value)


@pytest.mark.parametrize("count", [4, 0])
def test_an_axis_that_cannot_be_cut_into_equal_parts_is_an_error(count):
    with pytest.raises(OpError, match=f"cannot be cut into {count} equal parts; give `sizes`"):
        Split(1).bind((MATRIX,), None, count)


def test_sizes_that_do_not_add_up_are_an_error():
    with pytest.raises(OpError) as caught:
        Split(1, (2, 3)).infer(MATRIX)

    assert "sizes [2, 3] add up to 5, but axis 1 of float32[2,6] has size 6" == str(caught.value)


def test_without_sizes_and_without_a_count_nothing_can_be_inferred():
    with pytest.raises(OpError, match="into how many parts"):
        Split(1).bind((MATRIX,), None, None).infer(MATRIX)


@pytest.mark.parametrize("sizes", [(), (3, -1)])
def test_invalid_sizes_of_parts_are_refused_at_once(sizes):
    with pytest.raises(OpError):
        Split(0, sizes)


def test_the_parts_are_views():
    array = np.zeros((2, 6))

    assert all(np.shares_memory(array, part) for part in Split(1, (2, 4)).apply(array))
