"""A run with several workers writes what a run of one process writes, whatever happens to it.

The workers are threads here. Covers `sharing.workers`, `sharing.worker` and `sharing.staging` too.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import orbax.checkpoint as ocp
import pytest

from migrate.engine import run
from migrate.engine.outputs import orbax_store
from migrate.engine.sharing import pool_workers, worker
from migrate.engine.sharing.pool_workers import PoolWorkers
from migrate.engine.sharing.pools import GivenExecutor
from migrate.engine.workspace.attempts import attempts
from migrate.errors import RefusedError, StoppedError, VerifyError
from migrate.events import LeafDone, PhaseStarted
from tests.engine.sharing.shared_runs import RULES, STREAMED, After, applied, same, tree, values, workspace
from tests.engine.sources import apply_plan, every_kind, opened, plan_for, save
from tests.engine.verification.conftest import change


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Each array is durable before the next."""
    monkeypatch.setattr(orbax_store, "BATCH_ARRAYS", 1)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_writes_the_same_checkpoint(source, alone, workers, tmp_path):
    receipt = applied(source, tmp_path / "new", workers)
    assert alone[0].leaf_digests == receipt.leaf_digests
    assert (alone[0].verified_leaves, alone[0].linked) == (receipt.verified_leaves, receipt.linked)
    same(alone[1], values(tmp_path / "new"))
    assert ["new"] == [child.name for child in tmp_path.iterdir()]


def test_plain_orbax_restores_what_workers_wrote(source, tmp_path):
    applied(source, tmp_path / "new", 3)
    restored = ocp.StandardCheckpointer().restore(tmp_path / "new")
    for i, array in tree()["turned"].items():
        np.testing.assert_array_equal(np.asarray(array).T, restored["flipped"][i])


def test_a_checkpoint_that_workers_wrote_is_a_source(source, alone, tmp_path):
    applied(source, tmp_path / "new", 3)
    back = "rules: [{from: 'flipped/{i}', to: 'turned/{i}', ops: [{transpose: [1, 0]}]}]"
    applied(tmp_path / "new", tmp_path / "back", 2, rules=back)
    found = values(tmp_path / "back")
    for i, array in tree()["turned"].items():
        np.testing.assert_array_equal(np.asarray(array), found["turned", i])


def test_leaves_of_every_kind_are_shared(tmp_path):
    old = save(tmp_path / "old", every_kind())
    for name, workers in (("one", None), ("two", 2)):
        applied(old, tmp_path / name, workers, rules="rules: []", compression="zstd:3")
    same(values(tmp_path / "one"), values(tmp_path / "two"))


def test_items_of_a_step_are_shared(tmp_path):
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        items = {"params": {"w": np.arange(600.0).reshape(20, 30)}, "ema": {"w": np.ones((20, 30), "float32")}}
        args = {name: ocp.args.StandardSave(item) for name, item in items.items()}
        manager.save(0, args=ocp.args.Composite(**args, extra=ocp.args.JsonSave({"a": 1})))
    rules = "rules: [{from: '{item}/w', to: '{item}/v', ops: [{transpose: [1, 0]}]}]"
    for name, workers in (("one", None), ("two", 2)):
        applied(tmp_path / "root", tmp_path / name, workers, rules=rules)
    same(values(tmp_path / "one"), values(tmp_path / "two"))
    assert {("params", "v"), ("ema", "v")} == values(tmp_path / "two").keys()


@pytest.mark.parametrize("target", ["new", "new.safetensors"])
@pytest.mark.parametrize("verify", ["digest", "decode", "none"])
def test_workers_compare_what_they_stream_with_the_digests_of_the_source(recorded, tmp_path, target, verify):
    rules = RULES.replace("- {from: name, to: title}", "- drop: name")
    alone = applied(recorded, tmp_path / "alone" / target, rules=rules, verify=verify)
    receipt = applied(recorded, tmp_path / target, 2, rules=rules, verify=verify)
    assert alone.inputs == receipt.inputs
    assert (receipt.inputs > 0) == (verify != "none")
    assert "source" not in receipt.seconds


@pytest.mark.parametrize("target", ["new", "new.safetensors"])
@pytest.mark.parametrize("name", ["turned.5", "flat.3"])
def test_a_worker_refuses_a_changed_leaf(recorded, tmp_path, target, name):
    change(recorded, name)
    rules = RULES.replace("- {from: name, to: title}", "- drop: name")
    with pytest.raises(VerifyError) as failure:
        applied(recorded, tmp_path / target, 2, rules=rules)
    assert "M516" == failure.value.diagnostics[0].code
    assert (name.replace(".", "/"),) == failure.value.diagnostics[0].paths
    assert ["recorded"] == [child.name for child in tmp_path.iterdir()]


def test_without_verification_workers_compare_nothing(recorded, tmp_path):
    change(recorded, "turned.5")
    assert 0 == applied(recorded, tmp_path / "new", 2, verify="none").inputs


def test_a_process_refuses_a_changed_leaf(recorded, tmp_path):
    change(recorded, "turned.5")
    with opened(recorded) as reader, ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        plan, workers = plan_for(reader, RULES), PoolWorkers(GivenExecutor(executor))
        with pytest.raises(VerifyError, match="has changed since") as failure:
            apply_plan(plan, reader, tmp_path / "new", workers=workers)
    assert ("turned/5",) == failure.value.diagnostics[0].paths
    assert not (tmp_path / "new").exists()


def test_every_leaf_is_reported_once(source, tmp_path):
    heard = []
    applied(source, tmp_path / "new", 2, listener=heard.append)
    staged = [event.path for event in heard if isinstance(event, LeafDone) and event.phase == "stage"]
    assert len(staged) == len(set(staged))
    assert STREAMED <= set(staged)
    verified = [event.path for event in heard if isinstance(event, LeafDone) and event.phase == "verify"]
    assert sorted(STREAMED) == sorted(verified)
    begun = next(event for event in heard if isinstance(event, PhaseStarted) and event.phase == "stage")
    assert len(staged) == begun.leaves


def test_what_a_worker_refuses_is_refused_at_once(source, tmp_path, monkeypatch):
    calls = []
    original = worker.run_share
    monkeypatch.setattr(pool_workers, "run_share", lambda *args: (calls.append(args), original(*args))[1])
    rules = "rules: [{from: 'turned/0', to: a, ops: [{cast: float16}]}]"
    with pytest.raises(RefusedError, match="would change"):
        applied(source, tmp_path / "new", 2, rules=rules)
    assert len(calls) <= 2
    assert [] == list(tmp_path.iterdir())


def test_a_stopped_run_is_resumed_by_any_number_of_workers(source, alone, tmp_path):
    with pytest.raises(StoppedError):
        applied(source, tmp_path / "new", 2, stopped=After(3))
    for workers in (3, None):
        with pytest.raises(StoppedError):
            applied(source, tmp_path / "new", workers, stopped=After(0))
    receipt = applied(source, tmp_path / "new")
    same(alone[1], values(tmp_path / "new"))
    assert alone[0].leaf_digests == receipt.leaf_digests


def test_what_a_failed_run_staged_is_not_staged_again(source, alone, tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(run, "merge_shares", fails)
        with pytest.raises(StoppedError):
            applied(source, tmp_path / "new", 2)
    work = workspace(source, tmp_path / "new")
    assert attempts(work.path)
    heard = []
    receipt = applied(source, tmp_path / "new", 3, listener=heard.append)
    assert len(STREAMED) == receipt.resumed
    assert [] == [e for e in heard if isinstance(e, LeafDone) and e.phase == "stage" and e.path in STREAMED]
    same(alone[1], values(tmp_path / "new"))


def test_a_run_that_failed_after_the_shares_were_joined_is_resumed(source, alone, tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(run, "publish", fails)
        with pytest.raises(StoppedError):
            applied(source, tmp_path / "new", 2)
    receipt = applied(source, tmp_path / "new")
    assert len(STREAMED) == receipt.resumed
    same(alone[1], values(tmp_path / "new"))
    assert ["new"] == [child.name for child in tmp_path.iterdir()]


def test_a_damaged_array_is_found_by_the_workers_that_read_it_back(source, tmp_path, monkeypatch):
    original = run.merge_shares

    def damaging(errand, shared):
        original(errand, shared)
        largest = max(errand.work.staged.glob("*/ocdbt.process_*/d/*"), key=lambda file: file.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 255
        largest.write_bytes(content)

    monkeypatch.setattr(run, "merge_shares", damaging)
    with pytest.raises(VerifyError):
        applied(source, tmp_path / "new", 2)
    assert [] == list(tmp_path.iterdir())


def test_shares_with_other_options_are_not_used(source, alone, tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(run, "merge_shares", fails)
        with pytest.raises(StoppedError):
            applied(source, tmp_path / "new", 2)
    receipt = applied(source, tmp_path / "new", 2, compression="zstd:2")
    assert 0 == receipt.resumed
    same(alone[1], values(tmp_path / "new"))
    with opened(tmp_path / "new") as reader:
        leaves = reader.abstract().tree.leaves
    assert {"zstd:2"} == {leaves[path].storage.codec for path in STREAMED}
