"""Values are compared bit for bit."""

import numpy as np
import pytest

from migrate import dtypes
from migrate.engine.verification.compare import Unrestorable, differences
from tests.engine.sources import opened, plan_for, save

NAN = np.float32("nan")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = save(tmp_path_factory.mktemp("source") / "old", {"a": np.ones(3, np.float32), "empty": {}})
    with opened(path) as reader:
        return plan_for(reader)


def found(plan, expected, restored):
    return [d.message for d in differences(plan, {("a",): expected}, {("a",): restored})]


@pytest.mark.parametrize(
    "value", [np.array([1, NAN, -0.0], np.float32), np.zeros((0, 2)), np.array(7), "text", np.array([True])], ids=repr
)
def test_equal_bits_are_no_difference(plan, value):
    assert [] == found(plan, value, value if isinstance(value, str) else value.copy())


def test_the_first_difference_is_shown_with_both_values(plan):
    one, other = np.array([1, 2, 3, 4], np.float32), np.array([1, 5, 3, 6], np.float32)
    assert ["`a`: 2 of 4 values differ, max |Δ| 3 (relative 1.5), ‖Δ‖ 3.61; the first at 1: 5.0, not 2.0"] == found(
        plan, one, other
    )


def test_zeros_of_two_signs_differ(plan):
    assert 1 == len(found(plan, np.float32([0.0]), np.float32([-0.0])))


def test_shapes_and_dtypes_have_to_be_equal(plan):
    assert ["`a`: it is read back as float64[3], not float32[3]"] == found(plan, np.ones(3, np.float32), np.ones(3))
    assert ["`a`: it is read back as float32[3, 1], not float32[3]"] == found(
        plan, np.ones(3, np.float32), np.ones((3, 1), np.float32)
    )


def test_typed_keys_are_compared_by_their_words(plan):
    words = np.arange(6, dtype=np.uint32).reshape(3, 2)
    keys = words.view(dtypes.to_numpy("key<fry>")).reshape(3)
    assert [] == found(plan, keys, words)
    assert 1 == len(found(plan, keys, words + 1))


def test_strings_are_shown(plan):
    assert ["`a`: it is read back as 'b', not 'a'"] == found(plan, "a", "b")


def test_what_cannot_be_restored_has_its_reason_and_what_is_lost_is_missing(plan):
    assert ["`a`: Orbax cannot restore it: bad chunk"] == found(plan, np.ones(3), Unrestorable("bad chunk"))
    assert ["`a`: it is missing"] == [d.message for d in differences(plan, {("a",): np.ones(3)}, {})]


def test_leaves_without_data_are_not_compared(plan):
    assert [] == list(differences(plan, {("empty",): {}}, {}))
