"""Values of two checkpoints, and of a plan's result and a checkpoint, compared in parts."""

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from migrate.engine.streaming.array_sources import SCRATCH_CHUNK_BYTES
from migrate.engine.verification import value_diff
from migrate.engine.verification.value_diff import diff_checkpoints, diff_result
from tests.engine.sources import every_kind, opened, plan_for, save

BUDGET = 1 << 18
LARGE = np.random.default_rng(0).normal(size=(512, 256)).astype(np.float32)


@pytest.fixture
def sizes(monkeypatch):
    """The bytes of each pair of arrays that is compared at once."""
    found = []

    def measured(expected, other):
        found.append(max(np.asarray(side).nbytes for side in (expected, other)))
        return measure(expected, other)

    measure = value_diff.measure
    monkeypatch.setattr(value_diff, "measure", measured)
    return found


def compare(one, other, **options):
    with opened(one) as ours, opened(other) as theirs:
        pairs = {path: path for path, leaf in theirs.abstract().tree.leaves.items() if leaf.has_data}
        return diff_checkpoints(ours, theirs, pairs, max_ram=BUDGET, **options)


def test_every_kind_of_leaf_equals_itself(tmp_path):
    path = save(tmp_path / "one", every_kind())
    found = compare(path, path)
    assert {} == found.differing
    assert () == found.skipped
    assert 12 <= len(found.changes)


def test_leaves_that_differ_are_found(tmp_path):
    one, other = every_kind(), every_kind()
    other["params"]["bias"] = other["params"]["bias"] + 2
    other["key"] = jax.random.split(jax.random.key(2), 3)
    other["step"] = 8
    found = compare(save(tmp_path / "one", one), save(tmp_path / "other", other))
    assert {("params", "bias"), ("key",), ("step",)} == found.differing.keys()
    assert (3, 2.0) == (found.changes["params", "bias"].differing, found.changes["params", "bias"].largest)


def test_a_leaf_larger_than_the_budget_is_compared(tmp_path):
    changed = LARGE.copy()
    changed[500, 3] += 3
    found = compare(*(save(tmp_path / name, {"a": array}) for name, array in (("one", LARGE), ("other", changed))))
    assert (1, LARGE.size) == (found.changes["a",].differing, found.changes["a",].elements)
    assert 3.0 == pytest.approx(found.changes["a",].largest, rel=1e-5)


def test_a_leaf_that_is_stored_flat_is_compared_in_windows(tmp_path, sizes):
    array = np.random.default_rng(0).normal(size=(1024, 1024)).astype(np.float32)
    save_file({"a": array}, tmp_path / "one.safetensors")
    array[-1, -1] = np.nan
    save_file({"a": array}, tmp_path / "other.safetensors")
    found = compare(tmp_path / "one.safetensors", tmp_path / "other.safetensors")
    assert (1, (0, 1)) == (found.changes["a",].differing, found.changes["a",].nan)
    assert len(sizes) > 1
    assert max(sizes) <= SCRATCH_CHUNK_BYTES < array.nbytes


def test_leaves_of_other_shapes_are_skipped(tmp_path):
    one = save(tmp_path / "one", {"a": np.zeros(3), "b": np.zeros(2)})
    found = compare(one, save(tmp_path / "other", {"a": np.zeros(4), "b": np.zeros(2)}))
    assert ((("a",),), {("b",)}) == (found.skipped, found.changes.keys())


RULES = "rules: ['a -> b', {from: c, to: d, ops: [transpose]}, {from: 'e/{i}', to: f, ops: [stack]}]"


def result_of(tmp_path, target):
    source = {"a": LARGE, "c": LARGE, "e": {"0": LARGE, "1": LARGE + 1}}
    path, other = save(tmp_path / "one", source), save(tmp_path / "other", target)
    with opened(path) as ours, opened(other) as theirs:
        plan = plan_for(ours, RULES)
        return diff_result(plan, ours, theirs, list(plan.target.leaves), max_ram=BUDGET)


def test_the_result_of_rules_is_compared_in_parts(tmp_path):
    turned = LARGE.T.copy()
    turned[3, 5] = 99
    found = result_of(tmp_path, {"b": LARGE, "d": turned, "f": np.stack([LARGE, LARGE + 1])})
    assert {("d",)} == found.differing.keys()
    assert (1, LARGE.size) == (found.changes["d",].differing, found.changes["d",].elements)


def test_a_target_that_the_other_side_lacks_is_skipped(tmp_path):
    found = result_of(tmp_path, {"b": LARGE, "f": np.stack([LARGE, LARGE])})
    assert (("d",),) == found.skipped
    assert {("f",)} == found.differing.keys()


def test_every_compared_leaf_is_an_event(tmp_path):
    path = save(tmp_path / "one", {"a": np.zeros(3), "b": np.zeros(2)})
    events = []
    compare(path, path, listener=events.append)
    assert ["PhaseStarted", "LeafDone", "LeafDone", "PhaseDone"] == [type(event).__name__ for event in events]
    assert {"compare"} == {event.phase for event in events}
