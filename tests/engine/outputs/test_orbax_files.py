"""The small files beside the arrays; that they are Orbax's own is shown by `test_orbax_commit.py`."""

import base64
import json

import numpy as np
import pytest

from migrate.engine.outputs import orbax_files
from migrate.engine.staged_array import StagedArray
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, Sharding


def staged(name="a", dtype="float32", **fields):
    return StagedArray(name, (4, 2), np.dtype(dtype), (2, 2), (1, 2), fields.get("key"), "xxh3:0", fields.get("mesh"))


@pytest.mark.parametrize("dtype", ["int64", "uint64", "float64", "complex128"])
def test_dtypes_that_jax_would_narrow_are_recorded_as_numpys(dtype):
    tree = AbstractTree.build([(("a",), AbstractLeaf("array", AbstractArray((4, 2), dtype)))])
    arrays = {("a",): staged(dtype=dtype)}
    (leaf,) = json.loads(orbax_files.tree_metadata(tree, arrays, {}, zarr3=False))["tree_metadata"].values()
    assert "np.ndarray" == leaf["value_metadata"]["value_type"]
    assert not orbax_files.is_jax_array(arrays["a",])


def test_every_key_of_a_path_says_whether_its_container_is_a_dict():
    leaf = AbstractLeaf("scalar", AbstractArray((), "int64"), box="value")
    tree = AbstractTree.build([(("layers", "0", "n"), leaf)], {("layers",): "list"})
    (found,) = json.loads(orbax_files.tree_metadata(tree, {}, None, zarr3=True))["tree_metadata"].values()
    assert [("layers", 2), ("0", 1), ("n", 2), ("value", 2)] == [
        (key["key"], key["key_type"]) for key in found["key_metadata"]
    ]


def test_custom_metadata_are_null_for_an_item_of_a_step():
    texts = (orbax_files.tree_metadata(AbstractTree({}), {}, given, zarr3=False) for given in (None, {"run": 1}))
    assert [None, {"run": 1}] == [json.loads(text)["custom_metadata"] for text in texts]


def test_an_array_without_a_sharding_adapts_to_the_devices_and_names_are_encoded():
    mesh = Sharding((("x", 2), ("y", 1)), (("x",), None))
    found = json.loads(orbax_files.shardings([staged("a.ü"), staged("b", mesh=mesh)]))
    encoded = [base64.urlsafe_b64encode(name.encode()).decode() for name in ("a.ü", "b")]
    assert encoded == list(found)
    assert [[-1], [2, 1]] == [json.loads(found[name])["shape"] for name in encoded]


def test_shards_chunks_and_key_implementations_are_recorded():
    (plain, key) = json.loads(orbax_files.array_metadatas([staged(), staged("k", "uint32", key="rbg")]))[
        "array_metadatas"
    ]
    assert ([2, 2], [1, 2], None) == tuple(
        plain["array_metadata"][name] for name in ("write_shape", "chunk_shape", "ext_metadata")
    )
    assert {"random_key_impl": "rbg"} == key["array_metadata"]["ext_metadata"]


def test_strings_are_listed_by_their_stored_name_and_nothing_else_is():
    tree = AbstractTree.build([(("a", "b"), AbstractLeaf("string")), (("c",), AbstractLeaf("none"))])
    assert {"a.b": "text"} == json.loads(orbax_files.strings(tree, {("a", "b"): "text", ("c",): None}))
