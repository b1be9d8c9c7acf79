"""The list of layouts in a step's metadata, and which record each item has."""

import pytest

from migrate.formats.orbax.layouts import (
    StepLayout,
    layouts_of_one_state,
    metadata_of_items,
    present_layouts,
    recorded_layouts,
    with_layouts,
)

OLD, NEW = {"model": "lm", "version": 1}, {"model": "lm", "version": 2}
LAYOUTS = {"state_v2": StepLayout("state", NEW), "state_v3": StepLayout("state_v2", {"version": 3})}
CUSTOM = {"mine": 1, "migrate": OLD}


def test_listed_layouts_are_read_back_and_removed_again():
    listed = with_layouts(CUSTOM, LAYOUTS)
    assert LAYOUTS == recorded_layouts(listed)
    assert CUSTOM == with_layouts(listed, {})
    assert {"mine": 1} == with_layouts(with_layouts({"mine": 1}, LAYOUTS), {})


def test_every_item_has_its_own_record():
    listed = with_layouts(CUSTOM, LAYOUTS)
    assert {"mine": 1, "migrate": NEW} == metadata_of_items(listed, ["state_v2"])
    assert CUSTOM == metadata_of_items(listed, ["state"]) == metadata_of_items(listed, ["state", "other"])
    assert {"mine": 1} == metadata_of_items(with_layouts({"mine": 1}, LAYOUTS), ["state"])
    assert {"a": 1} == metadata_of_items({"a": 1}, ["state"])


def test_an_item_is_a_layout_while_its_origin_is_in_the_step():
    listed = with_layouts(CUSTOM, LAYOUTS)
    assert LAYOUTS == present_layouts(listed, ["state", "state_v2", "state_v3"])
    assert ["state_v3"] == list(present_layouts(listed, ["state_v2", "state_v3"]))
    assert {} == present_layouts(listed, ["state", "state_v3"]) == present_layouts(CUSTOM, ["state"])


def test_layouts_of_layouts_are_layouts_of_the_same_state():
    listed = with_layouts(CUSTOM, {**LAYOUTS, "other_v2": StepLayout("other", {})})
    for name in ("state", "state_v2", "state_v3"):
        assert {"state", "state_v2", "state_v3"} == layouts_of_one_state(listed, name)
    assert {"other", "other_v2"} == layouts_of_one_state(listed, "other")
    assert {"lonely"} == layouts_of_one_state(listed, "lonely")


ODD_ENTRIES = (1, {"item": 1, "record": {}}, {"item": "b"}, {"record": {}})


@pytest.mark.parametrize("record", [1, None, [], {"layouts": 1}, *({"layouts": {"a": entry}} for entry in ODD_ENTRIES)])
def test_entries_of_another_form_are_no_layouts(record):
    assert {} == recorded_layouts({"migrate": record})
    assert "mine" in metadata_of_items({"mine": 1, "migrate": record}, ["a"])


def test_layouts_that_name_each_other_end():
    circle = with_layouts({}, {"a": StepLayout("b", {}), "b": StepLayout("a", {})})
    assert {"a", "b"} == layouts_of_one_state(circle, "a")
