"""Safetensors files are the library's own, byte for byte, and the tree is read back from them."""

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors import TensorSpec, safe_open, serialize

from migrate.engine.outputs.file_store import FileStore, file_of, remember
from migrate.engine.outputs.safetensors import SafetensorsFile
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree
from tests.engine.outputs.conftest import nobody, written


def test_a_safetensors_file_is_byte_for_byte_the_librarys(tmp_path):
    arrays = {("b", "w"): np.ones((2, 3), "float32"), ("a",): np.arange(3), ("c",): np.ones(2, ml_dtypes.bfloat16)}
    leaves = {path: AbstractLeaf("array", AbstractArray(a.shape, a.dtype.name)) for path, a in arrays.items()}
    form, tree = SafetensorsFile(), AbstractTree.build(leaves.items())
    layout = form.layout(tree, {}, {})
    remember(tmp_path, {}, layout.sizes)
    with FileStore(tmp_path, layout, form.encoded) as store:
        for path, array in arrays.items():
            store.write(path, leaves[path], array, codec=None, done=nobody)
        store.finish(layout.fixed)
    specs = {
        ".".join(path): TensorSpec(dtype=a.dtype.name, shape=a.shape, data_ptr=a.ctypes.data, data_len=a.nbytes)
        for path, a in arrays.items()
    }
    assert bytes(serialize(specs, metadata={"format": "pt"})) == file_of(tmp_path).read_bytes()


def test_custom_metadata_are_texts_that_the_library_reads(tmp_path):
    tree = AbstractTree.build([(("a",), AbstractLeaf("array", AbstractArray((2,), "float32")))])
    written(SafetensorsFile(), tree, {("a",): np.ones(2, np.float32)}, tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", "numpy") as file:
        metadata = file.metadata()
    assert ("pt", {"model": "m"}) == (metadata["format"], json.loads(metadata["migrate"]))


@pytest.mark.parametrize(
    ("path", "leaf", "what"),
    [
        (("s",), AbstractLeaf("string"), "it is a string"),
        (("k",), AbstractLeaf("array", AbstractArray((), "key<fry>")), "typed PRNG key"),
        (("i",), AbstractLeaf("array", AbstractArray((2,), "int4")), "the format has no dtype int4"),
        (("__metadata__",), AbstractLeaf("array", AbstractArray((2,), "float32")), "it has no name"),
    ],
    ids=["string", "key", "dtype", "name"],
)
def test_leaves_that_the_format_cannot_hold_have_a_cure(path, leaf, what):
    (problem,) = SafetensorsFile().problems(AbstractTree.build([(path, leaf)]))
    assert what in problem.message
    assert problem.help


def test_a_file_is_recognized_by_its_content(tmp_path):
    tree = AbstractTree.build([(("a",), AbstractLeaf("array", AbstractArray((2,), "float32")))])
    written(SafetensorsFile(), tree, {("a",): np.ones(2, np.float32)}, tmp_path / "x")
    assert SafetensorsFile().recognizes(tmp_path / "x")
    (tmp_path / "y").write_bytes(b"\x81\xa1a\x01")
    assert not SafetensorsFile().recognizes(tmp_path / "y")
