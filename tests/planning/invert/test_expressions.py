from migrate.planning.invert.expressions import expressions
from tests.planning.trees import planned

SOURCE = {"w": "2,6"}


def of(rule):
    return expressions(planned(f"- {rule}", SOURCE).tasks)


def test_a_leaf_that_is_renamed_is_itself():
    assert {("b",): ("w",)} == of("w -> b")


def test_lists_in_another_order_compute_something_else():
    ops = "ops: [{split: {axis: 1}}]"
    assert of(f"{{from: w, to: [a, b], {ops}}}") != of(f"{{from: w, to: [b, a], {ops}}}")


def test_parts_of_one_shape_are_told_apart():
    found = of("{from: w, to: [a, b], ops: [{split: {axis: 1}}]}")
    assert found["a",] != found["b",]


def test_an_axis_counted_from_the_end_is_the_same_axis():
    assert of("{from: w, to: b, ops: [{flip: 1}]}") != of("{from: w, to: b, ops: [{flip: 0}]}")
    ops = ("{split: {axis: 1, sizes: [3, 3]}}", "{split: {axis: -1}}")
    assert 1 == len({frozenset(of(f"{{from: w, to: [a, b], ops: [{op}]}}").items()) for op in ops})


def test_a_reshape_to_another_shape_is_another_op():
    shapes = ([12], [3, 4], [-1])
    first, second, third = (of(f"{{from: w, to: b, ops: [{{reshape: {shape}}}]}}") for shape in shapes)
    assert first == third
    assert first != second
