"""Msgpack files are what Flax writes, and Flax reads them."""

import flax.serialization
import numpy as np
import pytest

from migrate.engine.outputs import msgpack as msgpack_file
from migrate.engine.outputs.msgpack import MsgpackFile
from migrate.formats.detect import open_reader
from migrate.testing.readers import same_value
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree
from tests.engine.outputs.conftest import written


@pytest.mark.parametrize("limit", [8, 100, 1 << 30])
def test_flax_reads_arrays_in_pieces_as_it_writes_them(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(msgpack_file, "CHUNK_BYTES", limit)
    arrays = {("carrier",): np.ones(5), ("x", "big"): np.arange(63, dtype="float32").reshape(7, 9)}
    arrays |= {("x", "small"): np.float16(3)[None], ("x", "none"): np.zeros((0, 2))}
    leaves = {path: AbstractLeaf("array", AbstractArray(a.shape, a.dtype.name)) for path, a in arrays.items()}
    path = tmp_path / "x.msgpack"
    written(MsgpackFile(), AbstractTree.build(leaves.items()), arrays, path)
    restored = flax.serialization.msgpack_restore(path.read_bytes())
    assert {"carrier", "x"} == restored.keys()
    for (first, *rest), array in arrays.items():
        assert same_value(array, restored[first][rest[0]] if rest else restored[first])
    with open_reader(path) as reader:
        assert all(same_value(array, reader.read(key)) for key, array in arrays.items())


def scalar(dtype):
    return AbstractLeaf("scalar", AbstractArray((), dtype))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("bool", True), ("int64", -(2**63)), ("int64", 0), ("float64", 0.1), ("complex128", 1 - 2j)],
    ids=str,
)
def test_flax_restores_python_numbers(tmp_path, dtype, value):
    tree = AbstractTree.build([(("n",), scalar(dtype))])
    written(MsgpackFile(), tree, {("n",): value}, tmp_path / "x")
    restored = flax.serialization.msgpack_restore((tmp_path / "x").read_bytes())["n"]
    assert (type(value), value) == (type(restored), restored)


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 17, 255, 256, 65535, 65536])
def test_an_array_of_any_size_is_what_flax_reads(tmp_path, size):
    array = np.arange(size).astype(np.uint8)
    tree = AbstractTree.build(
        [
            (("first",), AbstractLeaf("array", AbstractArray((1,), "float32"))),
            (("a",), AbstractLeaf("array", AbstractArray((size,), "uint8"))),
        ]
    )
    written(MsgpackFile(), tree, {("first",): np.ones(1, np.float32), ("a",): array}, tmp_path / "x")
    assert same_value(array, flax.serialization.msgpack_restore((tmp_path / "x").read_bytes())["a"])


def test_typed_keys_are_refused_and_sequences_are_noted():
    key = AbstractLeaf("array", AbstractArray((), "key<fry>"))
    tree = AbstractTree.build([(("k",), key), (("l", "0"), scalar("int64"))], {("l",): "list"})
    refused, ordered = MsgpackFile().problems(tree)
    assert ["error", "note"] == [refused.severity, ordered.severity]
    assert "typed PRNG key" in refused.message
    assert ("l",) == ordered.paths


def test_a_tree_without_arrays_has_no_place_for_metadata():
    (note,) = MsgpackFile().problems(AbstractTree.build([(("n",), scalar("int64"))]))
    assert "cannot hold metadata" in note.message
