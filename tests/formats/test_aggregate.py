"""The msgpack `checkpoint` file of Orbax before 0.5.21: values inside, or placeholders for arrays beside it."""

import json
import shutil

import msgpack
import numpy as np
import pytest
from flax import serialization

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.testing.readers import check_reader, read_all


@pytest.fixture
def item(written, tmp_path):
    """`item(tree)`: an item whose msgpack file is `tree`, beside the arrays `w` and `opt.m` and the string `note`."""

    def write(tree, declared=None):
        folder = tmp_path / "item"
        arrays = written("plain_zarr2", "typical")
        shutil.copytree(arrays / "params.Dense_0.kernel", folder / "w")
        shutil.copytree(arrays / "step", folder / "opt.m")
        (folder / "_strings.json").write_text(json.dumps({"note": "hello"}))
        (folder / "checkpoint").write_bytes(serialization.msgpack_serialize(tree))
        if declared is not None:
            (folder / "_METADATA").write_text(json.dumps({"tree_metadata": declared}))
        return folder

    return write


def declare(*keys, value_type="jax.Array", skip=False):
    return {
        "key_metadata": [{"key": key, "key_type": 1 if key.isdecimal() else 2} for key in keys],
        "value_metadata": {"value_type": value_type, "skip_deserialize": skip},
    }


@pytest.mark.parametrize("prefix", ["PLACEHOLDER://", "AGGREGATED://"])
def test_placeholders_lead_to_the_arrays_beside_the_file(item, prefix):
    folder = item({"w": f"{prefix}w", "opt": {"m": f"{prefix}opt.m"}, "note": f"{prefix}note", "b": np.ones(2)})
    check_reader(lambda: open_reader(folder))
    with open_reader(folder) as reader:
        drivers = {path[0]: leaf.storage.driver for path, leaf in reader.abstract().tree.leaves.items()}
        values = read_all(reader)
        assert ("orbax zarr", "orbax-checkpoint before 0.4.3") == (reader.abstract().format, reader.abstract().era)
    assert {"w": "zarr2", "opt": "zarr2", "note": "json", "b": "msgpack"} == drivers
    assert ((4, 3), 3, "hello") == (values["w",].shape, int(values["opt", "m"]), values["note",])


def test_the_bare_name_of_an_array_stands_for_it(item):
    with open_reader(item({"w": "w", "opt": {"m": "opt.m"}, "text": "w"})) as reader:
        values = read_all(reader)
    assert ((4, 3), "w") == (values["w",].shape, values["text",])


def test_a_specification_stands_for_the_array_in_its_last_folder(item):
    spec = {
        "driver": "zarr",
        "kvstore": {"driver": "file", "path": "/tmp/save.orbax-checkpoint-tmp-1/w"},
        "dtype": "float32",
    }
    with open_reader(item({"w": spec})) as reader:
        assert (4, 3) == reader.read(("w",)).shape


def test_values_inside_keep_the_kinds_that_the_metadata_declares(item):
    declared = {
        "w": declare("w"),
        "opt": declare("opt", "0", "m"),
        "rate": declare("rate", value_type="scalar"),
        "none": declare("none", value_type="None", skip=True),
        "inside": declare("inside", value_type="np.ndarray", skip=True),
    }
    tree = {
        "w": "PLACEHOLDER://w",
        "opt": {"0": {"m": "PLACEHOLDER://opt.m"}},
        "rate": np.array(0.5),
        "none": None,
        "inside": np.ones(2),
    }
    with open_reader(item(tree, declared)) as reader:
        found = reader.abstract().tree
        values = read_all(reader)
    kinds = {path[0]: str(leaf) for path, leaf in found.leaves.items()}
    assert {
        "w": "float32[4,3]",
        "opt": "int64[]",
        "rate": "float64 scalar",
        "none": "none",
        "inside": "float64[2]",
    } == kinds
    assert {("opt",): "list"} == found.containers
    assert (0.5, float) == (values["rate",], type(values["rate",]))


def test_values_alone_are_an_item_too(tmp_path):
    (tmp_path / "checkpoint").write_bytes(msgpack.packb({"a": 1}))
    with open_reader(tmp_path) as reader:
        assert "orbax msgpack" == reader.abstract().format
        assert 1 == reader.read(("a",))


def test_a_placeholder_without_its_array_is_refused(item):
    with pytest.raises(CheckpointError) as caught:
        open_reader(item({"a": {"b": "PLACEHOLDER://a.b"}}))
    assert [("M403", ("a/b",))] == [(found.code, found.paths) for found in caught.value.diagnostics]


def test_a_declared_string_that_is_nowhere_is_refused(item):
    with pytest.raises(CheckpointError) as caught:
        open_reader(item({}, {"lost": declare("lost", value_type="string")}))
    assert [("M403", ("lost",))] == [(found.code, found.paths) for found in caught.value.diagnostics]
