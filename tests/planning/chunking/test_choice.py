"""Laws of the choice of chunks: the bound where it can be reached, the least otherwise, never too many or too small."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.planning.chunking import choice
from migrate.planning.chunking.choice import (
    ANY_BOUND,
    LEAST_BYTES,
    MESH_BOUND,
    MOST_BYTES,
    amplification_of,
    any_mesh,
    choose,
    divided,
    most_chunks,
    shard_around,
)
from tests.matrix import examples

ITEMSIZES = st.sampled_from([1, 2, 4, 8])


def count(shape, chunks):
    return math.prod(math.ceil(size / edge) for size, edge in zip(shape, chunks, strict=True))


@st.composite
def divisions(draw, shape):
    """One to three meshes: the number of parts of each dimension."""
    parts = st.sampled_from([1, 1, 2, 3, 4, 6, 7, 8, 16])
    meshes = draw(st.lists(st.tuples(*(parts for _ in shape)), min_size=1, max_size=3, unique=True))
    return tuple(tuple((n,) for n in mesh) for mesh in meshes)


def by_trying_all(shape, itemsize, loads, bound):
    """The fewest chunks within the bound, or the least amplification, over every shape of chunks."""
    most = most_chunks(math.prod(shape) * itemsize)
    every = itertools.product(*(range(1, size + 1) for size in shape))
    allowed = [(amplification_of(shape, chunks, loads), count(shape, chunks)) for chunks in every]
    allowed = [(worst, chunks) for worst, chunks in allowed if chunks <= most]
    reached = [(chunks, worst) for worst, chunks in allowed if worst <= bound]
    return (True, *min(reached)) if reached else (False, *reversed(min(allowed)))


@settings(deadline=None, max_examples=examples(100))
@given(st.data())
def test_no_other_chunks_are_better(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=2)))
    itemsize, loads = data.draw(st.sampled_from([1, 512, 4096, 1 << 16])), data.draw(divisions(shape))
    reached, chunks, worst = by_trying_all(shape, itemsize, loads, MESH_BOUND)
    found = choose(shape, itemsize, loads, MESH_BOUND)
    assert (reached, worst) == (found.worst <= MESH_BOUND, pytest.approx(found.worst))
    assert chunks == count(shape, found.chunks)


@settings(deadline=None, max_examples=examples(50))
@given(st.data())
def test_a_grid_of_common_divisors_is_reached_wherever_there_is_room_for_it(data):
    edges = data.draw(st.lists(st.integers(8, 300), min_size=1, max_size=3))
    counts = [data.draw(st.lists(st.sampled_from([1, 2, 4, 8]), min_size=2, max_size=2)) for _ in edges]
    shape = tuple(edge * math.lcm(*mine) for edge, mine in zip(edges, counts, strict=True))
    loads = tuple(tuple((mine[number],) for mine in counts) for number in range(2))
    parts = [math.lcm(*mine) for mine in counts]
    needed = math.prod(parts)
    found = choose(shape, 4, loads, MESH_BOUND)
    if needed <= most_chunks(math.prod(shape) * 4):
        assert found.worst <= MESH_BOUND
        assert count(shape, found.chunks) <= needed
    assert found.worst == amplification_of(shape, found.chunks, loads)


@settings(deadline=None, max_examples=examples(40))
@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=3), ITEMSIZES, st.data())
def test_chunks_are_neither_too_many_nor_too_small_nor_too_large(sizes, itemsize, data):
    shape, loads = tuple(sizes), data.draw(divisions(sizes))
    found = choose(shape, itemsize, loads, MESH_BOUND)
    nbytes, chunk = math.prod(shape) * itemsize, math.prod(found.chunks) * itemsize
    assert all(1 <= edge <= size for edge, size in zip(found.chunks, shape, strict=True))
    assert chunk <= MOST_BYTES
    assert chunk >= min(LEAST_BYTES, nbytes)
    assert found.worst <= amplification_of(shape, shape, loads) or nbytes > MOST_BYTES


def test_a_mesh_of_one_axis_gets_one_chunk_for_each_device():
    found = choose((4096, 1024), 4, (((128,), (1,)),), MESH_BOUND)
    assert ((32, 1024), 1.0) == (found.chunks, found.worst)


def test_chunks_suit_all_meshes_together():
    loads = (((128,), (1,)), ((1,), (8,)), ((4,), (4,)))
    found = choose((4096, 4096), 4, loads, MESH_BOUND)
    assert ((32, 512), 1.0) == (found.chunks, found.worst)


def test_a_small_array_is_one_chunk():
    found = choose((4096,), 2, (((128,),),), MESH_BOUND)
    assert ((4096,), 128.0) == (found.chunks, found.worst)


def test_without_a_load_an_array_is_divided_only_where_it_is_too_large():
    assert (100, 7) == choose((100, 7), 4, (), MESH_BOUND).chunks
    assert (16384, 4096) == choose((32768, 4096), 4, (), MESH_BOUND).chunks


@pytest.mark.parametrize("shape", [(8192, 8192), (12288, 12288), (32, 4096, 4096), (50257, 1600), (3, 3, 1024, 2048)])
def test_any_mesh_up_to_16_by_16_is_served(shape):
    """Every division of two dimensions that JAX accepts."""
    found = choose(shape, 4, any_mesh(shape), ANY_BOUND)
    assert found.worst <= ANY_BOUND
    for first, second in itertools.combinations(range(len(shape)), 2):
        for parts in itertools.product(range(1, 17), repeat=2):
            mesh = [1] * len(shape)
            mesh[first], mesh[second] = parts
            if min(shape[first], shape[second]) >= 16 and all(n % m == 0 for n, m in zip(shape, mesh, strict=True)):
                load = tuple((n,) for n in mesh)
                assert amplification_of(shape, found.chunks, (load,)) <= ANY_BOUND


def test_a_mesh_divides_no_short_dimension():
    assert () == any_mesh((3, 5))
    assert (((1,), (1, 2, 4, 8, 16)),) == any_mesh((12, 16))


def test_a_search_over_very_many_edges_keeps_the_best_of_each_size(monkeypatch):
    monkeypatch.setattr(choice, "_EXACT", 4)
    choose.cache_clear()
    choice._options.cache_clear()
    found = choose((1000,), 1 << 20, (((7,),), ((9,),)), MESH_BOUND)
    choose.cache_clear()
    choice._options.cache_clear()
    assert found.worst <= MESH_BOUND


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=4), ITEMSIZES, st.integers(1 << 10, 1 << 22), st.booleans())
def test_chunks_are_divided_until_they_are_small_enough(sizes, itemsize, limit, square):
    made = divided(tuple(sizes), itemsize, limit, square=square)
    assert math.prod(made) * itemsize <= limit
    assert all(1 <= edge <= size for edge, size in zip(made, sizes, strict=True))
    assert made == tuple(sizes) or math.prod(made) * itemsize * 20 > limit


def test_a_large_prime_is_not_divided_into_single_elements():
    (edge,) = divided((67_108_879,), 4, MOST_BYTES)
    assert edge == 33_554_440


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=3), ITEMSIZES, st.data())
def test_a_shard_consists_of_whole_chunks_and_is_as_large_as_it_may_be(sizes, itemsize, data):
    chunks = tuple(data.draw(st.integers(1, size)) for size in sizes)
    shard = shard_around(sizes, chunks, itemsize)
    assert all(outer % inner == 0 for outer, inner in zip(shard, chunks, strict=True))
    assert math.prod(shard) * itemsize <= max(MOST_BYTES, math.prod(chunks) * itemsize)
    assert all(outer - inner < size for outer, inner, size in zip(shard, chunks, sizes, strict=True))


def test_a_shard_is_a_slab_in_c_order():
    assert (16384, 4096) == shard_around((65536, 4096), (512, 256), 4)
    assert (1, 16384, 4096) == shard_around((8, 65536, 4096), (1, 512, 256), 4)
