"""What devices keep and decode follows from shape, parts and chunks, and agrees with counting chunk by chunk."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.planning.chunking.reads import (
    amplification,
    axis_amplification,
    axis_parts,
    numbers_of,
    part_of,
    parts_of,
    shard_reads,
)
from migrate.tree import Sharding


def counted(size, parts, chunk):
    """For each part, its elements and those of the chunks that hold one of them, counted element by element."""
    length = math.ceil(size / parts)
    for number in range(parts):
        mine = range(min(number * length, size), min((number + 1) * length, size))
        yield len(mine), len({element // chunk for element in mine}) * chunk


@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_a_part_decodes_every_chunk_that_holds_one_of_its_elements(size, parts, data):
    chunk = data.draw(st.integers(1, size))
    expected = list(counted(size, parts, chunk))
    assert expected == [(part.kept, part.decoded) for part in axis_parts(size, parts, chunk)]
    assert max(decoded / kept for kept, decoded in expected if kept) == axis_amplification(size, parts, chunk)


@given(st.integers(1, 10**6), st.integers(1, 300), st.data())
def test_chunks_that_divide_others_evenly_are_never_worse(size, parts, data):
    chunk = data.draw(st.integers(1, size))
    finer = data.draw(st.sampled_from([n for n in range(1, min(chunk, 100) + 1) if chunk % n == 0]))
    assert axis_amplification(size, parts, chunk // finer) <= axis_amplification(size, parts, chunk)


@given(st.integers(0, 1000), st.integers(1, 40))
def test_parts_cover_a_dimension_without_overlap(size, parts):
    ranges = [part_of(size, parts, number) for number in range(parts)]
    assert size == sum(stop - start for start, stop in ranges)
    assert all(before == after for (_, before), (after, _) in itertools.pairwise(ranges))


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ((1024, 8192), [1.0, 8.0, 4.0, 2.0, 2.0, 16.0, 32.0]),  # saved by 8 devices along the rows
        ((8192, 1024), [8.0, 1.0, 2.0, 4.0, 16.0, 2.0, 32.0]),
        ((1024, 1024), [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 4.0]),
        ((512, 512), [1.0] * 7),
    ],
)
def test_the_factors_that_orbax_was_measured_with(chunks, expected):
    targets = [(8, 1), (1, 8), (2, 4), (4, 2), (16, 1), (1, 16), (16, 16)]
    assert expected == [amplification((8192, 8192), parts, chunks) for parts in targets]


def test_the_padding_of_the_last_chunk_is_decoded_too():
    assert 1.2 == amplification((10,), (1,), (4,))


def test_an_array_without_elements_is_not_amplified():
    assert 1.0 == amplification((0, 4), (2, 1), (1, 4))
    assert 1.0 == shard_reads((0, 4), Sharding((("x", 2),), (("x",),)), (0, 4)).worst


MESH = (("x", 2), ("y", 3))


def test_parts_of_a_dimension_are_those_of_all_its_axes():
    assert (6, 1) == parts_of(Sharding(MESH, (("y", "x"),)), 2)
    assert (1, 1) == parts_of(Sharding(MESH), 2)


def test_the_number_of_a_part_counts_the_first_axis_slowest():
    assert [(0,), (2,), (4,), (1,), (3,), (5,)] == list(numbers_of(Sharding(MESH, (("y", "x"),)), 1))


def test_devices_are_in_the_order_of_the_mesh_and_uneven_parts_are_their_own():
    found = shard_reads((5, 4), Sharding(MESH, (("x",), None)), (2, 4))
    assert ((12,) * 3 + (8,) * 3, (16,) * 6) == (found.kept, found.decoded)
    assert 2.0 == found.worst


def test_a_device_without_a_part_decodes_nothing():
    found = shard_reads((4,), Sharding((("x", 3),), (("x",),)), (4,))
    assert ((2, 2, 0), (4, 4, 0)) == (found.kept, found.decoded)
    found = shard_reads((2,), Sharding((("x", 3),), (("x",),)), (1,))
    assert ((1, 1, 0), (1, 1, 0)) == (found.kept, found.decoded)
