"""The versions that can have written an item; eras of real old files are compared where available."""

import json

import msgpack
import pytest

from migrate.formats.detect import open_reader
from migrate.formats.flax.msgpack import MappedMsgpack
from migrate.formats.orbax.era import Evidence, describe_era
from migrate.formats.orbax.metadata import read_tree
from migrate.formats.zarr.store import ZarrStore

JAX = {"key_metadata": [{"key": "a", "key_type": 2}], "value_metadata": {"value_type": "jax.Array"}}
HOST = {"key_metadata": [{"key": "a", "key_type": 2}], "value_metadata": {"value_type": "np.ndarray"}}
STORE = {"store_array_data_equal_to_fill_value": True}
SPEC = {"driver": "zarr", "kvstore": {"driver": "file", "path": "/tmp/x.orbax-checkpoint-tmp-1/a"}}


def era(folder):
    values = MappedMsgpack(folder / "checkpoint") if (folder / "checkpoint").is_file() else None
    return describe_era(Evidence(folder, read_tree(folder), values, ZarrStore(folder)))


def describe(folder, flags, leaf=JAX):
    (folder / "_METADATA").write_text(json.dumps({"tree_metadata": {"a": leaf}, **flags}))


@pytest.mark.parametrize(
    ("flags", "files", "expected"),
    [
        ({}, [], "0.5.21 to 0.10.0"),
        (STORE, [], "0.10.1 to 0.11.0"),
        ({**STORE, "custom_metadata": None}, [], "0.11.1 to 0.11.8"),
        ({**STORE, "custom_metadata": None}, ["array_metadatas"], "0.11.9 to 0.11.30"),
        ({"custom_metadata": None, "use_ocdbt": True}, ["array_metadatas"], "0.11.31 or later"),
        ({"use_ocdbt": True}, ["commit_success.txt"], "0.12.3 or later"),
    ],
)
def test_metadata_alone_is_of_the_last_change_that_left_a_trace(tmp_path, flags, files, expected):
    for name in files:
        (tmp_path / name).mkdir() if name == "array_metadatas" else (tmp_path / name).touch()
    describe(tmp_path, flags)
    assert f"orbax-checkpoint {expected}" == era(tmp_path)


def test_without_jax_arrays_a_later_version_leaves_no_trace_either(tmp_path):
    describe(tmp_path, {**STORE, "custom_metadata": None}, HOST)
    assert "orbax-checkpoint 0.11.1 to 0.11.30" == era(tmp_path)


@pytest.mark.parametrize(
    ("files", "sharding", "expected"),
    [
        (["_CHECKPOINT_METADATA"], {}, "0.5.11 to 0.5.20"),
        ([], {}, "0.4.3 to 0.5.20"),
        (["ocdbt.process_0/manifest.ocdbt"], {}, "0.4.4 to 0.5.20"),
        (["manifest.ocdbt"], None, "0.3.4 to 0.3.5"),
        (["manifest.ocdbt"], {"a": ""}, "0.4.0"),
        (["manifest.ocdbt"], {"YQ==": ""}, "0.4.1 to 0.4.2"),
        (["manifest.ocdbt"], {"YQ==": "{}"}, "0.4.3 to 0.5.20"),
    ],
)
def test_metadata_beside_msgpack_is_of_2023_and_2024(tmp_path, files, sharding, expected):
    describe(tmp_path, {})
    (tmp_path / "checkpoint").write_bytes(msgpack.packb({"a": "PLACEHOLDER://a"}))
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    if sharding is not None:
        (tmp_path / "_sharding").write_text(json.dumps(sharding))
    assert f"orbax-checkpoint {expected}" == era(tmp_path)


@pytest.mark.parametrize(
    ("tree", "files", "expected"),
    [
        ({"a": SPEC}, [], "orbax 0.0.1 to 0.0.13"),
        ({"version": 3, "optimizer": {"target": SPEC}}, [], "t5x 2021 to 2023"),
        ({"a": "a"}, ["a/.zarray"], "orbax 0.0.14 to 0.0.18"),
        ({"a": "AGGREGATED://a"}, [], "orbax 0.0.19 to 0.0.20"),
        ({"a": "PLACEHOLDER://a"}, [], "orbax 0.0.21 to orbax-checkpoint 0.4.2"),
        ({"a": ["PLACEHOLDER://a.0"]}, [], "orbax 0.1.4 to orbax-checkpoint 0.4.2"),
        ({"a": "PLACEHOLDER://a"}, ["manifest.ocdbt"], "orbax-checkpoint 0.1.7 to 0.4.2"),
        ({"a": "PLACEHOLDER://a"}, ["manifest.ocdbt", "_sharding"], "orbax-checkpoint 0.4.0 to 0.4.2"),
        ({"a": 1}, [], "orbax 0.0.1 to orbax-checkpoint 0.4.2"),
    ],
)
def test_msgpack_alone_is_of_what_stands_for_its_arrays(tmp_path, tree, files, expected):
    (tmp_path / "checkpoint").write_bytes(msgpack.packb(tree))
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert expected == era(tmp_path)


def test_without_any_record_nothing_is_claimed(written, tmp_path):
    assert "orbax-checkpoint, before 0.4.3 or with its metadata lost" == era(tmp_path)


@pytest.mark.parametrize("writer", ["ocdbt_zarr2", "plain_zarr2", "ocdbt_zarr3", "standard", "manager"])
def test_what_the_installed_version_writes_is_of_the_latest_era(written, writer):
    with open_reader(written(writer, "typical")) as reader:
        assert "orbax-checkpoint 0.12.3 or later" == reader.abstract().era


def test_a_file_that_a_stamp_created_is_no_trace_of_a_version(tmp_path):
    describe(tmp_path, {})
    (tmp_path / "checkpoint").write_bytes(msgpack.packb({"a": "PLACEHOLDER://a"}))
    before = era(tmp_path)
    file = tmp_path / "_CHECKPOINT_METADATA"
    file.write_text(json.dumps({"custom_metadata": {"migrate": {}}}))
    assert before == era(tmp_path)
    file.write_text(json.dumps({"init_timestamp_nsecs": 1, "custom_metadata": {}}))
    assert before != era(tmp_path)
