"""The record of digests: its round trip through text, and its own protection."""

import json
from contextlib import suppress

import pytest

from migrate.errors import CheckpointError
from migrate.formats.digest_record import (
    FILE,
    DigestRecord,
    LeafDigests,
    blocks_of,
    changed_files,
    read_record,
    small_files,
)

RECORD = DigestRecord(
    {
        ("a", "b"): LeafDigests("float32[2]", ("0" * 40,), ("", "a.b")),
        ("l", "0"): LeafDigests("float32[2]", None, ("", "l.0")),
        ("s",): LeafDigests("string", ("1" * 40,)),
        ("n",): LeafDigests("none", ()),
        ("ü", "\udcff"): LeafDigests("int32[0]", (), ("", "ü.\udcff")),
    },
    (("l",),),
    {"": {"zarr_format": 3, "ocdbt": True}},
)


def test_a_record_comes_back_from_its_text(tmp_path):
    assert RECORD == DigestRecord.from_text(RECORD.to_text(), tmp_path)
    assert (("l", "0"),) == RECORD.undigested
    assert read_record(tmp_path / FILE) is None


def test_every_altered_character_is_refused_or_changes_nothing(tmp_path):
    text = RECORD.to_text()
    for at, old in enumerate(text):
        altered = text[:at] + chr(ord(old) ^ 1) + text[at + 1 :]
        with suppress(CheckpointError):
            assert RECORD == DigestRecord.from_text(altered, tmp_path), altered[at - 20 : at + 20]


def test_the_file_is_named_and_a_newer_version_is_not_called_damaged_digests(tmp_path):
    newer = {**json.loads(RECORD.to_text()), "version": 2}
    with pytest.raises(CheckpointError, match=r"somewhere.*its version is 2"):
        DigestRecord.from_text(json.dumps(newer), tmp_path / "somewhere")


def test_a_leaf_has_the_same_digest_under_every_name():
    one, other = LeafDigests("float32[2]", ("0" * 40,), ("", "a")), LeafDigests("float32[2]", ("0" * 40,), ("x", "b"))
    assert one.digest == other.digest
    assert one.digest != LeafDigests("float32[1,2]", ("0" * 40,)).digest


def test_the_root_depends_on_the_order_and_the_names_of_the_leaves():
    turned = DigestRecord(dict(reversed(RECORD.leaves.items())), RECORD.sequences, RECORD.items)
    assert turned.root != RECORD.root


def test_blocks_cover_a_leaf_without_gaps():
    assert [] == list(blocks_of(0))
    assert [range(16 << 20), range(16 << 20, (16 << 20) + 1)] == list(blocks_of((16 << 20) + 1))


def test_the_record_of_an_item_becomes_part_of_that_of_its_step():
    leaf = LeafDigests("float32[2]", ("b" * 40,), ("", "w"))
    alone = DigestRecord({("w",): leaf}, [("w",)], {"": {"ocdbt": True}}, {"_METADATA": "sha256:1"})
    step = DigestRecord(
        {("a", "w"): leaf, ("b", "w"): leaf}, [("a",), ("b",)], {"a": {}, "b": {}}, {"a/_METADATA": "x"}
    )
    found = step.without_items({"a"}).joined(alone.below("c"))
    assert {("b", "w"): leaf, ("c", "w"): LeafDigests("float32[2]", leaf.blocks, ("c", "w"))} == found.leaves
    assert ([("b",), ("c", "w")], {"b": {}, "c": {"ocdbt": True}}) == (found.sequences, found.items)
    assert {} == found.files
    assert {"a/_METADATA": "x", "c/_METADATA": "sha256:1"} == step.joined(alone.below("c")).files


def test_an_item_with_a_record_of_its_own_is_not_part_of_that_of_its_step(tmp_path):
    for item in ("a", "b"):
        (tmp_path / item).mkdir()
        (tmp_path / item / "_METADATA").write_text("{}")
    recorded = small_files(tmp_path)
    (tmp_path / "b" / FILE).write_text("")
    assert ["b/_METADATA"] == changed_files(DigestRecord({}, files={**recorded, "b/_METADATA": "other"}), tmp_path)
    del recorded["b/_METADATA"]
    assert [] == changed_files(DigestRecord({}, files=recorded), tmp_path)
    (tmp_path / "b" / FILE).unlink()
    assert ["b/_METADATA"] == changed_files(DigestRecord({}, files=recorded), tmp_path)


def test_equal_values_are_hashed_once_and_have_the_digest_of_each():
    leaves = {
        (name,): LeafDigests(type_, blocks)
        for name, type_, blocks in [
            ("a", "float32[2]", ("0" * 40,)),
            ("b", "float32[2]", ("0" * 40,)),
            ("c", "int8[2]", ("0" * 40,)),
            ("d", "int8[2]", None),
        ]
    }
    assert {path: leaf.digest for path, leaf in leaves.items()} == DigestRecord(leaves).digests
