"""The list of arrays: which of them one call of an op gets."""

import pytest

from migrate.ops.base import OpError
from migrate.planning.elements import Element, aval_of, combinations, extended, joined, reduction_key
from migrate.tree import AbstractArray

A = AbstractArray((2,), "int8")


def element(name, origin=0, **captures):
    return Element(A, captures, origin, name, (name,))


def grouped(*elements, names=("w", "s")):
    return [dict(found) for found in combinations(elements, names)]


def test_arrays_with_equal_captures_are_combined():
    found = grouped(element("w", i="0"), element("w", i="1"), element("s", 1, i="1"), element("s", 1, i="0"))
    assert [{"w": [0], "s": [3]}, {"w": [1], "s": [2]}] == found


def test_captures_that_only_some_names_have_do_not_count():
    assert [{"w": [0], "s": [1]}] == grouped(element("w", i="0", j="7"), element("s", 1, i="0"))


def test_other_names_are_left_alone():
    assert [{"w": [0], "s": [2]}] == grouped(element("w", i="0"), element("b", 2, i="0"), element("s", 1, i="0"))
    assert [] == grouped(element("b"))


def test_a_joined_element_keeps_what_all_share():
    made = joined([element("w", i="0", n="q"), element("s", 1, i="1", n="q")], A)
    assert ({"n": "q"}, None, "w", ("w",)) == (made.captures, made.origin, made.name, made.first)


def test_names_keep_reductions_apart_only_if_a_rule_binds_them():
    one, other = element("w"), element("s")
    assert reduction_key(one, None, set(), named=False) == reduction_key(other, None, set(), named=False)
    assert reduction_key(one, None, set(), named=True) != reduction_key(other, None, set(), named=True)


def test_an_extended_element_has_a_new_capture_or_a_destination():
    assert {"i": "3"} == extended(element("w"), A, "i", 3).captures
    assert 3 == extended(element("w"), A, None, 3).destination


def test_a_leaf_without_shape_goes_through_no_op():
    with pytest.raises(OpError):
        aval_of(Element(None, {}, 0, "w", ("w",)))
