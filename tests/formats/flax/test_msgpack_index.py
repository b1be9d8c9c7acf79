"""The index of a msgpack file: trees of many leaves are read, and trees that could fill the memory are not."""

import msgpack
import numpy as np
import pytest
from flax import serialization

from migrate.errors import CheckpointError
from migrate.formats.flax import msgpack_index
from migrate.formats.flax.msgpack_index import ArrayBytes, Scanner, Size


def scanned(content, tmp_path, size=None):
    scanner = Scanner(content, 0, len(content), tmp_path, Size(len(content)) if size is None else size)
    node = scanner.node(0)
    assert scanner.position == len(content)
    return node


def tree_of(leaves):
    return {"params": {f"block_{i}": {"kernel": np.ones((8, 8), np.float32)} for i in range(leaves)}}


def test_a_tree_of_many_small_leaves_is_read(tmp_path):
    """Of 100,000 matrices, each below a mapping of its own, as Flax writes them."""
    leaf = serialization.to_bytes({"kernel": np.ones((8, 8), np.float32)})
    blocks = b"".join(msgpack.packb(f"block_{i}") + leaf for i in range(100_000))
    assert 100_000 == len(scanned(b"\xdf" + (100_000).to_bytes(4, "big") + blocks, tmp_path))


def test_the_shapes_of_arrays_are_no_entries_of_the_tree(tmp_path, monkeypatch):
    monkeypatch.setattr(msgpack_index, "FREE_ENTRIES", 2_001)
    monkeypatch.setattr(msgpack_index, "ENTRY_BYTES", 10**9)
    assert 1_000 == len(scanned(serialization.to_bytes(tree_of(1_000)), tmp_path)["params"])


def test_a_larger_file_may_have_more_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(msgpack_index, "FREE_ENTRIES", 10)
    arrays = serialization.to_bytes({str(i): np.float32(i) for i in range(1_000)})
    assert 1_000 == len(scanned(arrays, tmp_path))
    with pytest.raises(CheckpointError, match="more than 62 entries, more than any checkpoint has"):
        scanned(msgpack.packb([None] * 1_000), tmp_path)


def test_a_large_file_has_a_bound_too():
    assert "" == Size(1 << 40).excess(msgpack_index.MAX_ENTRIES, 0, 0)
    assert "entries" in Size(1 << 40).excess(msgpack_index.MAX_ENTRIES + 1, 0, 0)


@pytest.mark.parametrize(
    ("content", "unit"),
    [
        (b"\x81\xa1a" * 190 + msgpack.packb({str(i): 1 for i in range(50_000)}), "segments"),
        (msgpack.packb({"a" * 100_000: {str(i): 1 for i in range(1_000)}}), "characters"),
        (msgpack.packb({"a" * 100_000: [1] * 1_000}), "characters"),
        (msgpack.packb({"a" * 100_000: msgpack.ExtType(4, msgpack.packb([1] * 1_000))}), "characters"),
    ],
    ids=["deep", "long", "long, in a list", "long, in a tuple"],
)
def test_what_nesting_multiplies_is_bounded(tmp_path, content, unit):
    with pytest.raises(CheckpointError, match=f"the key paths of its tree have more than .* {unit}"):
        scanned(content, tmp_path)


def test_equal_heads_of_arrays_are_parsed_once(tmp_path, monkeypatch):
    parsed = []
    known = Scanner.array_head
    monkeypatch.setattr(Scanner, "array_head", lambda scanner: parsed.append(scanner) or known(scanner))
    tree = scanned(serialization.to_bytes(tree_of(100)), tmp_path)
    arrays = [block["kernel"] for block in tree["params"].values()]
    assert {((8, 8), "float32", 256)} == {(array.shape, array.dtype, array.nbytes) for array in arrays}
    assert 100 == len({array.offset for array in arrays})
    assert 1 == len(parsed)


def test_arrays_of_equal_sizes_and_other_heads_keep_their_own(tmp_path):
    arrays = {"a": np.ones((2, 4), np.float32), "b": np.ones((4, 2), np.float32), "c": np.ones((2, 4), np.float32)}
    tree = scanned(serialization.to_bytes(arrays), tmp_path)
    assert {name: array.shape for name, array in arrays.items()} == {name: node.shape for name, node in tree.items()}


@pytest.mark.parametrize("shape", [[1] * 65, [-1], ["8"], [None], [True]])
def test_shapes_that_no_array_has_are_refused(tmp_path, shape):
    content = msgpack.packb(msgpack.ExtType(1, msgpack.packb((shape, "uint8", b"1"))))
    with pytest.raises(CheckpointError, match="shape or dtype is invalid"):
        scanned(content, tmp_path)


def test_an_array_with_64_axes_is_read(tmp_path):
    content = msgpack.packb(msgpack.ExtType(1, msgpack.packb(([1] * 64, "uint8", b"1"))))
    assert ArrayBytes((1,) * 64, "uint8", len(content) - 1, 1) == scanned(content, tmp_path)
