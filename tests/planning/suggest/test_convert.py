"""Conversions of shapes: the simplest op, which really leads from one shape to the other."""

import pytest
import yaml

from migrate.planning.suggest.convert import SAME, convert, may_be_turned
from tests.planning.trees import planned


@pytest.mark.parametrize(
    ("source", "target", "op"),
    [
        ((1, 4), (4,), "squeeze"),
        ((4,), (4, 1), "expand_dims"),
        ((4, 2, 3), (4, 6), "rearrange"),
        ((4, 6), (4, 2, 3), "rearrange"),
        ((2, 3, 4), (6, 4), "rearrange"),
        ((4, 6), (6, 4), "rearrange"),
    ],
)
@pytest.mark.parametrize("lead", [False, True])
def test_the_ops_lead_to_the_shape_with_and_without_a_leading_axis(source, target, op, lead):
    found = convert(source, target, lead=lead)
    assert [op] == [text.partition(":")[0] for text in found.ops]
    front = (5,) if lead else ()
    ops = ", ".join(f"{{{text}}}" for text in found.ops)
    (task,) = planned(f"- {{from: a, to: b, ops: [{ops}]}}", {"a": ",".join(map(str, (*front, *source)))}).tasks
    assert (*front, *target) == task.out_avals[0].shape
    assert yaml.safe_load(f"{{{found.ops[0]}}}")


def test_only_a_transpose_is_open():
    assert SAME == convert((2, 3), (2, 3))
    assert "" == convert((4, 2, 3), (4, 6)).open
    assert "only a transpose makes the shapes fit" == convert((4, 6), (6, 4)).open


@pytest.mark.parametrize(("source", "target"), [((4,), (5,)), ((2, 3, 5), (5, 2, 3)), ((6, 4), (4, 3, 2))])
def test_other_shapes_do_not_become_each_other(source, target):
    assert convert(source, target) is None


@pytest.mark.parametrize(("shape", "expected"), [((4, 4), True), ((4, 5), False), ((1, 1), False), ((4, 4, 4), False)])
def test_only_a_square_matrix_may_be_turned(shape, expected):
    assert expected == may_be_turned(shape, shape)
