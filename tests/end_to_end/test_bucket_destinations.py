"""DST in a bucket is what DST on a local path would be."""

import re
import sys

import numpy as np
import orbax.checkpoint as ocp
import pytest

import migrate
from migrate.errors import CheckpointError, MigrateError, RefusedError, StoppedError
from migrate.events import LeafDone, PhaseDone
from migrate.places.bucket_path import BucketPath
from tests.buckets.traffic import Fault
from tests.end_to_end.test_buckets import command, migrated, rules_file, same_values, values
from tests.engine.sources import MIXED_RULES, every_kind, mixed, save

STACKED = "rules: [{from: 'layers/{i}/w', to: layers/w, ops: [{stack: {axis: 0, over: i}}]}]"


def layers(count=4, side=300):
    random = np.random.default_rng(0)
    return {"layers": [{"w": random.random((side, side)).astype(np.float32)} for _ in range(count)]}


def require_clean(bucket, place):
    """Nothing but the checkpoint is left."""
    keys = bucket.keys()
    assert [] == [key for key in keys if ".migrate-" in key or key.endswith("migrate_unfinished")]
    assert f"{place}/commit_success.txt" in keys


def local_files(folder):
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in names if "d/" not in name and not name.startswith("ocdbt.process_")]


@pytest.mark.parametrize("far_source", [True, False])
def test_arrays_are_linked_and_streamed_into_a_bucket(bucket, tmp_path, far_source):
    local, rules = save(tmp_path / "old", mixed()), rules_file(tmp_path, MIXED_RULES)
    source = bucket.upload(local, "runs/old") if far_source else local
    near, far = migrated(local, rules, tmp_path / "new"), migrated(source, rules, f"{bucket.url}/runs/new")
    assert near.leaf_digests == far.leaf_digests
    assert (near.linked, near.verified_leaves) == (far.linked, far.verified_leaves)
    same_values(tmp_path / "new", f"{bucket.url}/runs/new")
    assert migrate.verify(f"{bucket.url}/runs/new").digests
    require_clean(bucket, "runs/new")
    downloaded = bucket.download("runs/new", tmp_path / "copy")
    same_values(tmp_path / "new", downloaded)
    assert local_files(tmp_path / "new") == local_files(downloaded)


def test_the_page_of_a_run_has_the_values_on_both_sides_of_a_bucket(bucket, tmp_path):
    local, rules = save(tmp_path / "old", mixed()), rules_file(tmp_path, MIXED_RULES)
    measured = {}
    for name, source, new in (
        ("near", local, tmp_path / "new"),
        ("far", bucket.upload(local, "old"), f"{bucket.url}/new"),
    ):
        page = tmp_path / f"{name}.html"
        code, output = command("apply", rules, source, new, "--report", page)
        assert 0 == code, output
        measured[name] = re.search(r"Measured the values of [^.]*\.", page.read_text())[0]
    assert "Measured the values of 6 leaves before and 6 leaves after the run." == measured["near"] == measured["far"]


def test_file_urls_are_local_paths(tmp_path):
    local, rules = save(tmp_path / "old", mixed()), rules_file(tmp_path, MIXED_RULES)
    near = migrated(local, rules, tmp_path / "new")
    far = migrated(f"file://{local}", rules, f"file://{tmp_path}/other")
    assert near.leaf_digests == far.leaf_digests
    assert near.linked == far.linked > 0
    same_values(tmp_path / "new", f"file://localhost{tmp_path}/other")
    assert migrate.verify(f"file://{tmp_path}/other").digests
    code, output = command("apply", rules, f"file://{local}", f"file://{tmp_path}/other")
    assert (0, True) == (code, "Already done" in output), output
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(("file:", "."))]


def test_every_kind_of_leaf_arrives(bucket, tmp_path):
    local, rules = save(tmp_path / "old", every_kind()), rules_file(tmp_path)
    migrated(local, rules, f"{bucket.url}/new", verify="full")
    same_values(local, f"{bucket.url}/new")


def test_renamed_and_stacked_arrays_do_not_pass_through_the_client(bucket, tmp_path):
    local, rules = save(tmp_path / "old", layers(8, 500)), rules_file(tmp_path, STACKED)
    far = bucket.upload(local, "old")
    receipt = migrated(far, rules, f"{bucket.url}/new")
    assert 1 == receipt.linked
    assert bucket.traffic.received < 64 << 10
    assert bucket.traffic.sent < 256 << 10
    assert bucket.traffic.copies
    for key in bucket.keys("old/"):
        bucket.store().write(key, None).result()
    migrated(local, rules, tmp_path / "new")
    same_values(tmp_path / "new", f"{bucket.url}/new")


def test_only_the_files_that_the_index_names_are_copied(bucket, tmp_path):
    tree = {"a": np.random.default_rng(0).random((300, 300)), "b": np.random.default_rng(1).random((300, 300))}
    for name, array in tree.items():
        save(tmp_path / name, {name: array})
    far = bucket.upload(save(tmp_path / "old", tree), "old")
    migrated(far, rules_file(tmp_path, "rules: [drop: a, drop: b]"), f"{bucket.url}/new")
    assert not bucket.traffic.copies
    assert not [key for key in bucket.keys("new/") if "process_source" in key]


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_arrays_are_linked_from_another_bucket(bucket_servers, bucket, tmp_path, scheme):
    other = bucket_servers.bucket(scheme)
    local, rules = save(tmp_path / "old", layers()), rules_file(tmp_path, STACKED)
    far = other.upload(local, "old")
    assert migrated(far, rules, f"{bucket.url}/new").linked
    migrated(local, rules, tmp_path / "new")
    same_values(tmp_path / "new", f"{bucket.url}/new")


def test_a_manifest_is_written_few_times(bucket, tmp_path):
    tree = {f"w{n}": np.random.default_rng(n).random((512, 1024)).astype(np.float32) for n in range(12)}
    rules = rules_file(tmp_path, "rules: [{from: 'w{i}', to: 'v{i}', ops: [{transpose: [1, 0]}]}]")
    far = bucket.upload(save(tmp_path / "old", tree), "old")
    migrated(far, rules, f"{bucket.url}/new")
    assert max(bucket.traffic.puts.values()) <= 3


def test_the_steps_of_a_root_are_migrated(bucket, tmp_path):
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        for step in (1, 2, 3):
            manager.save(step, args=ocp.args.StandardSave({"w": np.full((300, 300), step, np.float32)}))
    far, rules = bucket.upload(tmp_path / "root", "root"), rules_file(tmp_path, "rules: [w -> v]")
    words = ("apply", rules, far, f"{bucket.url}/new", "--step", "all")
    code, output = command(*words, "--dry-run")
    assert 0 == code, output
    assert [] == bucket.keys("new")
    code, output = command(*words)
    assert 0 == code, output
    assert (1, 2, 3) == migrate.list_steps(f"{bucket.url}/new")
    code, output = command(*words)
    assert (0, True) == (code, "3 of 3 steps already done" in output), output
    with ocp.CheckpointManager(bucket.download("new", tmp_path / "copy")) as manager:
        assert 3 == manager.latest_step()
        np.testing.assert_array_equal(np.full((300, 300), 3, np.float32), manager.restore(3)["v"])


@pytest.mark.parametrize("link", ["auto", "never"])
def test_plain_zarr_is_written(bucket, tmp_path, link):
    text = MIXED_RULES + "\ntarget: {layout: zarr}"
    local, rules = save(tmp_path / "old", mixed()), rules_file(tmp_path, text)
    far = bucket.upload(local, "old")
    with migrate.open_checkpoint(far) as checkpoint:
        plan = migrate.plan(checkpoint, rules, link=link)
        migrate.apply(plan, checkpoint, f"{bucket.url}/new")
    migrated(local, rules, tmp_path / "new")
    same_values(tmp_path / "new", f"{bucket.url}/new")
    assert [] == [key for key in bucket.keys("new/") if "ocdbt" in key]


def test_an_array_beyond_the_budget_is_written_in_tiles(bucket, tmp_path):
    tree = {"w": np.arange(18 << 20, dtype=np.float32).reshape(-1, 4096)}
    rules = rules_file(tmp_path, "rules: [{from: w, to: v, ops: [{transpose: [1, 0]}]}]")
    far = bucket.upload(save(tmp_path / "old", tree), "old")
    migrated(far, rules, f"{bucket.url}/new", max_ram=64 << 20)
    np.testing.assert_array_equal(tree["w"].T, values(f"{bucket.url}/new")[("v",)])


def test_dst_that_exists_is_refused(bucket, tmp_path):
    local, rules = save(tmp_path / "old", mixed()), rules_file(tmp_path, MIXED_RULES)
    bucket.upload(local, "new")
    with pytest.raises(RefusedError, match=rf"`{bucket.url}/new` exists"):
        migrated(local, rules, f"{bucket.url}/new")
    assert not [key for key in bucket.keys("") if "migrate" in key]


def test_dst_inside_the_source_is_refused(bucket, tmp_path):
    far = bucket.upload(save(tmp_path / "old", mixed()), "old")
    with pytest.raises(RefusedError, match="overlap"):
        migrated(far, rules_file(tmp_path, MIXED_RULES), f"{far}/new")


def test_without_obstore_linked_arrays_are_refused_with_the_command(bucket, tmp_path, monkeypatch):
    far, rules = bucket.upload(save(tmp_path / "old", layers()), "old"), rules_file(tmp_path, STACKED)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MigrateError, match="obstore") as caught:
        migrated(far, rules, f"{bucket.url}/new")
    assert "M540" == caught.value.diagnostics[0].code
    assert "pip install 'migrate-jax[cloud]'" in caught.value.diagnostics[0].help
    with migrate.open_checkpoint(far) as checkpoint:
        plan = migrate.plan(checkpoint, rules, link="never")
        migrate.apply(plan, checkpoint, f"{bucket.url}/streamed")
    require_clean(bucket, "streamed")


def test_the_same_command_again_finds_the_result(bucket, tmp_path):
    far, rules = bucket.upload(save(tmp_path / "old", mixed()), "old"), rules_file(tmp_path, MIXED_RULES)
    assert None is migrated(far, rules, f"{bucket.url}/new").published
    before = bucket.keys()
    assert None is not migrated(far, rules, f"{bucket.url}/new").published
    assert before == bucket.keys()


def test_an_unfinished_dst_is_no_checkpoint_and_is_resumed(bucket, tmp_path):
    far, rules = bucket.upload(save(tmp_path / "old", mixed()), "old"), rules_file(tmp_path, MIXED_RULES)
    events = []

    def stopped():
        return any(isinstance(event, LeafDone) for event in events)

    with pytest.raises(StoppedError):
        migrated(far, rules, f"{bucket.url}/new", listener=events.append, stopped=stopped)
    with pytest.raises(CheckpointError, match="unfinished"):
        migrate.open_checkpoint(f"{bucket.url}/new")
    with pytest.raises(RefusedError, match="unfinished run of another plan"):
        migrated(far, rules_file(tmp_path, "rules: []"), f"{bucket.url}/new")
    rules = rules_file(tmp_path, MIXED_RULES)
    assert migrated(far, rules, f"{bucket.url}/new", resume="only").resumed
    require_clean(bucket, "new")
    migrated(far, rules, tmp_path / "new")
    same_values(tmp_path / "new", f"{bucket.url}/new")


def test_a_failed_verification_leaves_nothing(bucket, tmp_path, monkeypatch):
    far, rules = bucket.upload(save(tmp_path / "old", mixed()), "old"), rules_file(tmp_path, MIXED_RULES)

    def damage(event):
        if isinstance(event, PhaseDone) and event.phase == "commit":
            key = "new/_METADATA"
            bucket.store().write(key, bucket.store().read(key).result().value.replace(b"turned", b"burned")).result()
            BucketPath(f"{bucket.url}/new").refresh()

    with pytest.raises(MigrateError):
        migrated(far, rules, f"{bucket.url}/new", listener=damage)
    assert [] == bucket.keys("new")
    assert [] == bucket.keys(".new")


@pytest.mark.parametrize("status", [503, 0])
@pytest.mark.sample(2)
def test_failures_of_the_server_are_survived(bucket, tmp_path, status):
    far, rules = bucket.upload(save(tmp_path / "old", mixed()), "old"), rules_file(tmp_path, MIXED_RULES)
    methods = ("GET", "POST", "PUT", "DELETE")
    bucket.traffic.faults += [Fault(m, bucket.name, status=status, skip=skip) for m in methods for skip in (0, 3, 6)]
    migrated(far, rules, f"{bucket.url}/new")
    assert bucket.traffic.made > 4
    bucket.traffic.reset()
    migrated(tmp_path / "old", rules, tmp_path / "new")
    same_values(tmp_path / "new", f"{bucket.url}/new")
    require_clean(bucket, "new")


@pytest.mark.matrix
def test_a_late_answer_is_survived(bucket, tmp_path):
    far, rules = bucket.upload(save(tmp_path / "old", mixed()), "old"), rules_file(tmp_path, MIXED_RULES)
    bucket.traffic.faults += [Fault(m, bucket.name, status=503, seconds=2.0) for m in ("GET", "POST", "PUT")]
    migrated(far, rules, f"{bucket.url}/new")
    require_clean(bucket, "new")
