"""The reader laws catch readers that break them."""

from dataclasses import replace

import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import serialization

from migrate.formats.detect import open_reader
from migrate.formats.reader import Reader
from migrate.testing import readers
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, Storage


class Lying(Reader):
    """A reader over a true one, whose answers a test replaces."""

    format = "lies"

    def __init__(self, true, tree=None, read=None, extents=None, files=None):
        self._true, self._tree, self._read, self._extents, self._files = true, tree, read, extents, files

    def abstract(self):
        found = replace(self._true.abstract(), locates_chunks=False)
        return replace(found, items={"": self._tree}) if self._tree else found

    def extents(self, path):  # noqa: ARG002
        return self._extents

    def files(self):
        return super().files() if self._files is None else self._files

    def read(self, path):
        return self._read(path) if self._read else self._true.read(path)

    def close(self):
        self._true.close()


@pytest.fixture
def true(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(serialization.msgpack_serialize({"w": np.ones(2, np.float32), "n": {"step": 1}}))
    return open_reader(path)


def test_a_true_reader_passes(true):
    readers.check_reader(lambda: true)


@pytest.mark.parametrize("value", [np.ones(3, np.float32), np.ones(2), [1.0, 1.0], None, "text"])
def test_a_value_of_another_form_is_caught(true, value):
    with pytest.raises(AssertionError):
        readers.every_leaf_reads_with_its_aval(lambda: Lying(true, read=lambda _: value))


def test_a_leaf_below_a_leaf_is_caught(true):
    array = AbstractLeaf("array", AbstractArray((2,), "float32"))
    tree = AbstractTree.build([(("w",), array), (("w", "x"), array)])
    with pytest.raises(AssertionError):
        readers.paths_form_a_tree(lambda: Lying(true, tree=tree))


def test_a_list_with_a_hole_is_caught(true):
    array = AbstractLeaf("array", AbstractArray((2,), "float32"))
    tree = AbstractTree.build([(("l", "0"), array), (("l", "2"), array)], {("l",): "list"})
    with pytest.raises(AssertionError):
        readers.containers_have_children(lambda: Lying(true, tree=tree))


def test_an_answer_for_an_unknown_leaf_is_caught(true):
    with pytest.raises(AssertionError):
        readers.an_unknown_leaf_is_a_key_error(lambda: Lying(true, read=lambda _: None))


def test_values_that_change_between_reads_are_caught(true):
    answers = iter(range(100))
    with pytest.raises(AssertionError):
        readers.threads_read_what_one_reads(lambda: Lying(true, read=lambda _: next(answers)))


def test_files_that_do_not_exist_are_caught(true, tmp_path):
    readers.files_exist(lambda: Lying(true))
    for files in ([tmp_path / "none"], [tmp_path / "file"] * 2, [tmp_path]):
        with pytest.raises(AssertionError):
            readers.files_exist(lambda files=files: Lying(true, files=files))


def test_extents_of_other_bytes_are_caught(true, tmp_path):
    (wrong,) = true.extents(("w",))
    with pytest.raises(AssertionError, match="another value by `extents`"):
        readers.located_bytes_are_those_that_are_read(lambda: Lying(true, extents=(replace(wrong, offset=0),)))


def test_chunks_that_are_promised_and_not_located_are_caught(true):
    class Promising(Lying):
        def abstract(self):
            return replace(super().abstract(), locates_chunks=True)

    chunks = Storage("zarr2", (2,), encoding="e", database=True)
    tree = AbstractTree.build([(("w",), AbstractLeaf("array", AbstractArray((2,), "float32"), storage=chunks))])
    with pytest.raises(AssertionError, match="locates chunks"):
        readers.located_bytes_are_those_that_are_read(lambda: Promising(true, tree=tree))


def test_located_chunks_of_another_array_are_caught(tmp_path):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "item", {"a": np.zeros(2, np.float32), "b": np.ones(2, np.float32)})
    reader = open_reader(tmp_path / "item")
    readers.located_bytes_are_those_that_are_read(lambda: reader)
    location = reader.location
    reader.location = lambda _: location(("b",))
    with pytest.raises(AssertionError, match="another value by `location`"):
        readers.located_bytes_are_those_that_are_read(lambda: reader)


def test_a_migration_of_other_values_is_caught(true):
    answers = iter(range(100))
    changing = Lying(true, read=lambda path: np.full(2, next(answers), np.float32) if path == ("w",) else 1)
    with pytest.raises(AssertionError, match="w becomes"):
        readers.a_migration_writes_what_is_read(lambda: changing)


def test_equal_bits_are_equal_values_and_nothing_else_is():
    nan = np.array([np.nan, -0.0], np.float32)
    assert readers.same_value(nan, nan.copy())
    assert not readers.same_value(nan, nan + 0)
    assert not readers.same_value(np.float32(1), np.float64(1))
    assert not readers.same_value(1, True)
    assert not readers.same_value(1, 1.0)
    assert not readers.same_value(np.ones(2), np.ones((2, 1)))
