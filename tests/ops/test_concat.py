import pytest

from migrate.ops.base import OpError
from migrate.ops.concat import Concat, Split
from migrate.tree import AbstractArray

MATRIX = AbstractArray((2, 3), "float32")


def test_the_inverse_splits_into_the_sizes_that_were_joined():
    assert Split(1, (3, 5)) == Concat(-1).inverse(MATRIX, AbstractArray((2, 5), "float32"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            AbstractArray((2, 3), "bfloat16"),
            "float32[2,3] and bfloat16[2,3] have different dtypes; `cast` one of them first",
        ),
        (AbstractArray((2, 4), "float32"), "float32[2,3] and float32[2,4] differ in more than axis 0"),
        (AbstractArray((2,), "float32"), "float32[2,3] and float32[2] differ in more than axis 0"),
    ],
)
def test_arrays_that_do_not_fit_together_are_an_error_that_names_both(other, message):
    with pytest.raises(OpError) as caught:
        Concat().infer(MATRIX, other)

    assert message == str(caught.value)


def test_parts_are_arrays_of_one_size():
    assert (MATRIX, MATRIX, MATRIX) == Concat(-1, parts=3).preimage(AbstractArray((2, 9), "float32"))
    assert (AbstractArray((2, 9), "float32"),) == Concat(1, parts=3).infer(MATRIX, MATRIX, MATRIX)


@pytest.mark.parametrize("others", [(MATRIX,), (MATRIX, AbstractArray((2, 5), "float32"))])
def test_other_arrays_than_the_parts_are_refused(others):
    with pytest.raises(OpError, match=r"along axis 1, not 3 equal ones"):
        Concat(1, parts=3).infer(MATRIX, *others)


def test_a_result_that_cannot_be_cut_into_the_parts_has_no_arrays_before_it():
    with pytest.raises(OpError, match="cannot be cut into 3 equal parts"):
        Concat(1, parts=3).preimage(AbstractArray((2, 4), "float32"))


@pytest.mark.parametrize(
    ("fields", "message"), [({"parts": 0}, "0 parts"), ({"parts": 2, "sizes": (1, 1)}, "omit one")]
)
def test_contradictory_fields_are_refused(fields, message):
    with pytest.raises(OpError, match=message):
        Concat(0, **fields)


def test_an_empty_list_cannot_be_joined():
    with pytest.raises(OpError, match="no array"):
        Concat().infer()


def test_arrays_without_axes_cannot_be_joined():
    with pytest.raises(OpError, match="axis 0 is out of range for 0 dimensions"):
        Concat().infer(AbstractArray((), "float32"), AbstractArray((), "float32"))
