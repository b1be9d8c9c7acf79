"""With `decode` and `full`, a run compares what ops read from the source with the digests that the source records."""

import jax.numpy as jnp
import pytest

import migrate
from migrate.errors import CheckpointError, VerifyError
from migrate.events import LeafDone, PhaseStarted
from migrate.report.of_receipt import receipt_report
from tests.engine.sources import apply_plan, opened, plan_for, save
from tests.engine.verification.conftest import chunks, swap

ROWS = """rules:
  - {from: w0, to: turned, ops: [{flip: {axis: 0}}]}
  - {from: [w1, w2], to: stacked, ops: [{stack: 0}]}
"""


@pytest.fixture
def recorded(tmp_path):
    """A checkpoint of four arrays of one chunk that records digests."""
    source = save(tmp_path / "old", {f"w{i}": jnp.arange(4096.0) + i for i in range(4)})
    migrate.stamp(source, digests=True)
    return source


def run(source, folder, **options):
    with opened(source) as reader:
        return apply_plan(plan_for(reader, ROWS), reader, folder, **options)


@pytest.mark.parametrize(("mode", "inputs"), [("digest", 0), ("none", 0), ("decode", 3), ("full", 3)])
def test_leaves_that_ops_change_are_compared_with_their_digests_streamed_or_linked(tmp_path, recorded, mode, inputs):
    heard = []
    receipt = run(recorded, tmp_path / "new", verify=mode, listener=heard.append)
    assert inputs == receipt.inputs
    phases = [event for event in heard if isinstance(event, PhaseStarted)]
    assert (["source"] if inputs else []) == [event.phase for event in phases if event.phase == "source"]
    assert not inputs or phases[0] == PhaseStarted("source", 3, 3 * 4096 * 4)
    compared = [event for event in heard if isinstance(event, LeafDone) and event.phase == "source"]
    assert {LeafDone("source", (f"w{i}",), 4096 * 4) for i in range(inputs)} == set(compared)


def test_kept_leaves_that_are_streamed_are_compared_and_leaves_without_data_are_not_counted(tmp_path):
    migrate.stamp(save(tmp_path / "old", {"a": jnp.arange(8.0), "b": {}}), digests=True)
    with opened(tmp_path / "old") as reader:
        plan = plan_for(reader, link=False)
        receipt = apply_plan(plan, reader, tmp_path / "new", verify="full")
    assert 1 == receipt.inputs
    assert any("1 leaf of the source, streamed or used by ops" in line for line in receipt_report(receipt).summary)


@pytest.mark.parametrize(("one", "other", "changed"), [("w0", "w3", ("w0",)), ("w1", "w2", ("w1", "w2"))])
@pytest.mark.parametrize("mode", ["decode", "full"])
def test_a_source_whose_values_changed_is_refused_before_anything_is_staged(
    tmp_path, recorded, mode, one, other, changed
):
    swap(recorded, one, other)
    heard = []
    with pytest.raises(VerifyError, match="changed since its digests were recorded") as failure:
        run(recorded, tmp_path / "new", verify=mode, listener=heard.append)
    assert ["M516"] == [found.code for found in failure.value.diagnostics]
    assert changed == failure.value.diagnostics[0].paths
    assert not [event for event in heard if isinstance(event, PhaseStarted) and event.phase == "stage"]
    assert not (tmp_path / "new").exists()


def test_the_default_does_not_read_the_source_again(tmp_path, recorded):
    swap(recorded, "w0", "w3")
    assert 0 == run(recorded, tmp_path / "new").inputs


def test_a_source_without_digests_has_nothing_to_be_compared_with(tmp_path):
    source = save(tmp_path / "old", {f"w{i}": jnp.arange(4.0) + i for i in range(4)})
    assert 0 == run(source, tmp_path / "new", verify="full").inputs


def test_a_chunk_that_cannot_be_decoded_is_named(tmp_path, recorded):
    chunks(recorded).write("w0/0", b"no chunk").result()
    with pytest.raises(CheckpointError, match="`w0`"):
        run(recorded, tmp_path / "new", verify="decode")
