"""Flax files with arrays beside them, as several processes saved them."""

import shutil

import pytest
from flax import serialization

from migrate.errors import CheckpointError
from migrate.formats.detect import list_steps, open_reader
from migrate.testing.readers import check_reader


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
