"""Items that are not trees: one array, one random key (`migrate.formats.orbax.random_key`)."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from migrate.formats.detect import open_reader
from migrate.testing.readers import check_reader, same_value


@pytest.fixture(scope="module")
def managed(tmp_path_factory):
    """A step with an array, random keys of every kind, and a tree that has nothing but a key `checkpoint`."""
    root = tmp_path_factory.mktemp("single") / "root"
    with ocp.CheckpointManager(root) as manager:
        args = ocp.args.Composite(
            array=ocp.args.ArraySave(jnp.arange(6.0).reshape(2, 3)),
            typed=ocp.args.JaxRandomKeySave(jax.random.key(3)),
            four=ocp.args.ArraySave(jnp.arange(4, dtype=jnp.uint32)),
            words=ocp.args.JaxRandomKeySave(jax.random.PRNGKey(5)),
            numpy=ocp.args.NumpyRandomKeySave(np.random.RandomState(0).get_state()),
            tree=ocp.args.PyTreeSave({"checkpoint": np.ones(2)}),
        )
        manager.save(1, args=args)
    return root


def only_leaf(path, **options):
    check_reader(lambda: open_reader(path, **options))
    with open_reader(path, **options) as reader:
        (leaf_path,) = reader.abstract().tree.leaves
        notes = [(note.code, note.severity) for note in reader.abstract().notes]
        return leaf_path, str(reader.abstract().tree.leaves[leaf_path]), reader.read(leaf_path), notes


def test_an_array_saved_alone_is_a_leaf_at_the_root(managed):
    path, leaf, value, notes = only_leaf(managed, item="array")
    assert ((), "float32[2,3]", []) == (path, leaf, notes)
    assert [[0, 1, 2], [3, 4, 5]] == value.tolist()


def test_in_a_step_it_goes_by_its_item_s_name(managed):
    check_reader(lambda: open_reader(managed))
    with open_reader(managed) as reader:
        assert {("array",), ("typed",), ("words",)} <= reader.abstract().tree.leaves.keys()


def test_a_random_key_is_one(managed):
    path, leaf, value, notes = only_leaf(managed, item="typed")
    assert ((), "key<fry>[]", []) == (path, leaf, notes)
    assert same_value(np.asarray(jax.random.key_data(jax.random.key(3))), np.asarray(value["fry"]))


def test_a_key_of_four_words_is_of_the_first_implementation_that_has_them_and_a_warning_says_so(managed, tmp_path):
    """As it is saved where `jax_default_prng_impl` is one of the two; Orbax does not say which."""
    folder = shutil.copytree(managed / "1" / "typed", tmp_path / "key")
    shutil.rmtree(folder / "jax_random_key")
    shutil.copytree(managed / "1" / "four", folder / "jax_random_key")
    path, leaf, value, notes = only_leaf(folder)
    assert ((), "key<rbg>[]") == (path, leaf)
    assert ("M410", "warning") in notes
    assert [0, 1, 2, 3] == value["rbg"].tolist()


def test_a_key_that_was_words_stays_words(managed):
    path, leaf, value, notes = only_leaf(managed, item="words")
    assert ((), "uint32[2]", []) == (path, leaf, notes)
    assert [0, 5] == value.tolist()


def test_the_state_of_numpy_s_generator_is_a_tree(managed):
    with open_reader(managed, item="numpy") as reader:
        paths = list(reader.abstract().tree.leaves)
        assert "MT19937" == reader.read(paths[0])
        assert same_value(np.random.RandomState(0).get_state()[1], reader.read(paths[1]))


def test_a_tree_whose_only_key_is_called_checkpoint_is_a_tree(managed):
    assert (("checkpoint",), "float64[2]") == only_leaf(managed, item="tree")[:2]


def test_each_opens_by_its_own_directory(managed):
    assert [("M410", "note")] == only_leaf(managed / "1" / "array")[3]
    assert "key<fry>[]" == only_leaf(managed / "1" / "typed")[1]


def test_an_array_of_a_version_without_metadata_needs_no_guess(managed, tmp_path):
    folder = shutil.copytree(managed / "1" / "array", tmp_path / "array")
    for name in ("_METADATA", "_sharding", "commit_success.txt"):
        (folder / name).unlink()
    assert ((), "float32[2,3]") == only_leaf(folder)[:2]
    assert [] == only_leaf(folder)[3]


def test_items_that_only_look_like_a_key_are_items(managed, tmp_path):
    """A step may have an item `x` and a JSON item `x_metadata`."""
    shutil.copytree(managed / "1" / "tree", tmp_path / "x")
    (tmp_path / "x_metadata").mkdir()
    (tmp_path / "x_metadata" / "metadata").write_text(json.dumps({"rate": 1}))
    with open_reader(tmp_path) as reader:
        assert (["x"], {"x_metadata": {"rate": 1}}) == (list(reader.abstract().items), reader.abstract().extras)
