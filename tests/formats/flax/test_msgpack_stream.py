"""Msgpack files with several objects: EasyLM's stream of pairs is a tree, any other is refused with what it holds."""

import io

import msgpack
import numpy as np
import pytest
from flax import serialization
from flax.traverse_util import flatten_dict

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.formats.flax import msgpack_index
from migrate.testing.readers import check_reader, same_value
from tests.formats.flax.streams import write_stream

TREE = {
    "params": {
        "lm_head": {"kernel": np.arange(6, dtype="float32").reshape(2, 3)},
        "layers": {"0": {"bias": np.ones(3, "float16")}, "1": {"bias": np.zeros((0, 2), "int8")}},
    },
    "step": 7,
}


@pytest.fixture
def stream(tmp_path):
    return write_stream(tmp_path / "streaming_params", flatten_dict(TREE))


def refusal(path, content):
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        open_reader(path)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_a_stream_keeps_the_readers_laws(stream):
    check_reader(lambda: open_reader(stream))


def test_a_stream_reads_as_the_tree_that_was_written(stream):
    with open_reader(stream) as reader:
        assert "flax msgpack stream" == reader.abstract().format
        assert flatten_dict(TREE).keys() == reader.abstract().tree.leaves.keys()
        for path, value in flatten_dict(TREE).items():
            assert same_value(value, reader.read(path)), path


def test_arrays_are_located_in_the_file_and_not_loaded(stream):
    with open_reader(stream) as reader:
        (extent,) = reader.extents(("params", "lm_head", "kernel"))
    content = stream.read_bytes()[extent.offset :][: extent.nbytes]
    assert TREE["params"]["lm_head"]["kernel"].tobytes() == content


def test_one_pair_is_a_stream_and_a_list_of_other_bytes_is_not(tmp_path):
    one = write_stream(tmp_path / "one", {("a", "w"): np.ones(2)})
    with open_reader(one) as reader:
        assert [("a", "w")] == list(reader.abstract().tree.leaves)
    (tmp_path / "list").write_bytes(msgpack.packb([["a"], b"\xc1\xc1"]))
    with open_reader(tmp_path / "list") as reader:
        assert [("0", "0"), ("1",)] == list(reader.abstract().tree.leaves)


def test_an_array_in_pieces_is_one_leaf_of_a_stream(tmp_path, monkeypatch):
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 64)
    value = np.arange(100, dtype="float32").reshape(10, 10)
    path = write_stream(tmp_path / "chunked", {("w",): value, ("v",): np.ones(1)})
    with open_reader(path) as reader:
        assert same_value(value, reader.read(("w",)))


@pytest.mark.parametrize("keys", [[("a",), ("a",)], [("a",), ("a", "b")]])
def test_keys_that_form_no_tree_are_refused(tmp_path, keys):
    content = b"".join(msgpack.packb((key, serialization.to_bytes(np.ones(1)))) for key in keys)
    assert "M404" == refusal(tmp_path / "bad", content).code


def test_a_truncated_stream_is_called_truncated(tmp_path, stream):
    found = refusal(tmp_path / "cut", stream.read_bytes()[:-3])
    assert "M404" == found.code
    assert "it is truncated" in found.message


def test_two_trees_in_a_file_are_called_two_trees_and_the_help_splits_them(tmp_path):
    path = tmp_path / "it's two"
    found = refusal(path, serialization.to_bytes({"a": np.ones(2)}) + serialization.to_bytes({"b": np.zeros(3)}))
    assert "M401" == found.code
    assert "is a stream of 2 msgpack objects, not one tree" in found.message
    assert "a mapping of 1 entries (`a`) ends" in found.message
    assert "damaged" not in found.message
    exec("\n".join(found.snippet), {})
    for number, name in enumerate("ab"):
        with open_reader(tmp_path / f"it's two-{number}.msgpack") as reader:
            assert [(name,)] == list(reader.abstract().tree.leaves)


def test_a_pair_followed_by_something_else_is_called_what_it_is(tmp_path):
    found = refusal(
        tmp_path / "mixed", msgpack.packb((["a"], serialization.to_bytes(np.ones(1)))) + msgpack.packb({"b": 1})
    )
    assert "a pair of the key `a` and bytes ends" in found.message
    assert "then a mapping of 1 entries (`b`) begins" in found.message


def test_a_stream_has_the_bounds_of_a_tree(tmp_path, monkeypatch):
    monkeypatch.setattr(msgpack_index, "MAX_ENTRIES", 50)
    out = io.BytesIO()
    for number in range(100):
        out.write(msgpack.packb((["a", str(number)], serialization.to_bytes(np.ones(1)))))
    assert "more than any checkpoint has" in refusal(tmp_path / "long", out.getvalue()).message
