"""The Orbax output; covers `outputs.base` as well."""

import jax.numpy as jnp
import numpy as np
import pytest

from migrate.engine.options import ApplyOptions
from migrate.engine.outputs.base import Staged
from migrate.engine.outputs.orbax import OUTPUT
from migrate.engine.staged_array import StagedArray
from tests.engine.sources import apply_plan, opened, plan_for, save

KEPT, DROPPED = 1 << 16, 3 << 16
"""Bytes of two arrays of random numbers, which no codec makes smaller."""

OVERHEAD = 1024
"""Bytes of nodes, array metadata and frames of zstd."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A checkpoint that keeps both arrays in one data file."""
    folder, rng = tmp_path_factory.mktemp("source"), np.random.default_rng(0)
    arrays = {name: rng.integers(0, 256, nbytes, np.uint8) for name, nbytes in (("a", KEPT), ("b", DROPPED))}
    with opened(save(folder / "old", {name: jnp.asarray(array) for name, array in arrays.items()})) as reader:
        apply_plan(plan_for(reader, link=False), reader, folder / "together")
    return folder / "together"


def dead_bytes(source, target, rules):
    with opened(source) as reader:
        return apply_plan(plan_for(reader, f"rules: {rules}"), reader, target).dead_bytes


def test_dead_bytes_are_those_of_linked_files_that_no_leaf_needs(source, tmp_path):
    assert KEPT <= dead_bytes(source, tmp_path / "new", "[drop: a]") < KEPT + OVERHEAD


def test_a_file_of_which_little_is_needed_leaves_no_dead_bytes(source, tmp_path):
    assert 0 == dead_bytes(source, tmp_path / "new", "[drop: b]")
    assert KEPT <= sum(file.stat().st_size for file in (tmp_path / "new").rglob("*") if file.is_file()) < KEPT + 16_384


def test_nothing_is_dead_where_every_array_is_linked(source, tmp_path):
    assert 0 <= dead_bytes(source, tmp_path / "new", "[]") < OVERHEAD


def test_a_chunk_that_two_leaves_share_is_counted_once(source, tmp_path):
    assert 0 <= dead_bytes(source, tmp_path / "new", "[{from: b, to: [b, tied]}]") < OVERHEAD


def test_an_array_that_is_streamed_is_dead_in_the_linked_file(source, tmp_path):
    dead = dead_bytes(source, tmp_path / "new", "[{from: a, to: a, ops: [{flip: {axis: 0}}]}]")
    assert KEPT <= dead < KEPT + OVERHEAD


def test_it_changes_no_plan_and_objects_to_no_compression(source):
    with opened(source) as reader:
        plan = plan_for(reader)
    assert plan is OUTPUT.fit(plan)
    assert [] == list(OUTPUT.objections(ApplyOptions(compression="zstd:3")))


def test_digests_of_staged_arrays_are_by_key_path():
    array = StagedArray("a", (2,), np.dtype("float32"), (2,), (2,), None, "xxh3:1", None)
    assert {("a",): "xxh3:1"} == Staged({("a",): array}).digests
