"""The receipt's numbers, and the clock that measures its phases."""

from pathlib import Path

import pytest

from migrate.engine.linking.link import LINKED
from migrate.engine.receipt import Clock, Receipt, phase, stage_phase
from migrate.events import PhaseDone, PhaseStarted, ignore
from migrate.tree import AbstractArray, AbstractLeaf
from tests.engine.sources import MIXED_RULES, mixed, opened, plan_for, save

LEAF = AbstractLeaf("array", AbstractArray((2, 3), "float32"))


def test_linked_arrays_are_not_counted_as_written():
    digests = {("a",): LINKED, ("b",): "xxh3:1", ("c",): "xxh3:2"}
    receipt = Receipt(Path("new"), "", "", digests, 0, 0, {}, "none", 0, linked=1)
    assert 2 == receipt.written


def test_a_clock_announces_a_phase_returns_its_result_and_records_its_time():
    heard = []
    clock = Clock(heard.append)
    assert "done" == clock(phase("verify", [LEAF, LEAF]), lambda: heard.append("work") or "done")
    assert [PhaseStarted("verify", 2, 48), "work", PhaseDone("verify", clock.seconds["verify"])] == heard


def test_a_phase_that_fails_has_no_time():
    clock = Clock(ignore)
    with pytest.raises(ZeroDivisionError):
        clock(phase("verify", []), lambda: 1 / 0)
    assert {} == clock.seconds


def test_staging_goes_through_what_is_streamed_and_begins_after_an_earlier_run(tmp_path):
    with opened(save(tmp_path / "old", mixed())) as reader:
        plan = plan_for(reader, MIXED_RULES)
    small, large = 8 * 16 * 4, 256 * 512 * 4
    assert PhaseStarted("stage", 6, 4 * small + large + 8) == stage_phase(plan, {})
    begun = stage_phase(plan, {("turned", "0"): None})
    assert (1, small) == (begun.done_leaves, begun.done_nbytes)
