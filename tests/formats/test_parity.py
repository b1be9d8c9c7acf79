"""Values of `migrate.formats.orbax.item` are, bit by bit, those of Orbax's own untyped restore."""

import warnings

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from migrate.formats.detect import open_reader
from migrate.testing.readers import check_reader, same_value

TREE_NAMES = ("typical", "odd_names", "dtypes")
WRITER_NAMES = ("ocdbt_zarr2", "plain_zarr2", "ocdbt_zarr3", "plain_zarr3", "standard", "manager", "version_1")


def restored_by_orbax(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ocp.Checkpointer(ocp.PyTreeCheckpointHandler()).restore(folder)


def flat(tree, path=()):
    """Key paths and values of a restored tree; empty containers count as leaves."""
    if isinstance(tree, dict) and tree:
        for key, child in tree.items():
            yield from flat(child, (*path, str(key)))
    elif isinstance(tree, list | tuple) and tree:
        for index, child in enumerate(tree):
            yield from flat(child, (*path, str(index)))
    else:
        yield path, tree


def as_stored(value):
    """A restored value in the form in which readers give it."""
    if isinstance(value, dict | list | tuple):
        return None
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        words = np.asarray(jax.random.key_data(value))
        impl = str(value.dtype).removeprefix("key<").removesuffix(">")
        return words.view(np.dtype([(impl, "<u4", (words.shape[-1],))])).reshape(words.shape[:-1])
    return np.asarray(value) if isinstance(value, jax.Array) else value


@pytest.mark.sample(2)
@pytest.mark.parametrize("tree", TREE_NAMES)
@pytest.mark.parametrize("writer", WRITER_NAMES)
def test_every_leaf_reads_as_orbax_restores_it(written, writer, tree):
    folder = written(writer, tree)
    expected = {path: as_stored(value) for path, value in flat(restored_by_orbax(folder))}
    with open_reader(folder, unbox="never") as reader:
        found = reader.read_all()
    assert expected.keys() == found.keys()
    for path, value in expected.items():
        assert same_value(value, found[path]), path


def test_strings_and_numpy_scalars_read_as_they_were_saved(written):
    """Orbax widens a NumPy scalar to a Python number; the reader keeps its dtype."""
    folder = written("ocdbt_zarr2", "host")
    expected = dict(flat(restored_by_orbax(folder)))
    with open_reader(folder) as reader:
        found = reader.read_all()
    assert expected.keys() == found.keys()
    assert ("héllo", "") == (found["name",], found["deep", "text"])
    assert (np.float32(2.5), np.float32) == (found["narrow",], type(found["narrow",]))
    assert (np.int8(-3), np.int8) == (found["small",], type(found["small",]))


def test_a_backslash_in_a_folder_s_name_reads_where_orbax_does_not(written):
    with open_reader(written("plain_zarr2", "host")) as reader:
        assert [1.0, 1.0] == reader.read(("back\\slash",)).tolist()


@pytest.mark.sample(4)
@pytest.mark.parametrize("tree", TREE_NAMES)
@pytest.mark.parametrize("writer", WRITER_NAMES)
def test_every_writer_s_checkpoint_keeps_the_laws(written, writer, tree):
    check_reader(lambda: open_reader(written(writer, tree)))


@pytest.mark.parametrize("writer", WRITER_NAMES)
def test_kinds_and_containers_are_those_that_were_saved(written, writer):
    tree = open_reader(written(writer, "typical")).abstract().tree
    kinds = {"/".join(path): str(leaf) for path, leaf in tree.leaves.items() if leaf.kind != "array"}
    assert kinds == {
        "empty/dict": "empty dict",
        "empty/list": "empty list",
        "empty/tuple": "empty tuple",
        "flag": "bool scalar",
        "none": "none",
        "rate": "float64 scalar",
        "step": "int64 scalar",
    }
    assert {("params", "layers"): "list"} == tree.containers
    keys = {path[-1]: str(leaf.aval) for path, leaf in tree.leaves.items() if path[0] == "keys"}
    assert {"one": "key<fry>[]", "many": "key<fry>[3]", "rbg": "key<rbg>[]"} == keys


@pytest.mark.parametrize(
    ("writer", "driver", "codec", "format"),
    [
        ("ocdbt_zarr2", "zarr2", "zstd:1", "orbax ocdbt"),
        ("plain_zarr2", "zarr2", "zstd:1", "orbax zarr"),
        ("ocdbt_zarr3", "zarr3", "zstd:3", "orbax ocdbt"),
        ("plain_zarr3", "zarr3", "zstd:3", "orbax zarr"),
    ],
)
def test_storage_says_how_an_array_lies_on_disk(written, writer, driver, codec, format):
    checkpoint = open_reader(written(writer, "typical")).abstract()
    storage = checkpoint.tree.leaves["params", "Dense_0", "kernel"].storage
    assert (driver, (4, 3), codec) == (storage.driver, storage.chunks, storage.codec)
    assert (format, driver == "zarr3") == (checkpoint.format, checkpoint.zarr3)
