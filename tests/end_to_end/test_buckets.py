"""Checkpoints in buckets are read as local ones."""

import difflib
import re

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

import migrate
from migrate.cli.main import migrate as main
from migrate.engine.outputs import orbax_store
from migrate.errors import CheckpointError, RefusedError
from migrate.events import LeafDone
from tests.buckets.traffic import Fault
from tests.engine.sources import MIXED_RULES, every_kind, mixed, save


def rules_file(tmp_path, text="rules: []"):
    path = tmp_path / "rules.yaml"
    path.write_text(f"migrate: 1\n{text}\n")
    return path


def values(path):
    with migrate.open_checkpoint(path) as checkpoint:
        return {path: checkpoint.reader.read(path) for path in checkpoint.tree.leaves}


def same_values(one, other):
    ours, theirs = values(one), values(other)
    assert ours.keys() == theirs.keys()
    for path, value in ours.items():
        np.testing.assert_array_equal(np.asarray(value), np.asarray(theirs[path]), str(path))


def migrated(source, rules, target, **options):
    with migrate.open_checkpoint(source) as checkpoint:
        plan = migrate.plan(checkpoint, rules)
        return migrate.apply(plan, checkpoint, target, **options)


def test_a_checkpoint_in_a_bucket_is_read_as_the_local_one(bucket, tmp_path):
    local = save(tmp_path / "old", every_kind())
    far = bucket.upload(local, "runs/old")
    with migrate.open_checkpoint(local) as one, migrate.open_checkpoint(far) as other:
        assert one.tree.structure_hash == other.tree.structure_hash
        assert () == other.abstract.problems
    same_values(local, far)


def test_arrays_are_linked_and_streamed_from_a_bucket(bucket, tmp_path):
    local = save(tmp_path / "old", mixed())
    far, rules = bucket.upload(local, "old"), rules_file(tmp_path, MIXED_RULES)
    near, remote = migrated(local, rules, tmp_path / "near"), migrated(far, rules, tmp_path / "remote")
    assert near.leaf_digests == remote.leaf_digests
    assert near.linked == remote.linked > 0
    same_values(tmp_path / "near", tmp_path / "remote")
    assert migrate.verify(tmp_path / "remote").digests == migrate.verify(tmp_path / "near").digests > 0
    assert [] == list((tmp_path / "remote").rglob("*.copying"))


def test_the_same_command_again_finds_the_result(bucket, tmp_path):
    far, rules = bucket.upload(save(tmp_path / "old", mixed()), "old"), rules_file(tmp_path, MIXED_RULES)
    assert None is migrated(far, rules, tmp_path / "new").published
    assert None is not migrated(far, rules, tmp_path / "new").published
    bucket.store().write("old/_METADATA", bucket.store().read("old/_METADATA").result().value + b"\n").result()
    with pytest.raises(RefusedError, match="exists"):
        migrated(far, rules, tmp_path / "new")


def command(*words):
    result = CliRunner().invoke(main, [str(word) for word in words], env={"NO_COLOR": "1"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


def test_commands_read_buckets_and_print_what_they_print_of_local_paths(bucket, tmp_path):
    local = save(tmp_path / "old", mixed())
    rules = rules_file(tmp_path, MIXED_RULES)
    done = migrated(local, rules, tmp_path / "new")
    far, far_new = bucket.upload(local, "old"), bucket.upload(tmp_path / "new", "new")
    for words in (
        ("inspect", local),
        ("plan", rules, local),
        ("check", rules, local),
        ("invert", rules, local),
        ("apply", rules, local, tmp_path / "other", "--dry-run"),
        ("diff", local, tmp_path / "new"),
        ("diff", local, tmp_path / "new", "--values"),
        ("diff", local, tmp_path / "new", "--rules", rules, "--values"),
        ("verify", tmp_path / "new"),
        ("verify", tmp_path / "new", "--source", local, "--rules", rules),
        ("history", tmp_path / "new"),
    ):
        places = {str(local): far, str(tmp_path / "new"): far_new}
        expected = command(*words)
        code, output = command(*(places.get(str(word), word) for word in words))
        expected_words = re.sub(r"`migrate stamp [^`]*`[^.]*\.", "", expected[1]).split()  # stamps are local
        assert "" == "\n".join(difflib.unified_diff(expected_words, back(output, places).split()))
        assert expected[0] == code
    assert done.linked


def back(text, places):
    """A text with the local path in place of each URL."""
    for local, far in places.items():
        text = text.replace(far, local)
    return text


def test_the_steps_of_a_root_in_a_bucket_are_migrated(bucket, tmp_path):
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        for step in (1, 2, 3):
            manager.save(step, args=ocp.args.StandardSave({"w": np.full((300, 300), step, np.float32)}))
    far = bucket.upload(tmp_path / "root", "root")
    code, output = command("apply", rules_file(tmp_path, "rules: [w -> v]"), far, tmp_path / "new", "--step", "all")
    assert 0 == code, output
    assert (1, 2, 3) == migrate.list_steps(tmp_path / "new")
    with migrate.open_checkpoint(tmp_path / "new", 2) as checkpoint:
        np.testing.assert_array_equal(np.full((300, 300), 2, np.float32), checkpoint.reader.read(("v",)))


@pytest.mark.parametrize(("ocdbt", "zarr3"), [(False, False), (True, True), (False, True)])
def test_other_layouts_are_linked_and_streamed(bucket, tmp_path, ocdbt, zarr3):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt, use_zarr3=zarr3)) as checkpointer:
        checkpointer.save(tmp_path / "old", mixed())
    far, rules = bucket.upload(tmp_path / "old", "old"), rules_file(tmp_path, MIXED_RULES)
    near, remote = migrated(tmp_path / "old", rules, tmp_path / "near"), migrated(far, rules, tmp_path / "remote")
    assert near.leaf_digests == remote.leaf_digests
    same_values(tmp_path / "near", tmp_path / "remote")


def test_a_single_file_is_streamed_in_parts(bucket, tmp_path):
    tree = {"w": np.arange(40 << 20, dtype=np.uint16).reshape(-1, 1024), "b": np.ones(3, np.float32)}
    save_file(tree, tmp_path / "model.safetensors")
    far = bucket.upload(tmp_path / "model.safetensors", "model.safetensors")
    rules = rules_file(tmp_path, "rules: [{from: w, to: v, ops: [{transpose: [1, 0]}]}]")
    migrated(far, rules, tmp_path / "new", max_ram=64 << 20)
    with migrate.open_checkpoint(tmp_path / "new") as checkpoint:
        np.testing.assert_array_equal(tree["w"].T, checkpoint.reader.read(("v",)))


def test_a_source_that_changes_during_the_run_is_refused(bucket, tmp_path):
    far, rules = bucket.upload(save(tmp_path / "old", mixed()), "old"), rules_file(tmp_path, MIXED_RULES)

    def overwrite(event):
        content = bucket.store().read("old/_METADATA").result().value
        bucket.store().write("old/_METADATA", content + b" ").result()

    with pytest.raises(RefusedError, match=rf"{far} changed during this run: `?_METADATA"):
        migrated(far, rules, tmp_path / "new", listener=overwrite)
    assert not (tmp_path / "new").exists()


def test_only_the_needed_files_are_downloaded(bucket, tmp_path):
    local = save(tmp_path / "old", {"w": np.random.default_rng(0).random((1000, 1000)), "b": np.ones(3)})
    far = bucket.upload(local, "old")
    migrated(far, rules_file(tmp_path, "rules: [drop: w]"), tmp_path / "new", verify="none")
    assert bucket.traffic.sent < 1 << 20


def test_a_run_is_resumed_after_the_bucket_refused_a_read(bucket, tmp_path, monkeypatch):
    for name in ("BATCH_ARRAYS", "_COMMITTERS", "_MOST_COMMITTING"):  # each array is durable before the next is read
        monkeypatch.setattr(orbax_store, name, 1)
    far, rules = bucket.upload(save(tmp_path / "old", mixed()), "old"), rules_file(tmp_path, MIXED_RULES)
    stopped = []

    def refuse(event):
        if isinstance(event, LeafDone) and not stopped:
            stopped.append(event)
            bucket.traffic.faults.append(Fault("GET", "/d/", times=10_000, status=403))

    with pytest.raises(CheckpointError, match="cannot be reached"):
        migrated(far, rules, tmp_path / "new", listener=refuse, jobs=1)
    bucket.traffic.faults.clear()
    assert migrated(far, rules, tmp_path / "new").resumed
    same_values(migrated_locally(tmp_path, rules), tmp_path / "new")


def migrated_locally(tmp_path, rules):
    migrated(tmp_path / "old", rules, tmp_path / "near")
    return tmp_path / "near"


def test_a_load_from_a_bucket_has_the_values_of_the_local_one(bucket, tmp_path):
    random = np.random.default_rng(0)
    layers = {
        f"l_{i}": {"w": random.random((300, 300), np.float32), "b": random.random(5, np.float32)} for i in range(3)
    }
    local = save(tmp_path / "old", layers)
    far = bucket.upload(local, "old")
    half = "{cast: {to: float16, lossy: true}}"
    rules = rules_file(
        tmp_path,
        f"""rules:
  - {{from: "l_{{i}}/w", to: w, ops: [{{stack: {{axis: 0, over: i}}}}]}}
  - {{from: "l_{{i}}/b", to: b, ops: [{{stack: {{axis: 0, over: i}}}}, {half}]}}""",
    )
    into = {"w": jax.ShapeDtypeStruct((3, 300, 300), np.float32), "b": jax.ShapeDtypeStruct((3, 5), np.float16)}
    near, remote = (migrate.load(place, rules, into=into) for place in (local, far))
    np.testing.assert_array_equal(np.stack([layer["w"] for layer in layers.values()]), remote["w"])
    np.testing.assert_array_equal(near["b"], remote["b"])
