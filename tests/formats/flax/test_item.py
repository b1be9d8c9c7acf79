"""Flax files with arrays beside them, as several processes saved them."""

import shutil

import numpy as np
import pytest
from flax import serialization

from migrate.errors import CheckpointError
from migrate.formats.detect import list_steps, open_reader
from migrate.testing.readers import check_reader
from migrate.tree import format_path


@pytest.fixture
def spread(written, tmp_path):
    tree = {"params": {"w": "//GDAPlaceholder:params/w"}, "step": 3}
    (tmp_path / "checkpoint_3").write_bytes(serialization.msgpack_serialize(tree))
    arrays = written("plain_zarr2", "typical")
    shutil.copytree(arrays / "params.Dense_0.kernel", tmp_path / "checkpoint_3_gda" / "params" / "w")
    return tmp_path / "checkpoint_3"


def test_arrays_beside_the_file_are_leaves_of_it(spread):
    check_reader(lambda: open_reader(spread))
    with open_reader(spread) as reader:
        leaf = reader.abstract().tree.leaves["params", "w"]
        assert ("float32[4,3]", "zarr2") == (str(leaf), leaf.storage.driver)
        assert list(range(12)) == reader.read(("params", "w")).ravel().tolist()
        assert "params/w" == reader.location(("params", "w")).name
        assert None is reader.location(("step",))


def test_the_folder_of_arrays_is_no_step(spread):
    assert (3,) == list_steps(spread.parent)


@pytest.mark.parametrize("what", ["checkpoint_3_gda", "checkpoint_3_gda/params/w/.zarray"])
def test_a_lost_array_is_refused(spread, what):
    lost = spread.parent / what
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    with pytest.raises(CheckpointError) as caught:
        open_reader(spread)
    (diagnostic,) = caught.value.diagnostics
    assert ("params/w",) == diagnostic.paths
    assert "M403" == diagnostic.code


def test_a_lost_chunk_is_refused(spread):
    (spread.parent / "checkpoint_3_gda" / "params" / "w" / "0.0").unlink()
    with open_reader(spread) as reader, pytest.raises(CheckpointError, match="missing"):
        reader.read(("params", "w"))


def test_the_folder_of_arrays_is_not_listed_as_ignored(spread):
    with open_reader(spread.parent) as reader:
        checkpoint = reader.abstract()
    assert ("flax 0.5.3 or later", "flax msgpack and zarr", ()) == (checkpoint.era, checkpoint.format, checkpoint.notes)


def flat(path, tree, **choice):
    path.write_bytes(serialization.msgpack_serialize(tree))
    with open_reader(path, **choice) as reader:
        checkpoint = reader.abstract()
        assert checkpoint.tree.leaves.keys() == reader.read_all().keys()
        return checkpoint.separator, {format_path(leaf) for leaf in checkpoint.tree.leaves}


def test_names_of_one_flat_mapping_are_split_where_they_form_a_tree(tmp_path):
    arrays = {f"params,Dense_0,{name}": np.ones(3, np.float32) for name in ("kernel", "bias")}
    path = tmp_path / "old.msgpack"
    assert (",", {"params/Dense_0/kernel", "params/Dense_0/bias"}) == flat(path, arrays)
    check_reader(lambda: open_reader(path))
    assert (None, {"params,Dense_0,kernel", "params,Dense_0,bias"}) == flat(path, arrays, separator="")
    assert ("_", {"params,Dense/0,kernel", "params,Dense/0,bias"}) == flat(path, arrays, separator="_")


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        ({"a.b": np.ones(2), "c": np.ones(2)}, {"a.b", "c"}),
        ({"a.b": 1, "a.c": 2}, {"a.b", "a.c"}),
        ({"/": np.ones(2), "/x": np.ones(2)}, {r"\/", r"\/x"}),
        ({"params": {"a.b": np.ones(2), "a.c": np.ones(2)}}, {"params/a.b", "params/a.c"}),
    ],
)
def test_other_mappings_keep_their_keys(tmp_path, tree, names):
    assert (None, names) == flat(tmp_path / "old", tree)


def test_a_separator_for_nested_names_is_refused(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        flat(tmp_path / "old", {"params": {"a.b": np.ones(2)}}, separator=".")
    assert ["M412"] == [found.code for found in caught.value.diagnostics]
