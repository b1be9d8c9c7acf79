"""Slots of several states act as one."""

from migrate.planning.moments.slot_group import SlotGroup
from migrate.planning.moments.slots import Slot

GROUP = SlotGroup(
    (
        Slot(("a", "mu"), ("params", "a"), frozenset({("w",)})),
        Slot(("b", "mu"), ("params", "b"), frozenset({("w",), ("v",)})),
    )
)


def test_each_param_has_the_moment_of_its_own_slot():
    assert [("a", "mu", "w"), ("b", "mu", "v"), ("b", "mu", "w")] == list(GROUP.leaves)
    for moment, param in zip(GROUP.leaves, GROUP.params, strict=True):
        assert (moment, param, moment) == (GROUP.moment(param), GROUP.param(moment), GROUP.place(param))


def test_a_param_without_a_moment_still_has_a_place():
    assert GROUP.moment(("params", "a", "v")) is None
    assert ("a", "mu", "v") == GROUP.place(("params", "a", "v"))
    assert GROUP.covers(("params", "b", "x"))
    assert not GROUP.covers(("params", "c", "w"))
