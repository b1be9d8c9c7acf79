"""Everything that a plan makes, piece by piece, and the assertions that come before."""

from dataclasses import replace

import numpy as np
import pytest

from migrate.engine.streaming.pieces import batches, check_assertions, pieces, produce
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
        made = [path for piece in pieces(plan, reader) for path in piece.targets]
        streamed = [path for piece in pieces(plan, reader, streamed_only=True) for path in piece.targets]
    assert sorted(plan.target.leaves) == sorted(made)
    assert [] == streamed


def test_only_streamed_tasks_are_left_where_the_rest_is_linked(source):
    with opened(source) as reader:
        plan = plan_for(reader, "rules: [{from: b, to: b, ops: [{flip: {axis: 0}}]}]")
        assert [("b",)] == [path for piece in pieces(plan, reader, streamed_only=True) for path in piece.targets]


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1, 1, 1, 1]), (100, [2, 2]), (1 << 20, [4])])
def test_small_pieces_are_put_together_up_to_the_limit(source, limit, sizes):
    with opened(source) as reader:
        plan = plan_for(reader)
        found = list(batches(plan, reader, limit))
        whole = {path: value for values in produce(plan, reader) for path, value in values.items()}
    assert sizes == [len(batch) for batch in found]
    assert whole.keys() == {path for batch in found for path in batch}


@pytest.mark.parametrize("limit", [64, 1 << 20])
def test_a_leaf_that_is_not_zero_is_refused_whatever_is_looked_at_at_once(source, limit):
    rules = "rules: [{drop: {from: a, assert: zero}}, {drop: {from: zero, assert: zero}}]"
    with opened(source) as reader:
        plan = plan_for(reader, rules)
        with pytest.raises(RefusedError) as refusal:
            check_assertions(plan, reader, limit)
        assert [("a",)] == [d.paths for d in refusal.value.diagnostics]
        assert "7 of its values are not" in refusal.value.diagnostics[0].message
        check_assertions(replace(plan, dropped=tuple(d for d in plan.dropped if d.source == ("zero",))), reader, limit)
