"""Digests that a checkpoint records: which are carried over, what is computed, and what a later change looks like.

Covers `verification.leaf_digests`, `verification.record_file` and `verification.stamp` as well.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import serialization
from orbax.checkpoint import v1

import migrate
from migrate.engine.streaming import array_bytes
from migrate.engine.verification.source_digests import recorded_digests
from migrate.errors import CheckpointError, UsageError, VerifyError
from migrate.formats.digest_record import FILE, read_record
from tests.engine.sources import apply_plan, every_kind, opened, plan_for, save
from tests.engine.verification.conftest import chunks, messages, swap

LAYERS = {
    **jax.device_put({f"w{i}": np.arange(100, dtype=np.float32) + i for i in range(4)}),
    "big": jax.device_put(np.arange(4096, dtype=np.float32).reshape(64, 64)),
    "text": "hello",
}
SMALL_FILES = ("_CHECKPOINT_METADATA", "_METADATA", "_sharding", "array_metadatas/process_0")
LIST = '"key": "opt", "key_type": 2}, {"key": "0", "key_type": 1}'
SCRIPT = Path(__file__).parents[3] / "docs" / "check_receipt.py"


def migrated(folder, source, rules="rules: []", **options):
    with opened(source) as reader:
        return apply_plan(plan_for(reader, rules), reader, folder, **options)


def save_pytree(folder, tree):
    """Saves a tree with strings, which `StandardCheckpointer` refuses."""
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        checkpointer.save(folder, args=ocp.args.PyTreeSave(tree))
    return folder


def record_of(folder):
    return read_record(folder / FILE)


@pytest.fixture
def source(tmp_path):
    """A checkpoint of Orbax."""
    return save_pytree(tmp_path / "old", LAYERS)


@pytest.fixture
def streamed(tmp_path, source):
    """A checkpoint that migrate wrote, of which every array was streamed."""
    _stream(tmp_path / "streamed", source)
    return tmp_path / "streamed"


def _stream(folder, source):
    with opened(source) as reader:
        apply_plan(plan_for(reader, link=False), reader, folder)


def test_streamed_leaves_have_digests_and_linked_ones_say_that_they_have_none(tmp_path, source, streamed):
    assert () == record_of(streamed).undigested
    receipt = migrated(tmp_path / "linked", source)
    record = record_of(tmp_path / "linked")
    assert {("big",), *((f"w{i}",) for i in range(4))} == set(record.undigested)
    assert (5, 0, 0) == (receipt.linked, receipt.decoded, receipt.digested)
    assert record.leaves["text",].blocks == record_of(streamed).leaves["text",].blocks


@pytest.mark.parametrize("mode", ["decode", "full"])
def test_a_verification_that_decodes_records_the_digests_of_linked_leaves(tmp_path, source, streamed, mode):
    receipt = migrated(tmp_path / mode, source, verify=mode)
    assert record_of(streamed).leaves == record_of(tmp_path / mode).leaves
    assert (5, 5 if mode == "decode" else 0) == (receipt.digested, receipt.decoded)


def test_without_a_record_nothing_is_carried_over(source):
    with opened(source) as reader:
        assert {} == recorded_digests(plan_for(reader), reader)


def test_digests_survive_a_rename_and_a_tie_but_no_op(tmp_path, streamed):
    rules = """rules:
  - "w0 -> renamed"
  - {from: w1, to: [one, other]}
  - {from: w2, to: row, ops: [{expand_dims: {axis: 0}}]}
"""
    receipt = migrated(tmp_path / "new", streamed, rules)
    assert 6 == receipt.linked
    before, after = record_of(streamed).leaves, record_of(tmp_path / "new")
    assert (("row",),) == after.undigested
    assert before["w0",].digest == after.leaves["renamed",].digest
    assert before["w1",].digest == after.leaves["one",].digest == after.leaves["other",].digest


def test_the_items_of_a_step_are_recorded_together_and_one_of_them_carries_its_digests(tmp_path):
    items = {"params": {"a": jnp.arange(9.0)}, "state": {"a": jnp.arange(7.0)}}
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        saved = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        manager.save(3, args=ocp.args.Composite(**saved))
    migrate.stamp(tmp_path / "root", digests=True)
    before = record_of(tmp_path / "root" / "3")
    assert {("params", "a"), ("state", "a")} == set(before.leaves)
    with migrate.open_checkpoint(tmp_path / "root", item="state") as checkpoint:
        apply_plan(plan_for(checkpoint.reader), checkpoint.reader, tmp_path / "one")
    assert before.leaves["state", "a"].blocks == record_of(tmp_path / "one").leaves["a",].blocks
    with opened(save(tmp_path / "old", items)) as reader:
        apply_plan(plan_for(reader, "target: {layout: items}\nrules: []", link=False), reader, tmp_path / "step")
    assert (before.leaves, before.items) == (record_of(tmp_path / "step").leaves, record_of(tmp_path / "step").items)
    assert 2 == migrate.verify(tmp_path / "step").digests


def test_a_source_that_changed_since_it_was_recorded_is_refused_once_it_is_decoded(tmp_path, streamed):
    swap(streamed, "w0", "w1")
    migrated(tmp_path / "cheap", streamed)  # nothing was decoded; the digests are those of the right values
    for mode in ("decode", "full"):
        with pytest.raises(VerifyError, match="changed since its digests were recorded: 2 of") as failure:
            migrated(tmp_path / mode, streamed, verify=mode)
        assert ["M516"] == [d.code for d in failure.value.diagnostics]
        assert ("w0", "w1") == failure.value.diagnostics[0].paths
    with pytest.raises(VerifyError, match="2 leaves in"):
        migrate.verify(tmp_path / "cheap")


def test_a_chunk_that_no_codec_decodes_is_refused_by_leaf_chunk_and_file(tmp_path, source):
    chunks(source).write("big/0.0", b"not zstd" * 200).result()
    migrated(tmp_path / "linked", source)
    with pytest.raises(VerifyError) as failure:
        migrated(tmp_path / "new", source, "rules: ['big -> large']", verify="decode")
    (message,) = messages(failure)
    assert "chunk `0.0` of `large` cannot be decoded" in message
    assert str(source / "d") in message
    assert not (tmp_path / "new").exists()


def test_a_later_change_is_found_without_a_source_and_named(streamed):
    found = migrate.verify(streamed)
    assert (6, ()) == (found.digests, found.undigested)
    swap(streamed, "w0", "w1")
    with pytest.raises(VerifyError) as failure:
        migrate.verify(streamed)
    (diagnostic,) = failure.value.diagnostics
    assert ("M516", ("w0", "w1")) == (diagnostic.code, diagnostic.paths)
    assert f"2 leaves in `{streamed}/d/" in diagnostic.message
    assert "the first is `w0`, block 0 of 1 (chunk `0`)" in diagnostic.message


def test_a_change_in_one_chunk_of_many_names_its_block_and_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(array_bytes, "BLOCK_BYTES", 1024)
    monkeypatch.setattr("migrate.engine.verification.recorded.BLOCK_BYTES", 1024)
    handler = ocp.PyTreeCheckpointHandler()
    with ocp.Checkpointer(handler) as checkpointer:
        chunked = {"big": ocp.SaveArgs(chunk_byte_size=1024)}
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave({"big": LAYERS["big"]}, save_args=chunked))
    migrate.stamp(tmp_path / "old", digests=True)
    with opened(tmp_path / "old") as reader:
        rows, columns = reader.abstract().tree.leaves["big",].storage.chunks
    assert 4 * rows * columns == 1024
    store = chunks(tmp_path / "old")
    last = f"big/{64 // rows - 1}.{64 // columns - 1}"
    store.write(last, store.read("big/0.0").result().value).result()
    with pytest.raises(VerifyError) as failure:
        migrate.verify(tmp_path / "old")
    (message,) = messages(failure)
    assert "of 16" in message
    assert last.removeprefix("big/") in message
    assert "block 0 " not in message


def test_a_string_a_number_a_list_and_a_key_are_protected_as_well(tmp_path):
    _stream(tmp_path / "new", save_pytree(tmp_path / "old", {**every_kind(), "text": "hello"}))
    assert migrate.verify(tmp_path / "new").undigested == ()
    for file, old, new in (
        ("_strings.json", "hello", "hallo"),
        ("array_metadatas/process_0", "fry", "fly"),
        ("_METADATA", '"value_type": "scalar"', '"value_type": "scalax"'),
        ("_METADATA", LIST, LIST.replace('"key_type": 1', '"key_type": 2')),
    ):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(tmp_path / "new", tmp_path / "copy")
        text = (tmp_path / "copy" / file).read_text()
        assert old in text
        (tmp_path / "copy" / file).write_text(text.replace(old, new))
        with pytest.raises((VerifyError, CheckpointError)):
            migrate.verify(tmp_path / "copy")


def test_a_checkpoint_without_digests_is_decoded_and_said_to_be_no_more(source):
    found = migrate.verify(source)
    assert (0, 6) == (found.digests, len(found.undigested))


def test_every_undecodable_leaf_is_named(streamed):
    for name in ("w0", "w2"):
        chunks(streamed).write(f"{name}/0", b"not zstd").result()
    with pytest.raises(CheckpointError) as failure:
        migrate.verify(streamed)
    assert [("w0",), ("w2",)] == [d.paths for d in failure.value.diagnostics]


def test_a_damaged_record_refuses_verify_apply_and_stamp(tmp_path, streamed):
    file = streamed / FILE
    file.write_text(file.read_text().replace('"float32', '"float16'))
    for work in (
        lambda: migrate.verify(streamed),
        lambda: migrate.stamp(streamed, digests=True),
        lambda: migrated(tmp_path / "new", streamed),
    ):
        with pytest.raises(CheckpointError, match="are damaged: its root"):
            work()
    assert not (tmp_path / "new").exists()


def content(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != FILE)
    return {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


def test_a_stamp_adds_all_digests_and_touches_nothing_else(source, streamed):
    before = content(source)
    done = migrate.stamp(source, digests=True)
    assert before == content(source)
    assert (6, 6, source / FILE) == (done.leaves, done.added, done.file)
    assert record_of(streamed).leaves == record_of(source).leaves
    assert (6, ()) == (lambda found: (found.digests, found.undigested))(migrate.verify(source))
    assert 0 == migrate.stamp(source, digests=True).added


def test_a_stamp_refuses_what_does_not_decode_and_never_accepts_a_change(source, streamed):
    chunks(source).write("w0/0", b"not zstd").result()
    with pytest.raises(CheckpointError, match="chunk `0` of `w0`"):
        migrate.stamp(source, digests=True)
    assert not (source / FILE).exists()
    swap(streamed, "w0", "w1")
    before = (streamed / FILE).read_bytes()
    with pytest.raises(VerifyError):
        migrate.stamp(streamed, digests=True)
    assert before == (streamed / FILE).read_bytes()


@pytest.mark.parametrize("name", ["new.msgpack", "new.safetensors"])
def test_a_single_file_records_digests_and_cannot_be_stamped_later(tmp_path, source, name):
    with migrate.open_checkpoint(source) as checkpoint:
        rules = tmp_path / "rules.yaml"
        rules.write_text("migrate: 1\nrules: [{drop: text}]\n")
        plan = migrate.plan(checkpoint, rules, destination=tmp_path / name)
        migrate.apply(plan, checkpoint, tmp_path / name)
    found = migrate.verify(tmp_path / name)
    assert (5, ()) == (found.digests, found.undigested)
    with pytest.raises(UsageError, match="cannot take digests later"):
        migrate.stamp(tmp_path / name, digests=True)
    with migrate.open_checkpoint(tmp_path / name) as checkpoint:
        assert "migrate.digests" not in checkpoint.abstract.metadata


def test_a_change_of_any_value_of_a_msgpack_file_is_found(tmp_path):
    tree = {"w": np.arange(9.0), "n": 7, "z": 1 - 2j, "text": "hello", "none": None, "empty": {}}
    (tmp_path / "old.msgpack").write_bytes(serialization.msgpack_serialize(tree))
    with migrate.open_checkpoint(tmp_path / "old.msgpack") as checkpoint:
        rules = tmp_path / "rules.yaml"
        rules.write_text("migrate: 1\nrules: []\n")
        plan = migrate.plan(checkpoint, rules, destination=tmp_path / "new.msgpack")
        migrate.apply(plan, checkpoint, tmp_path / "new.msgpack")
    content = (tmp_path / "new.msgpack").read_bytes()
    restored = serialization.msgpack_restore(content)
    assert np.array_equal(tree["w"], restored.pop("w"))
    assert {name: tree[name] for name in restored} == restored
    found = migrate.verify(tmp_path / "new.msgpack")
    assert (6, ()) == (found.digests, found.undigested)
    for old, new in (
        (np.float64(3).tobytes(), np.float64(5).tobytes()),
        (b"\xa1n\xd3" + (7).to_bytes(8, "big"), b"\xa1n\xd3" + (8).to_bytes(8, "big")),
        (b"hello", b"hallo"),
        (b"none\xc0", b"none\xc2"),
    ):
        assert 1 == content.count(old)
        (tmp_path / "new.msgpack").write_bytes(content.replace(old, new))
        with pytest.raises(VerifyError):
            migrate.verify(tmp_path / "new.msgpack")


def test_a_msgpack_file_without_arrays_has_no_place_for_digests_and_does_not_claim_any(tmp_path):
    (tmp_path / "old.msgpack").write_bytes(serialization.msgpack_serialize({"n": 7}))
    with migrate.open_checkpoint(tmp_path / "old.msgpack") as checkpoint:
        rules = tmp_path / "rules.yaml"
        rules.write_text("migrate: 1\nrules: []\n")
        plan = migrate.plan(checkpoint, rules, destination=tmp_path / "new.msgpack")
        migrate.apply(plan, checkpoint, tmp_path / "new.msgpack")
    found = migrate.verify(tmp_path / "new.msgpack")
    assert (0, (("n",),)) == (found.digests, found.undigested)


def test_a_lost_record_is_not_a_checkpoint_without_digests(tmp_path, source, streamed):
    (streamed / FILE).unlink()
    with pytest.raises(CheckpointError, match=r"`migrate_digests\.json` is missing") as failure:
        migrate.verify(streamed)
    (diagnostic,) = failure.value.diagnostics
    assert f"`migrate stamp {streamed} --digests`" in diagnostic.help
    migrate.stamp(streamed, digests=True)
    assert 6 == migrate.verify(streamed).digests
    with migrate.open_checkpoint(source) as checkpoint:
        rules = tmp_path / "rules.yaml"
        rules.write_text("migrate: 1\nrules: [{drop: text}]\n")
        plan = migrate.plan(checkpoint, rules, destination=tmp_path / "new.safetensors")
        migrate.apply(plan, checkpoint, tmp_path / "new.safetensors")
    file = tmp_path / "new.safetensors"
    file.write_bytes(file.read_bytes().replace(b'"migrate.digests":', b'"migrate.digestz":'))
    with pytest.raises(CheckpointError, match=r"`migrate\.digests` is missing"):
        migrate.verify(file)


@pytest.mark.parametrize("stamped", [False, True])
def test_a_change_of_a_small_file_that_no_reader_of_migrate_notices_is_found(source, streamed, stamped):
    checkpoint = source if stamped else streamed
    if stamped:
        migrate.stamp(checkpoint, digests=True)
    assert 6 == migrate.verify(checkpoint).digests
    for file in SMALL_FILES:
        before = (checkpoint / file).read_text()
        (checkpoint / file).write_text(before + " ")
        with pytest.raises(VerifyError) as failure:
            migrate.verify(checkpoint)
        assert [f"`{checkpoint}/{file}` has changed since the digests were recorded"] == messages(failure)
        (checkpoint / file).write_text(before)
    assert 6 == migrate.verify(checkpoint).digests
    for file in SMALL_FILES:
        (checkpoint / file).write_text((checkpoint / file).read_text() + " ")
    done = run_script(checkpoint)
    found = [line for line in done.stdout.splitlines() if line.endswith(" has changed")]
    assert (1, [f"{file} has changed" for file in SMALL_FILES]) == (done.returncode, sorted(found, key=str.casefold))


def test_a_safetensors_file_carries_its_digests_into_a_directory_only_as_values(tmp_path, source):
    with migrate.open_checkpoint(source) as checkpoint:
        rules = tmp_path / "rules.yaml"
        rules.write_text("migrate: 1\nrules: [{drop: text}]\n")
        plan = migrate.plan(checkpoint, rules, destination=tmp_path / "new.safetensors")
        migrate.apply(plan, checkpoint, tmp_path / "new.safetensors")
    file = bytearray((tmp_path / "new.safetensors").read_bytes())
    file[-3] ^= 4
    (tmp_path / "new.safetensors").write_bytes(file)
    with pytest.raises(VerifyError, match=r"new\.safetensors` has changed since"):
        migrate.verify(tmp_path / "new.safetensors")
    with pytest.raises(VerifyError, match=r"new\.safetensors has changed since"):
        migrated(tmp_path / "back", tmp_path / "new.safetensors")
    file[-3] ^= 4
    (tmp_path / "new.safetensors").write_bytes(file)
    migrated(tmp_path / "back", tmp_path / "new.safetensors")
    assert "migrate.digests" not in (tmp_path / "back" / "_METADATA").read_text()


def test_orbax_of_both_versions_and_its_manager_ignore_the_record(tmp_path):
    tree = {"params": {"a": jnp.arange(9.0)}, "step": jnp.int32(3)}
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        manager.save(3, args=ocp.args.StandardSave(tree))
    with migrate.open_checkpoint(tmp_path / "root") as source:
        rules = tmp_path / "rules.yaml"
        rules.write_text("migrate: 1\nrules: []\n")
        migrate.apply(migrate.plan(source, rules), source, tmp_path / "single")
        plan = migrate.plan(source, rules, as_step=True)
        migrate.apply(plan, source, tmp_path / "new" / "3", verify="decode")
    assert (tmp_path / "new" / "3" / FILE).exists()
    with ocp.CheckpointManager(tmp_path / "new") as manager:
        assert [3] == list(manager.all_steps())
        restored = manager.restore(3, args=ocp.args.StandardRestore(tree))
        manager.save(4, args=ocp.args.StandardSave(tree))
    with ocp.StandardCheckpointer() as checkpointer:
        single = checkpointer.restore(tmp_path / "single", tree)
    newest = v1.load(tmp_path / "single")
    for found in (restored, single, newest):
        assert jax.tree.all(jax.tree.map(np.array_equal, tree, found))
    step = v1.load(tmp_path / "new" / "3")
    assert np.array_equal(tree["params"]["a"], step["params"]["a"])


def run_script(checkpoint):
    command = [sys.executable, str(SCRIPT), str(checkpoint), "2"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("form", ["stream", "stamp", "step", "safetensors"])
def test_the_script_without_migrate_checks_and_finds_a_change(tmp_path, source, streamed, form):
    checkpoint = {"stream": streamed, "stamp": source}.get(form, tmp_path / f"new.{form}")
    if form == "stamp":
        migrate.stamp(source, digests=True)
    if form in ("step", "safetensors"):
        with migrate.open_checkpoint(source) as opened_source:
            rules = tmp_path / "rules.yaml"
            rules.write_text("migrate: 1\nrules: [{drop: text}]\n")
            plan = migrate.plan(opened_source, rules, as_step=form == "step", destination=checkpoint)
            migrate.apply(plan, opened_source, checkpoint, verify="decode")
    done = run_script(checkpoint)
    expected = "5 of 5 arrays have the recorded digests; 0 more have none\n"
    assert (0, expected, "") == (done.returncode, done.stdout, done.stderr)
    if form == "safetensors":
        file = bytearray(checkpoint.read_bytes())
        file[-1] ^= 1
        checkpoint.write_bytes(file)
    else:
        swap(checkpoint / "default" if form == "step" else checkpoint, "w0", "w1")
    done = run_script(checkpoint)
    assert 1 == done.returncode
    assert "has changed: block 0 of 1" in done.stdout


def test_the_script_finds_a_damaged_record_a_damaged_chunk_and_the_absence_of_a_record(source, streamed):
    assert 2 == run_script(source).returncode
    chunks(streamed).write("w0/0", b"not zstd").result()
    assert "w0 cannot be read" in run_script(streamed).stdout
    file = streamed / FILE
    file.write_text(file.read_text().replace('"float32', '"float16'))
    done = run_script(streamed)
    assert (1, True) == (done.returncode, "the record itself is damaged" in done.stdout)


def test_the_script_does_not_need_xxhash(tmp_path, streamed):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "xxhash.py").write_text("raise ImportError\n")
    code = "import runpy, sys; sys.path[:0] = [sys.argv.pop(1)]; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    swap(streamed, "w0", "w1")
    command = [sys.executable, "-c", code, tmp_path / "hidden", SCRIPT, streamed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (1, "") == (done.returncode, done.stderr)
    assert "3 of 5 arrays" in done.stdout
