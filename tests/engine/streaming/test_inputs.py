"""Leaves are compared with the digests that the source records in the memory into which they were read, each once."""

from pathlib import Path

import numpy as np
import pytest

from migrate.engine.streaming.array_bytes import digest_of
from migrate.engine.streaming.inputs import UNCOMPARED, Inputs
from migrate.errors import VerifyError
from migrate.events import LeafDone
from migrate.tree import AbstractArray, AbstractLeaf

ARRAYS = {(name,): np.arange(30, dtype=np.float32).reshape(5, 6) + at for at, name in enumerate("abcd")}
LEAF = AbstractLeaf("array", AbstractArray((5, 6), "float32"))
WRONG = np.zeros((5, 6), np.float32)


def inputs(names="abc", stored=ARRAYS):
    """The comparison of some leaves, and the calls of its own pass."""
    calls = []

    def own_pass(paths, max_ram):
        calls.append((list(paths), max_ram))
        return [(path, digest_of(stored[path]).blocks) for path in paths]

    recorded = {(name,): digest_of(ARRAYS[name,]).blocks for name in names}
    return Inputs(recorded, dict.fromkeys(ARRAYS, LEAF), [Path("old")], own_pass), calls


def refused(found):
    with pytest.raises(VerifyError) as failure:
        found.refuse_changed()
    (diagnostic,) = failure.value.diagnostics
    assert "M516" == diagnostic.code
    return diagnostic


def test_an_equal_value_is_returned_and_compared():
    found, _ = inputs()
    assert found.whole(("a",), ARRAYS["a",]) is ARRAYS["a",]
    found.refuse_changed()
    assert {("a",)} == found.compared


def test_all_leaves_that_differ_are_named_in_the_order_of_the_record():
    found, _ = inputs()
    for name in "cab":
        found.whole((name,), ARRAYS["b",])
    diagnostic = refused(found)
    assert ("a", "c") == diagnostic.paths
    assert "old has changed since its digests were recorded: 2 of its arrays differ" == diagnostic.message


@pytest.mark.parametrize("array", [ARRAYS["a",], np.asfortranarray(ARRAYS["a",])])
def test_parts_are_compared_once_all_were_read(array):
    found, _ = inputs()
    parts = iter(found.parts(("a",), np.split(array, 5)))
    for _ in range(5):
        next(parts)
        assert set() == found.compared
    assert [] == list(parts)
    assert {("a",)} == found.compared
    found.refuse_changed()


def test_parts_that_differ_are_refused_and_parts_that_end_early_are_not_compared():
    found, _ = inputs()
    next(iter(found.parts(("b",), [ARRAYS["b",]])))
    list(found.parts(("a",), [WRONG]))
    assert ("a",) == refused(found).paths
    assert {("a",)} == found.compared


def test_a_pass_of_its_own_reads_what_was_not_compared_and_has_a_digest():
    found, calls = inputs()
    found.whole(("a",), ARRAYS["a",])
    heard = []
    found.compare([("a",), ("b",), ("d",), ("b",)], 99, heard.append)
    found.compare([("a",), ("b",), ("d",)], 99, heard.append)
    assert [([("b",)], 99)] == calls
    assert [LeafDone("source", ("b",), 120)] == heard


def test_a_pass_of_its_own_names_all_leaves_that_differ():
    found, _ = inputs(stored={**ARRAYS, ("b",): WRONG, ("c",): WRONG})
    with pytest.raises(VerifyError) as failure:
        found.compare(ARRAYS, 99)
    assert ("b", "c") == failure.value.diagnostics[0].paths


def test_a_leaf_is_digested_once():
    found, _ = inputs()
    found.whole(("a",), ARRAYS["a",])
    found.whole(("a",), WRONG)
    parts = [WRONG]
    assert found.parts(("a",), parts) is parts
    found.refuse_changed()


@pytest.mark.parametrize("found", [inputs("a")[0], UNCOMPARED])
def test_a_leaf_without_a_digest_is_not_looked_at(found):
    value, parts = object(), object()
    assert found.whole(("d",), value) is value
    assert found.parts(("d",), parts) is parts
    found.compare([("d",)], 99)
    assert not found.compared


def test_sources_are_compared_once_all_that_have_a_digest_are():
    found, _ = inputs()
    found.whole(("a",), ARRAYS["a",])
    assert found.are_compared([("a",), ("d",)])
    assert not found.are_compared([("a",), ("b",)])
    assert not found.are_compared([("d",)])
