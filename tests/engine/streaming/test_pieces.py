"""Pieces of a plan, batches of small pieces, and `assertions` on dropped leaves."""

from dataclasses import replace

import numpy as np
import pytest

from migrate.engine.streaming.assertions import check_assertions
from migrate.engine.streaming.pieces import batches, pieces, produce
from migrate.errors import RefusedError
from tests.engine.sources import opened, plan_for, save

RULES = "rules: [{from: b, to: b, ops: [{flip: {axis: 0}}]}, {create: {to: fresh, init: zeros}}]"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    tree = {name: np.arange(8.0) + number for number, name in enumerate("abc")}
    return save(tmp_path_factory.mktemp("source") / "old", {**tree, "zero": np.zeros((64, 4))})


def test_every_target_is_in_one_piece(source):
    with opened(source) as reader:
        plan = plan_for(reader)
        every = [path for piece in pieces(plan, reader) for path in piece.targets]
        streamed = [path for piece in pieces(plan, reader, streamed_only=True) for path in piece.targets]
    assert sorted(plan.target.leaves) == sorted(every)
    assert [] == streamed


def test_linked_tasks_are_omitted_on_request(source):
    with opened(source) as reader:
        plan = plan_for(reader, "rules: [{from: b, to: b, ops: [{flip: {axis: 0}}]}]")
        assert [("b",)] == [path for piece in pieces(plan, reader, streamed_only=True) for path in piece.targets]


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1, 1, 1, 1]), (100, [2, 2]), (1 << 20, [4])])
def test_small_pieces_are_combined_up_to_the_limit(source, limit, sizes):
    with opened(source) as reader:
        plan = plan_for(reader)
        found = list(batches(plan, reader, limit))
        whole = {path: value for values in produce(plan, reader) for path, value in values.items()}
    assert sizes == [len(batch) for batch in found]
    assert whole.keys() == {path for batch in found for path in batch}


@pytest.mark.parametrize("limit", [64, 1 << 20])
def test_a_leaf_that_is_not_zero_is_refused_for_any_limit(source, limit):
    rules = "rules: [{drop: {from: a, assert: zero}}, {drop: {from: zero, assert: zero}}]"
    with opened(source) as reader:
        plan = plan_for(reader, rules)
        with pytest.raises(RefusedError) as refusal:
            check_assertions(plan, reader, limit)
        assert [("a",)] == [d.paths for d in refusal.value.diagnostics]
        assert "7 of its values are not" in refusal.value.diagnostics[0].message
        check_assertions(replace(plan, dropped=tuple(d for d in plan.dropped if d.source == ("zero",))), reader, limit)
