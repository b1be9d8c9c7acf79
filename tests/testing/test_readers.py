"""The reader laws catch readers that break them."""

from dataclasses import replace

import numpy as np
import pytest
from flax import serialization

from migrate.formats.detect import open_reader
from migrate.formats.reader import Reader
from migrate.testing import readers
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree


class Lying(Reader):
    """A reader over a true one, whose answers a test replaces."""

    format = "lies"

    def __init__(self, true, tree=None, read=None):
        self._true, self._tree, self._read = true, tree, read

    def abstract(self):
        found = self._true.abstract()
        return replace(found, items={"": self._tree}) if self._tree else found

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


def test_equal_bits_are_equal_values_and_nothing_else_is():
    nan = np.array([np.nan, -0.0], np.float32)
    assert readers.same_value(nan, nan.copy())
    assert not readers.same_value(nan, nan + 0)
    assert not readers.same_value(np.float32(1), np.float64(1))
    assert not readers.same_value(1, True)
    assert not readers.same_value(1, 1.0)
    assert not readers.same_value(np.ones(2), np.ones((2, 1)))
