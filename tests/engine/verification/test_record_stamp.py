"""The record that is added to a checkpoint later: where it is written, what Orbax reads, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx, serialization
from flax.training.train_state import TrainState
from orbax.checkpoint import v1

import migrate
from migrate.errors import CheckpointError, PlanError, UsageError, VerifyError
from migrate.formats.digest_record import FILE, changed_files, read_record
from migrate.metadata import KEY, Metadata
from tests.fixtures.eras import case_names, manifest, unpack
from tests.matrix import sampled

STATE = jax.device_put({"a": np.arange(8, dtype=np.float32), "b": {"c": np.ones((2, 3), np.float32)}})
METADATA = "_CHECKPOINT_METADATA"


def make():
    return {"a": jnp.zeros(8), "b": {"c": jnp.zeros((2, 3))}}


def net():
    return nnx.MultiHeadAttention(2, 8, rngs=nnx.Rngs(0), decode=False)


def standard(folder, state=STATE, **options):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder, state, **options)
    return folder


def managed(root, state=STATE, step=3, **options):
    with ocp.CheckpointManager(root) as manager:
        manager.save(step, args=ocp.args.StandardSave(state), **options)
    return root


def record_of(path, **options):
    with migrate.open_checkpoint(path, **options) as checkpoint:
        return Metadata.from_json(checkpoint.abstract.metadata)


def files_below(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_only_custom_metadata_changes_and_every_other_file_stays(tmp_path):
    root = managed(tmp_path / "root", custom_metadata={"epoch": 1})
    before = files_below(root)
    stamped = migrate.stamp(root, model="net", version=2).record
    after = files_below(root)
    place = Path("3", METADATA)
    assert (root / place, None) == (stamped.file, stamped.before)
    assert {place} == {path for path in {*before, *after} if before.get(path) != after.get(path)}
    old, new = json.loads(before[place]), json.loads(after[place])
    assert 1 == new["custom_metadata"].pop("epoch")
    assert [KEY] == list(new.pop("custom_metadata"))
    assert {name: value for name, value in old.items() if name != "custom_metadata"} == new


def test_the_record_describes_the_checkpoint(tmp_path):
    record = migrate.stamp(managed(tmp_path / "root"), model="net", version=2).record.record
    assert ("net", 2, 3) == (record.model, record.version, record.step)
    assert {"a": "float32[8]", "b/c": "float32[2,3]"} == record.leaves
    assert "StandardCheckpointHandler" == record.checkpointer
    assert record == record_of(tmp_path / "root")
    assert {} == record.versions  # those that are installed now may not be those that saved it


def test_live_and_fresh_managers_of_both_apis_read_the_record(tmp_path):
    with ocp.CheckpointManager(tmp_path / "v0") as manager, v1.training.Checkpointer(tmp_path / "v1") as checkpointer:
        manager.save(3, args=ocp.args.StandardSave(STATE))
        manager.wait_until_finished()
        checkpointer.save(3, STATE)
        for root in ("v0", "v1"):
            migrate.stamp(tmp_path / root, model="net", version=2)
        assert "net" == manager.metadata(3).custom_metadata[KEY]["model"]
        assert "net" == checkpointer.metadata(3).custom_metadata[KEY]["model"]
        np.testing.assert_array_equal(STATE["a"], manager.restore(3)["a"])
        np.testing.assert_array_equal(STATE["a"], checkpointer.load(3)["a"])
    with ocp.CheckpointManager(tmp_path / "v0") as manager, v1.training.Checkpointer(tmp_path / "v1") as checkpointer:
        assert [3] == manager.all_steps()
        assert "net" == manager.metadata(3).custom_metadata[KEY]["model"]
        assert "net" == checkpointer.metadata(3).custom_metadata[KEY]["model"]
        np.testing.assert_array_equal(STATE["a"], manager.restore(3, args=ocp.args.StandardRestore(STATE))["a"])


def test_a_checkpoint_without_a_manager_is_read_by_both_apis(tmp_path):
    v1.save(tmp_path / "v1", STATE)
    for path in (standard(tmp_path / "v0"), tmp_path / "v1"):
        migrate.stamp(path, model="net", version=2)
        assert "net" == v1.metadata(path).custom_metadata[KEY]["model"]
        assert "net" == record_of(path).model
    with ocp.StandardCheckpointer() as checkpointer:
        assert "net" == checkpointer.metadata(tmp_path / "v0").custom_metadata[KEY]["model"]
        np.testing.assert_array_equal(STATE["a"], checkpointer.restore(tmp_path / "v0")["a"])


def test_a_step_whose_metadata_file_is_missing_gets_one_that_orbax_reads(tmp_path):
    root = managed(tmp_path / "root")
    (root / "3" / METADATA).unlink()
    migrate.stamp(root, model="net", version=2)
    with ocp.CheckpointManager(root) as manager:
        assert "net" == manager.metadata(3).custom_metadata[KEY]["model"]
        assert ["a", "b"] == sorted(manager.restore(3, args=ocp.args.StandardRestore()))


def test_a_record_is_completed_and_what_it_had_stays(tmp_path):
    custom = Metadata.of(STATE, name="net", version=1, hyperparameters={"width": 8}, step=5, checkpointer="mine")
    path = standard(tmp_path / "old", custom_metadata={**custom, "epoch": 1})
    before = record_of(path)
    stamped = migrate.stamp(path, version=2).record
    assert before == stamped.before
    assert ("net", 2, 5, "mine", {"width": 8}, before.versions) == (
        stamped.record.model,
        stamped.record.version,
        stamped.record.step,
        stamped.record.checkpointer,
        stamped.record.hyperparameters,
        stamped.record.versions,
    )
    with migrate.open_checkpoint(path) as checkpoint:
        assert 1 == checkpoint.abstract.metadata["epoch"]


def test_the_record_of_a_migrated_checkpoint_keeps_its_history(tmp_path):
    with migrate.open_checkpoint(standard(tmp_path / "old")) as checkpoint:
        migrate.apply(migrate.plan(checkpoint, "portable"), checkpoint, tmp_path / "new")
    history = record_of(tmp_path / "new").history
    migrate.stamp(tmp_path / "new", model="net", version=2)
    assert (1, history, 2) == (len(history), record_of(tmp_path / "new").history, record_of(tmp_path / "new").version)
    migrate.verify(tmp_path / "new")


def test_a_template_adds_hyperparameters_and_digests_of_code(tmp_path):
    path = standard(tmp_path / "old", {"net": nnx.state(net()), "step": 3})
    record = migrate.stamp(path, model="net", version=2, template=f"{__name__}:net").record.record
    assert 2 == record.hyperparameters["num_heads"]
    assert record.graph_digest.startswith("sha256:")
    assert "net/out/kernel" in record.leaves


def test_a_template_of_another_model_is_refused_with_the_leaves_that_differ(tmp_path):
    path = standard(tmp_path / "old", {"a": jnp.zeros(8), "b": {"c": jnp.zeros((2, 4))}})
    before = files_below(path)
    with pytest.raises(PlanError, match=r"`b/c` is float32\[2,4\], in `.*:make` float32\[2,3\]") as caught:
        migrate.stamp(path, model="net", version=2, template=f"{__name__}:make")
    assert ("M305", ("b/c",)) == (caught.value.diagnostics[0].code, caught.value.diagnostics[0].paths)
    assert before == files_below(path)


def test_a_record_needs_a_model_and_a_version(tmp_path):
    path = standard(tmp_path / "old")
    for given, missing in (({"model": "net"}, "version"), ({"version": 2}, "model")):
        with pytest.raises(UsageError, match=f"records no {missing}"):
            migrate.stamp(path, **given)
    with pytest.raises(UsageError, match="nothing to record"):
        migrate.stamp(path)


def test_a_checkpoint_that_is_not_what_it_records_is_refused(tmp_path):
    path = standard(tmp_path / "old", custom_metadata=Metadata.of({"a": STATE["a"]}, name="net", version=1))
    content = json.loads((path / METADATA).read_text())
    content["custom_metadata"][KEY] |= {"leaves": {"a": "float32[9]"}, "structure_hash": "sha256:00"}
    (path / METADATA).write_text(json.dumps(content))
    with pytest.raises(VerifyError, match="not the one that its metadata records"):
        migrate.stamp(path, version=2)


def test_a_record_of_a_part_of_what_is_saved_is_compared_with_that_part(tmp_path):
    custom = Metadata.of(STATE, name="net", version=1)
    path = standard(tmp_path / "whole", {"model": STATE, "step": jnp.zeros(())}, custom_metadata=custom)
    assert custom[KEY]["structure_hash"] == migrate.verify(path).recorded
    assert 2 == migrate.stamp(path, version=2).record.record.version
    other = standard(tmp_path / "other", {"model": {**STATE, "a": jnp.ones(9)}, "step": 0}, custom_metadata=custom)
    with pytest.raises(VerifyError):
        migrate.verify(other)


def states():
    """Returns models and the states that training programs save of them."""
    model = {"net": net(), "step": np.zeros((), "int32")}
    params = {"dense": {"kernel": jnp.ones((2, 3))}}
    training = TrainState.create(apply_fn=None, params=params, tx=optax.adamw(1e-3))
    yield model, {**model, "net": nnx.state(model["net"])}
    yield model, {**model, "net": nnx.to_pure_dict(nnx.state(model["net"]))}
    yield training, training
    yield {"params": params, "rng": jax.random.key(0)}, {"params": params, "rng": jax.random.key(0)}


def test_the_recorded_structure_is_that_of_the_saved_state(tmp_path):
    for number, (model, state) in enumerate(states()):
        custom = Metadata.of(model, name="net", version=1)
        path = standard(tmp_path / str(number), state, custom_metadata=custom)
        with migrate.open_checkpoint(path) as checkpoint:
            assert checkpoint.tree.signature == custom[KEY]["leaves"]
            assert checkpoint.abstract.structure_hash == custom[KEY]["structure_hash"]


def test_files_that_cannot_take_a_record_are_refused_with_the_reason(tmp_path):
    (tmp_path / "old.msgpack").write_bytes(serialization.to_bytes({"a": np.zeros(2)}))
    with pytest.raises(UsageError, match=r"is a single file \(flax msgpack\)") as caught:
        migrate.stamp(tmp_path / "old.msgpack", model="net", version=1)
    assert "migrate apply portable" in caught.value.diagnostics[0].help
    bare = standard(tmp_path / "bare")
    for name in ("_METADATA", METADATA, "_sharding", "array_metadatas"):
        shutil.rmtree(bare / name) if (bare / name).is_dir() else (bare / name).unlink(missing_ok=True)
    with pytest.raises(UsageError, match="bare database"):
        migrate.stamp(bare, model="net", version=1)


def test_an_item_of_a_step_is_refused_and_the_step_is_named(tmp_path):
    root = managed(tmp_path / "root")
    with pytest.raises(UsageError, match="an item of a step") as caught:
        migrate.stamp(root / "3" / "default", model="net", version=1)
    assert f"`migrate stamp {root / '3'}`" == caught.value.diagnostics[0].help


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"custom_metadata": ["x"]}, "`custom_metadata` is not a mapping"),
        ({"mine": 1}, "unknown key `mine`"),
    ],
)
def test_a_file_in_which_orbax_would_not_read_the_record_is_refused(tmp_path, change, reason):
    path = standard(tmp_path / "old")
    content = json.loads((path / METADATA).read_text())
    (path / METADATA).write_text(json.dumps({**content, **change}))
    with pytest.raises(UsageError, match=reason):
        migrate.stamp(path, model="net", version=1)


def test_damaged_metadata_is_refused_and_stays(tmp_path):
    path = standard(tmp_path / "old")
    (path / METADATA).write_text("{")
    with pytest.raises(CheckpointError):
        migrate.stamp(path, model="net", version=1)
    assert "{" == (path / METADATA).read_text()


def test_the_first_name_of_custom_metadata_is_used_where_the_file_has_it(tmp_path):
    path = standard(tmp_path / "old")
    content = json.loads((path / METADATA).read_text())
    del content["custom_metadata"]
    (path / METADATA).write_text(json.dumps({**content, "custom": {"epoch": 1}}))
    migrate.stamp(path, model="net", version=1)
    assert "custom_metadata" not in json.loads((path / METADATA).read_text())
    assert "net" == record_of(path).model
    with ocp.StandardCheckpointer() as checkpointer:
        assert "net" == checkpointer.metadata(path).custom_metadata["custom"][KEY]["model"]


def test_digests_stay_valid_and_other_changes_are_still_found(tmp_path):
    path = standard(tmp_path / "old")
    done = migrate.stamp(path, model="net", version=1, digests=True)
    assert (2, path / FILE, FILE) == (done.added, done.file, done.record.record.digests)
    for version in (2, 3):
        migrate.stamp(path, version=version)
        assert 2 == migrate.verify(path).digests
    assert 1 == len(read_record(path / FILE).files[METADATA].split())
    (path / "_METADATA").write_text((path / "_METADATA").read_text() + " ")
    migrate.stamp(path, version=4)
    with pytest.raises(VerifyError, match="_METADATA"):
        migrate.verify(path)
    (path / METADATA).write_text((path / METADATA).read_text() + " ")
    with pytest.raises(VerifyError, match="has changed since the digests were recorded"):
        migrate.stamp(path, version=5)


@pytest.mark.parametrize("era", sampled(["e3a", "e4c", "e5a"], every=3))
def test_a_record_changes_nothing_else_of_checkpoints_of_any_era(tmp_path, era):
    case_of = {name: unpack(era, tmp_path) / name for name in case_names(era)}
    stamped = 0
    for case in case_of.values():
        for reading in manifest(case)["readings"]:
            path, step = case / reading["open"], reading["step"]
            try:
                before = seen(path, step)
                migrate.stamp(path, model="net", version=1, step=step)
            except migrate.MigrateError:
                continue
            assert before == seen(path, step)
            assert "net" == record_of(path, step=step).model
            stamped += 1
    assert stamped > 20


def seen(path, step):
    with migrate.open_checkpoint(path, step) as checkpoint:
        found = checkpoint.abstract
    others = {name: value for name, value in found.metadata.items() if name != KEY}
    return found.format, found.era, found.step, found.steps, found.structure_hash, found.extras, others


KILLED = """
import os, signal, sys
from pathlib import Path
import migrate
import migrate.engine.verification.stamp
count = 0
replace = Path.replace
def stopping(self, target):
    global count
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    count -= 1
    return replace(self, target)
Path.replace = stopping
for path in sys.argv[1:]:
    child = os.fork()
    if not child:
        migrate.stamp(path, model="net", version=2)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    count += 1
"""
"""Stamps in one child process after another, and kills each at a later renaming."""


@pytest.mark.parametrize(("digests", "renames"), [(False, 1), (True, 3)])
def test_a_killed_stamp_leaves_the_old_or_the_new_record(tmp_path, digests, renames):
    source = standard(tmp_path / "source", custom_metadata=Metadata.of(STATE, name="net", version=1))
    if digests:
        migrate.stamp(source, digests=True)
    versions = []
    paths = [shutil.copytree(source, tmp_path / f"copy_{count}") for count in range(renames + 1)]
    command = [sys.executable, "-c", KILLED, *paths]
    done = subprocess.run(command, check=True, env=environment(), capture_output=True, text=True)
    assert [*[-signal.SIGKILL] * renames, 0] == [int(line) for line in done.stdout.splitlines()]
    for path in paths:
        versions.append(record_of(path).version)
        migrate.verify(path)
        with ocp.StandardCheckpointer() as checkpointer:
            assert versions[-1] == checkpointer.metadata(path).custom_metadata[KEY]["version"]
        migrate.stamp(path, version=3)
        migrate.verify(path)
        assert 3 == record_of(path).version
        assert not digests or [] == changed_files(read_record(path / FILE), path)
    assert versions == sorted(versions)
    assert [1, 2] == sorted(set(versions))


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "JAX_PLATFORMS": "cpu"}
