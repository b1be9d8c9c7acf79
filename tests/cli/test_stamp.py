"""`migrate stamp` records the model of a checkpoint, and digests, with which `verify` finds a later change."""

import json
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest
from orbax.checkpoint import v1

from migrate.formats.digest_record import FILE
from migrate.metadata import Metadata


def test_after_a_stamp_a_changed_value_is_found(run, here):
    value = np.arange(20_000, dtype=np.float32)
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as checkpointer:
        checkpointer.save(here / "saved", args=ocp.args.PyTreeSave({"w": value}))
    assert 0 == run("stamp", "saved", "--digests").exit_code
    assert (here / "saved" / FILE).is_file()
    assert 0 == run("verify", "saved").exit_code
    chunk = here / "saved" / "w" / "0"
    other = here / "other"
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as checkpointer:
        checkpointer.save(other, args=ocp.args.PyTreeSave({"w": value + (np.arange(20_000) == 7)}))
    chunk.write_bytes((other / "w" / "0").read_bytes())
    result = run("verify", "saved")
    assert 1 == result.exit_code
    assert "`w`" in result.stderr


def test_without_an_option_there_is_nothing_to_record(run):
    result = run("stamp", "old.msgpack")
    assert 2 == result.exit_code
    assert "add --model and --version, or --digests" in result.stderr


def test_a_stamp_counts_what_it_adds(run, here, migrated):
    record = here / migrated / FILE
    record.unlink()
    alone = run("verify", migrated)
    assert (2, True) == (alone.exit_code, "but `migrate_digests.json` is missing" in alone.stderr)
    assert "`migrate stamp new --digests` records the digests of the present values" in alone.stderr
    stamped = json.loads(run("stamp", migrated, "--digests", "--json").stdout)
    assert (6, 6) == (stamped["leaves"], stamped["added"])
    assert record.exists()
    assert "Recorded: digests of 6 leaves" in run("stamp", migrated, "--digests").stdout
    assert 6 == json.loads(run("verify", migrated, "--json").stdout)["digests"]


def test_a_single_file_cannot_be_stamped(run):
    refused = run("stamp", "old.msgpack", "--digests")
    assert (2, True) == (refused.exit_code, "cannot take digests later" in refused.stderr)
    assert "`migrate apply portable old.msgpack NEW` writes an Orbax checkpoint with digests" in refused.stderr


ATTENTION = """
from flax import nnx


class Attention(nnx.Module):
    def __init__(self, num_heads, rngs):
        self.num_heads = num_heads
        self.qkv = nnx.Linear(4, 12, rngs=rngs)


def eight(rngs):
    return Attention(8, rngs)


def sixteen(rngs):
    return Attention(16, rngs)
"""


def save_with(saver, path, state, custom):
    """Saves a state with one of Orbax's checkpointers."""
    if saver == "CheckpointManager":
        with ocp.CheckpointManager(path) as manager:
            manager.save(3, args=ocp.args.StandardSave(state), custom_metadata=custom)
    elif saver == "items of a CheckpointManager":
        with ocp.CheckpointManager(path) as manager:
            items = {name: ocp.args.StandardSave(part) for name, part in state.items()}
            manager.save(3, args=ocp.args.Composite(**items), custom_metadata=custom)
    elif saver == "StandardCheckpointer":
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(path, state, custom_metadata=custom)
    elif saver == "v1.Checkpointer":
        with v1.training.Checkpointer(path) as checkpointer:
            checkpointer.save(3, state, custom_metadata=custom)
    else:
        v1.save(path, state, custom_metadata=custom)


SAVERS = ("CheckpointManager", "items of a CheckpointManager", "StandardCheckpointer", "v1.Checkpointer", "v1.save")


@pytest.mark.parametrize("saver", SAVERS)
def test_every_save_of_orbax_takes_the_record_and_inspect_shows_it(run, here, saver):
    state = {"params": {"w": np.ones((2, 3), "float32")}, "opt": {"mu": np.zeros(3, "float32")}}
    save_with(saver, here / "saved", state, {**Metadata.of(state, name="net", version=3, step=3), "epoch": 1})
    assert "net, version 3" in run("inspect", "saved").stdout
    found = json.loads(run("inspect", "saved", "--json").stdout)
    assert 1 == found["metadata"]["epoch"]
    assert found["structure_hash"] == found["metadata"]["migrate"]["structure_hash"]
    assert 0 == run("verify", "saved").exit_code


@pytest.mark.parametrize("saver", SAVERS)
def test_a_stamp_is_shown_by_inspect_and_checked_by_apply(run, here, saver):
    state = {"params": {"w": np.ones((2, 3), "float32")}, "opt": {"mu": np.zeros(3, "float32")}}
    save_with(saver, here / "saved", state, None)
    stamped = run("stamp", "saved", "--model", "net", "--version", "3")
    assert (0, "") == (stamped.exit_code, stamped.stderr)
    assert "Recorded: net, version 3, in saved/" in stamped.stdout
    assert "net, version 3" in run("inspect", "saved").stdout
    Path("two.yaml").write_text("migrate: 1\nsource: {model: net, version: 2}\nrules: []\n")
    refused = run("apply", "two.yaml", "saved", "new", "--dry-run")
    assert 1 == refused.exit_code
    assert "the rule file is for version 2, but the checkpoint's metadata records version 3" in refused.stderr
    assert "`migrate stamp saved --model net --version 2`" in refused.stderr
    Path("three.yaml").write_text("migrate: 1\nsource: {model: net, version: 3}\nrules: []\n")
    assert 0 == run("apply", "three.yaml", "saved", "new", "--dry-run").exit_code


def test_a_second_stamp_shows_what_was_recorded(run, here):
    save_with("StandardCheckpointer", here / "saved", {"w": np.ones(3)}, None)
    run("stamp", "saved", "--model", "net", "--version", "3")
    assert "net, version b (was net, version 3), in" in run("stamp", "saved", "--version", "b").stdout
    result = json.loads(run("stamp", "saved", "--version", "4", "--digests", "--json").stdout)
    assert (4, 1, 1) == (result["record"]["version"], result["leaves"], result["added"])
    assert result["record_file"].endswith("saved/_CHECKPOINT_METADATA")
    assert 0 == run("verify", "saved").exit_code


def test_a_single_file_is_refused_with_the_command_that_helps(run, here):
    refused = run("stamp", "old.msgpack", "--model", "net", "--version", "1")
    assert (2, True) == (refused.exit_code, "is a single file (flax msgpack)" in refused.stderr)
    assert "`migrate apply portable old.msgpack NEW`" in refused.stderr
    assert 0 == run("apply", "portable", "old.msgpack", "NEW").exit_code
    assert 0 == run("stamp", "NEW", "--model", "net", "--version", "1").exit_code


def test_heads_that_no_shape_shows_and_code_that_changed_are_named_before_anything_is_written(run, here):
    Path("attention.py").write_text(ATTENTION)
    state = {"qkv": {"kernel": np.ones((4, 12), "float32"), "bias": np.zeros(12, "float32")}}
    save_with("StandardCheckpointer", here / "saved", state, None)
    options = ("--model", "net", "--version", "1", "--template", "attention:eight")
    assert 0 == run("stamp", "saved", *options).exit_code
    Path("rules.yaml").write_text("migrate: 1\nsource: {model: net, version: 1}\ntarget: {version: 2}\nrules: []\n")
    same = run("apply", "rules.yaml", "saved", "new", "--dry-run", "--template", "attention:eight")
    assert (0, False) == (same.exit_code, "saved with" in same.stderr)
    other = run("apply", "rules.yaml", "saved", "new", "--dry-run", "--template", "attention:sixteen")
    assert "saved with num_heads 8, the template has 16" in other.stdout + other.stderr
    Path("attention.py").write_text(
        ATTENTION.replace("nnx.Linear(4, 12, rngs", "nnx.Linear(4, 12, use_bias=True, rngs")
    )
    done = run("apply", "rules.yaml", "saved", "new", "--template", "attention:sixteen")
    assert 0 == done.exit_code
    assert "`attention` (changed)" in done.stdout + done.stderr
    record = json.loads(run("inspect", "new", "--json").stdout)["metadata"]["migrate"]
    assert ("net", 2, 16) == (record["model"], record["version"], record["hyperparameters"]["num_heads"])
    assert ["attention"] == list(record["code_digests"])
