"""`migrate stamp` records digests, with which `verify` finds a later change."""

import json

import numpy as np
import orbax.checkpoint as ocp

from migrate.formats.digest_record import FILE


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


def test_without_digests_there_is_nothing_to_record(run):
    result = run("stamp", "old.msgpack")
    assert 2 == result.exit_code
    assert "add --digests" in result.stderr


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
