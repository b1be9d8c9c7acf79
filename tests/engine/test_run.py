"""Apply: DST appears whole and verified, or not at all; SRC is never touched."""

import hashlib
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

import migrate
from migrate.engine import run
from migrate.engine.verification.values import verify
from migrate.errors import CheckpointError, MigrateError, PlanError, RefusedError, VerifyError
from migrate.events import LeafDone, PhaseDone
from migrate.formats.zarr import store as zarr_store
from migrate.formats.zarr.references import references
from migrate.formats.zarr.shard_index import INDEX_BYTES
from migrate.rules.loader import parse_rules
from tests.engine.sources import apply_plan, every_kind, opened, plan_for, save


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save(tmp_path_factory.mktemp("source") / "old", every_kind())


def files(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(root).rglob("*")
        if path.is_file()
    }


def applied(source, target, rules="rules: []", *, link=True, **options):
    with opened(source) as reader:
        return apply_plan(plan_for(reader, rules, link=link), reader, target, how=run.apply, **options)


def words(leaf):
    is_key = hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def test_every_kind_of_leaf_comes_back_from_plain_orbax_unchanged(source, tmp_path):
    applied(source, tmp_path / "new")
    with ocp.StandardCheckpointer() as checkpointer:
        old, new = checkpointer.restore(source), checkpointer.restore(tmp_path / "new")
    assert jax.tree.structure(old) == jax.tree.structure(new)
    for one, other in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True):
        assert type(one) is type(other)
        assert words(one).dtype == words(other).dtype
        assert words(one).tobytes() == words(other).tobytes()


def test_the_source_is_left_as_it_was(source, tmp_path):
    before = files(source)
    applied(source, tmp_path / "new", 'rules: ["params/** -> model/**"]')
    assert before == files(source)


def test_nothing_but_the_destination_is_left_behind(source, tmp_path):
    applied(source, tmp_path / "new")
    assert ["new"] == os.listdir(tmp_path)


def test_the_receipt_has_a_digest_for_every_array_and_number(source, tmp_path):
    receipt = applied(source, tmp_path / "new")
    assert {"kernel", "bias", "mu", "key", "wide", "f8", "i4", "flags", "c", "zero_d", "step", "lr", "done"} == {
        path[-1] for path in receipt.leaf_digests
    }
    assert {"stage", "commit", "verify"} == set(receipt.seconds)


def test_an_existing_destination_is_refused_and_kept(source, tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(RefusedError) as refusal:
        applied(source, tmp_path / "new")
    assert ["M501"] == [d.code for d in refusal.value.diagnostics]
    assert [] == os.listdir(tmp_path / "new")


def test_overwrite_replaces_only_after_success(source, tmp_path):
    applied(source, tmp_path / "new")
    before = files(tmp_path / "new")
    failing = "rules: [{from: wide, to: wide, ops: [{cast: int8}]}]"
    with pytest.raises(RefusedError):
        applied(source, tmp_path / "new", failing, overwrite=True)
    assert before == files(tmp_path / "new")
    applied(source, tmp_path / "new", 'rules: ["params/** -> model/**"]', overwrite=True)
    with opened(tmp_path / "new") as reader:
        assert ("model", "kernel") in reader.abstract().tree.leaves
    assert ["new"] == os.listdir(tmp_path)


def test_a_cast_that_would_change_a_value_publishes_nothing(source, tmp_path):
    with pytest.raises(RefusedError) as refusal:
        applied(source, tmp_path / "new", "rules: [{from: wide, to: wide, ops: [{cast: int8}]}]")
    assert ["M503"] == [d.code for d in refusal.value.diagnostics]
    assert [] == os.listdir(tmp_path)


def test_a_drop_that_asserts_zero_refuses_values(source, tmp_path):
    with pytest.raises(RefusedError) as refusal:
        applied(source, tmp_path / "new", "rules: [{drop: {from: params/kernel, assert: zero}}]")
    assert ["M504"] == [d.code for d in refusal.value.diagnostics]
    assert "47 of its values" in refusal.value.diagnostics[0].message
    assert [] == os.listdir(tmp_path)


def test_a_plan_with_errors_is_not_run(source, tmp_path):
    with pytest.raises(PlanError):
        applied(source, tmp_path / "new", 'rules: ["nope -> x"]')
    assert [] == os.listdir(tmp_path)


def test_code_runs_only_when_it_is_allowed(source, tmp_path):
    rules = 'rules: [{from: lr, to: lr, ops: [{call: "numpy:negative"}]}]'
    with pytest.raises(RefusedError) as refusal:
        applied(source, tmp_path / "new", rules)
    assert ["M506"] == [d.code for d in refusal.value.diagnostics]
    applied(source, tmp_path / "new", rules, allow_code=True)
    with opened(tmp_path / "new") as reader:
        assert -0.5 == reader.read(("lr",))


def test_an_unwritable_place_is_one_sentence(source):
    with pytest.raises(MigrateError) as failure:
        applied(source, Path("/proc/nowhere/new"))
    assert ["M507"] == [d.code for d in failure.value.diagnostics]


def test_listeners_hear_of_every_leaf_and_phase(source, tmp_path):
    heard = []
    applied(source, tmp_path / "new", link=False, verify="full", listener=heard.append)
    assert ["stage", "commit", "verify"] == [event.phase for event in heard if isinstance(event, PhaseDone)]
    staged = [event.path for event in heard if isinstance(event, LeafDone) and event.phase == "stage"]
    verified = [event.path for event in heard if isinstance(event, LeafDone) and event.phase == "verify"]
    assert sorted(staged) == sorted(verified)


@pytest.mark.parametrize("mode", ["digest", "none"])
def test_verification_can_be_cheaper(source, tmp_path, mode):
    receipt = applied(source, tmp_path / "new", verify=mode)
    assert mode == receipt.verified
    assert {"digest": 13, "none": 0}[mode] == receipt.verified_leaves


def test_verification_finds_a_leaf_that_differs(source, tmp_path):
    applied(source, tmp_path / "new")
    applied(source, tmp_path / "other", "rules: [{from: params/kernel, to: params/kernel, ops: [{flip: {axis: 0}}]}]")
    with opened(source) as reader, pytest.raises(VerifyError) as failure:
        verify(plan_for(reader), reader, tmp_path / "other")
    assert ["M505"] == [d.code for d in failure.value.diagnostics]
    assert "`params/kernel`" in failure.value.diagnostics[0].message


def test_verification_finds_what_is_missing_and_what_was_never_meant(source, tmp_path):
    applied(source, tmp_path / "other", 'rules: ["lr -> rate"]')
    with opened(source) as reader, pytest.raises(VerifyError) as failure:
        verify(plan_for(reader), reader, tmp_path / "other")
    assert {"`lr`: it is missing", "`rate`: it is not in the plan"} == {d.message for d in failure.value.diagnostics}


def test_zarr3_sources_stay_zarr3(tmp_path):
    handler = ocp.PyTreeCheckpointHandler(use_zarr3=True)
    with ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave({"a": jax.numpy.arange(6.0)}))
    applied(tmp_path / "old", tmp_path / "new")
    with opened(tmp_path / "new") as reader:
        assert reader.abstract().zarr3


def test_what_the_source_kept_in_its_metadata_is_carried_over(tmp_path):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave({"a": 1}), custom_metadata={"run": "x12"})
    applied(tmp_path / "old", tmp_path / "new")
    with ocp.StandardCheckpointer() as checkpointer:
        metadata = checkpointer.metadata(tmp_path / "new").custom_metadata
    assert "x12" == metadata["run"]
    assert "sha256:" == metadata["migrate"]["structure_hash"][:7]


def test_the_same_rules_are_not_applied_twice(source, tmp_path):
    rules = 'rules: ["params/** -> model/**"]'
    applied(source, tmp_path / "new", rules)
    with opened(tmp_path / "new") as reader:
        assert "M502" in [d.code for d in plan_for(reader, rules).diagnostics]


def test_a_changed_file_is_found_by_the_checkpoints_own_record(source, tmp_path):
    applied(source, tmp_path / "new")
    metadata = tmp_path / "new" / "_METADATA"
    metadata.write_text(metadata.read_text().replace('"zero_d"', '"nil_d"').replace("'zero_d'", "'nil_d'"))
    with opened(source) as reader:
        reader.abstract()
    with pytest.raises(MigrateError), opened(tmp_path / "new") as reader:
        raise PlanError(*plan_for(reader).diagnostics)


def test_several_items_stay_several_items(tmp_path):
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        args = ocp.args.Composite(
            state=ocp.args.StandardSave({"w": jax.numpy.ones(3)}),
            ema=ocp.args.StandardSave({"w": jax.numpy.zeros(3)}),
            notes=ocp.args.JsonSave({"lr": 1}),
        )
        manager.save(5, args=args)
    applied(tmp_path / "root", tmp_path / "again" / "5")
    with ocp.CheckpointManager(tmp_path / "again") as manager:
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(), ema=ocp.args.StandardRestore(), notes=ocp.args.JsonRestore()
        )
        restored = manager.restore(5, args=args)
    assert {"lr": 1} == restored["notes"]
    assert [1.0, 0.0] == [float(restored[name]["w"][0]) for name in ("state", "ema")]


def test_results_that_are_put_together_as_items_of_a_step_are_a_sound_source(source, tmp_path):
    for name in ("state", "ema"):
        applied(source, tmp_path / "root" / "0" / name)
    with opened(tmp_path / "root") as reader:
        assert () == plan_for(reader).diagnostics


@pytest.mark.parametrize("place", ["root/old", "root/old/new", "root"])
def test_a_destination_that_overlaps_the_source_is_refused_whatever_is_allowed(source, tmp_path, place):
    shutil.copytree(source, tmp_path / "root" / "old")
    before = files(tmp_path)
    with pytest.raises(RefusedError) as refusal:
        applied(tmp_path / "root" / "old", tmp_path / place, overwrite=True)
    assert ["M511"] == [d.code for d in refusal.value.diagnostics]
    assert before == files(tmp_path)


def test_a_plan_needs_no_more_memory_than_it_will_be_given(tmp_path):
    save(tmp_path / "old", {"w": np.zeros((1 << 10, 1 << 10), np.float32)})
    rules = parse_rules("migrate: 1\nrules: [{from: w, to: w, ops: [transpose]}]", "rules.yaml")
    with migrate.open_checkpoint(tmp_path / "old") as checkpoint:
        peaks = [migrate.plan(checkpoint, rules, max_ram=limit).peak_host_bytes for limit in (None, 1 << 30, 1 << 20)]
    assert [8 << 20, 8 << 20, 1 << 20] == peaks


@pytest.mark.parametrize("verify", ["digest", "full"])
def test_an_altered_index_of_a_shard_that_is_larger_than_the_budget_publishes_nothing(tmp_path, verify):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_zarr3=True)) as checkpointer:
        tree = {"w": np.arange(1 << 23, dtype=np.float32).reshape(2048, 4096)}
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave(tree))
    applied(tmp_path / "old", tmp_path / "plain", link=False, compression="none")
    shard = references(tmp_path / "plain")["w/c/0/0"]
    with (tmp_path / "plain" / shard.file).open("r+b") as file:
        file.seek(shard.offset + shard.length - INDEX_BYTES)
        file.write((4).to_bytes(8, "little"))  # the part seems to begin one element later
    rules = "rules: [{from: w, to: v, ops: [transpose]}]"
    with pytest.raises(CheckpointError, match=r"the checksum of its index|Error decoding shard index") as caught:
        applied(tmp_path / "plain", tmp_path / "new", rules, max_ram=64 << 20, verify=verify)
    assert [("M404", ("w",))] == [(found.code, tuple(found.paths)) for found in caught.value.diagnostics]
    assert not (tmp_path / "new").exists()


def test_leaves_without_data_never_share_a_place(tmp_path):
    """Their key paths are stored whole, so that `a.b` and `a/b` differ, for Orbax as well."""
    tree = {"a": {"b": None, "c": {}, "w": np.ones(2, np.float32)}, "a.b": None, "a.c": None}
    with opened(save(tmp_path / "old", tree)) as reader:
        run.apply(plan_for(reader), reader, tmp_path / "new")
        with opened(tmp_path / "new") as new:
            assert reader.abstract().structure_hash == new.abstract().structure_hash
    with ocp.PyTreeCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "new")
    assert (None, {}, None, None) == (restored["a"]["b"], restored["a"]["c"], restored["a.b"], restored["a.c"])


def test_a_large_array_of_zeros_whose_chunks_take_almost_no_bytes_is_migrated(tmp_path, monkeypatch):
    monkeypatch.setattr(zarr_store, "_BEST_RATIO", 100)  # with the real one, only arrays of a gigabyte tell
    path = save(tmp_path / "old", {"w": np.zeros((80 << 20) // 4, np.float32)})
    applied(path, tmp_path / "new", 'rules: ["w -> v"]', link=False)
    with opened(tmp_path / "new") as reader:
        value = reader.read(("v",))
    assert (80 << 20, 0) == (value.nbytes, np.count_nonzero(value))


@pytest.mark.parametrize("same", [True, False], ids=["the same command", "another command"])
def test_a_run_that_gets_the_lock_after_another_published_leaves_nothing(source, tmp_path, monkeypatch, same):
    target, known = tmp_path / "new", run.open_workspace

    def late(*arguments, **options):
        monkeypatch.setattr(run, "open_workspace", known)
        applied(source, target, "rules: []" if same else "rules: ['step -> steps']")
        return known(*arguments, **options)

    monkeypatch.setattr(run, "open_workspace", late)
    if same:
        assert applied(source, target).already_done
    else:
        with pytest.raises(RefusedError, match="exists"):
            applied(source, target)
    assert ["new"] == os.listdir(tmp_path)
