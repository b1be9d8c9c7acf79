"""Flax's msgpack in several files, with and without their index."""

import json

import numpy as np
import pytest
from flax import serialization
from flax.traverse_util import flatten_dict

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.testing.readers import check_reader, same_value
from tests.formats.sources import INDEX, SHARDED_TREE, sharded_msgpack

FLAT = flatten_dict(SHARDED_TREE)


@pytest.fixture
def folder(tmp_path):
    sharded_msgpack(tmp_path)
    return tmp_path


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        open_reader(path)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def assert_reads_the_tree(path):
    with open_reader(path) as reader:
        assert FLAT.keys() == reader.abstract().tree.leaves.keys()
        assert all(same_value(value, reader.read(key)) for key, value in FLAT.items())
        assert "flax msgpack, 3 files" == reader.abstract().format


def test_a_folder_with_an_index_is_one_tree(folder):
    (folder / "config.json").write_text("{}")
    assert_reads_the_tree(folder)
    with open_reader(folder) as reader:
        assert [("config.json",)] == [note.paths for note in reader.abstract().notes if note.code == "M407"]


def test_the_index_alone_names_the_checkpoint(folder):
    assert_reads_the_tree(folder / INDEX)


def test_all_parts_without_their_index_are_one_tree(folder):
    (folder / INDEX).unlink()
    assert_reads_the_tree(folder)


@pytest.mark.parametrize("name", ["", INDEX])
def test_it_keeps_the_readers_laws(folder, name):
    check_reader(lambda: open_reader(folder / name))


def test_a_missing_part_is_named(folder):
    (folder / "flax_model-00002-of-00003.msgpack").unlink()
    for path in (folder, folder / INDEX):
        found = refusal(path)
        assert "M403" == found.code
        assert "`flax_model-00002-of-00003.msgpack`" in found.message


def test_a_missing_part_is_named_without_the_index(folder):
    (folder / INDEX).unlink()
    (folder / "flax_model-00003-of-00003.msgpack").unlink()
    assert "`flax_model-00003-of-00003.msgpack` are missing" in refusal(folder).message


def test_a_leaf_of_the_index_that_its_file_lacks_is_named(folder):
    content = json.loads((folder / INDEX).read_text())
    content["weight_map"]["lm_head/bias"] = "flax_model-00001-of-00003.msgpack"
    (folder / INDEX).write_text(json.dumps(content))
    found = refusal(folder)
    assert ("M403", ("lm_head/bias",)) == (found.code, found.paths)


@pytest.mark.parametrize("extra", [{"lm_head": {"kernel": np.ones(1)}}, {"lm_head": np.ones(1)}])
def test_a_leaf_that_two_parts_hold_is_refused(folder, extra):
    (folder / INDEX).unlink()
    part = folder / "flax_model-00003-of-00003.msgpack"
    tree = serialization.msgpack_restore(part.read_bytes())
    other = "flax_model-00001-of-00003.msgpack"
    assert "lm_head" not in tree
    part.write_bytes(serialization.msgpack_serialize(tree | extra))
    found = refusal(folder)
    assert "M405" == found.code
    assert other in found.message
    assert part.name in found.message


def test_a_lone_part_is_refused_with_the_index_and_the_others(folder):
    found = refusal(folder / "flax_model-00002-of-00003.msgpack")
    assert "M403" == found.code
    assert "is part 2 of 3 of a checkpoint" in found.message
    for name in (INDEX, "flax_model-00001-of-00003.msgpack", "flax_model-00003-of-00003.msgpack"):
        assert f"`{name}`" in found.message
    assert f"`{folder / INDEX}`" in found.help
    assert_reads_the_tree(found.help.split("`")[1])


def test_a_lone_part_without_the_others_says_what_to_copy(folder):
    (folder / INDEX).unlink()
    (folder / "flax_model-00001-of-00003.msgpack").unlink()
    found = refusal(folder / "flax_model-00002-of-00003.msgpack")
    assert f"its index, `{INDEX}`, is not beside it" in found.message
    assert "copy `flax_model-00001-of-00003.msgpack` beside it" in found.help
