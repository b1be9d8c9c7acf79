"""Arrays computed in tiles equal arrays computed whole, bit for bit, for any op, source chunks and budget.

Covers `streaming.array_graph` and `streaming.tile_choice` as well.
"""

import math
from dataclasses import replace

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orbax.checkpoint.experimental import v1

from migrate.engine import run
from migrate.engine.options import ApplyOptions
from migrate.engine.outputs.orbax_store import Staging
from migrate.engine.streaming.array_bytes import digest, stored_form
from migrate.engine.streaming.array_graph import build_graph
from migrate.engine.streaming.array_sources import ArraySource, blocks
from migrate.engine.streaming.assertions import check_assertions
from migrate.engine.streaming.pieces import Piece
from migrate.engine.streaming.tile_choice import TiledTarget, choose, scattered, tile_shapes
from migrate.engine.streaming.tiles import SCRATCH_PREFIX, can_tile, make_in_tiles, remove_scratch
from migrate.errors import RefusedError
from migrate.formats.detect import open_reader
from migrate.ops.base import OpError, avals
from migrate.ops.call import Call
from migrate.ops.cast import Cast
from migrate.ops.concat import Concat
from migrate.ops.flip import Flip
from migrate.ops.pad import Pad
from migrate.ops.rearrange import Rearrange
from migrate.ops.registry import OPS
from migrate.ops.reshape import Reshape
from migrate.ops.scale import Scale
from migrate.ops.slice import Slice
from migrate.ops.squeeze import ExpandDims
from migrate.ops.stack import Stack, Unstack
from migrate.ops.tile import Tile
from migrate.ops.transpose import Transpose
from migrate.ops.windows import extent
from migrate.planning.model import Created, Step, Task
from migrate.rules.model import Init
from migrate.testing.ops import op_cases
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree
from tests.engine.sources import plan_for
from tests.matrix import examples

PULLED = sorted(set(OPS) - {"call"})


def leaf_of(array):
    return AbstractLeaf("array", *avals(array))


def write_sources(directory, arrays, chunks):
    """Writes a bare database with the arrays `0`, `1`, …, each with its own chunk shape."""
    with Staging(directory, zarr3=False) as store:
        for number, (array, chunk) in enumerate(zip(arrays, chunks, strict=True)):
            write = store.tiled((str(number),), leaf_of(array), chunk)
            for corner in np.ndindex(*(-(-size // part) for size, part in zip(array.shape, chunk, strict=True))):
                start = [i * part for i, part in zip(corner, chunk, strict=True)]
                box = tuple(slice(a, a + part) for a, part in zip(start, chunk, strict=True))
                write.write(start, array[(*box, ...)])
            write.finish("")


def piece_of(steps, arrays):
    """A piece with one task that runs the steps on all arrays; every result is a target."""
    current = list(avals(*arrays))
    for step in steps:
        current = [out for group in step.groups for out in step.op.infer(*(current[i] for i in group))]
    sources = tuple((str(number),) for number in range(len(arrays)))
    targets = tuple((f"t{number}",) for number in range(len(current)))
    task = Task(sources, targets, tuple(range(len(current))), tuple(steps), avals(*arrays), tuple(current))
    return Piece(targets, 1 << 40, dict, task)


def in_tiles(piece, directory, out, limit, todo=None):
    """The written arrays and their digests, by target."""
    target = AbstractTree.build(
        (path, AbstractLeaf("array", aval)) for path, aval in zip(piece.targets, piece.work.out_avals, strict=True)
    )
    written = {}
    with open_reader(directory) as reader, Staging(out, zarr3=False) as store:

        def begin(path, tile):
            return store.tiled(path, target.leaves[path], tile, done=lambda staged: written.update({path: staged}))

        make_in_tiles(piece, reader, target, todo or piece.targets, limit, begin, out.parent)
    assert [] == list(out.parent.glob(f"{SCRATCH_PREFIX}*"))
    with open_reader(out) as reader:
        return {path: (reader.read(path), staged.digest) for path, staged in written.items()}


def check(piece, expected, directory, out, limit):
    results = in_tiles(piece, directory, out, limit)
    assert set(piece.targets) == set(results)
    for array, path in zip(expected, piece.targets, strict=True):
        found, found_digest = results[path]
        assert stored_form(array).dtype == found.dtype
        assert stored_form(array).shape == found.shape
        assert stored_form(array).tobytes() == found.tobytes()
        assert digest(array) == found_digest


@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.data())
def test_one_op_in_tiles_equals_the_op_on_whole_arrays(tmp_path_factory, data):
    op, arrays = data.draw(st.sampled_from(PULLED).flatmap(op_cases))
    try:
        expected = op.apply(*arrays)
    except OpError:
        return
    if array_is_missing(arrays, expected) or any(array.dtype.names for array in arrays):
        return
    chunks = [tuple(data.draw(st.integers(1, size)) for size in array.shape) for array in arrays]
    folder = tmp_path_factory.mktemp("tiles")
    write_sources(folder / "source", arrays, chunks)
    piece = piece_of([Step(op, (tuple(range(len(arrays))),))], arrays)
    check(piece, expected, folder / "source", folder / "out", data.draw(st.sampled_from([100, 1000, 5000])))


def array_is_missing(*groups):
    return any(not array.size for arrays in groups for array in arrays)


CHAINS = {
    "transpose and cast": [Step(Transpose(), ((0,),)), Step(Cast("float64"), ((0,),))],
    "heads": [Step(Rearrange("a (h k) -> h k a", (("h", 3),)), ((0,),)), Step(Flip(1), ((0,),))],
    "a row of elements, transposed": [
        Step(Reshape((24 * 18,)), ((0,),)),
        Step(Reshape((16, 27)), ((0,),)),
        Step(Transpose(), ((0,),)),
    ],
    "unstack": [Step(Reshape((4, 6, 18)), ((0,),)), Step(Unstack(1), ((0,),))],
    "there and back": [Step(Unstack(0), ((0,),)), Step(Stack(1), (tuple(range(24)),))],
    "concat of itself": [Step(Concat(1), ((0, 0),))],
}


@pytest.mark.sample(5)
@pytest.mark.parametrize("limit", [300, 3000, 20_000])
@pytest.mark.parametrize("chunk", [(24, 18), (24, 1), (7, 5)])
@pytest.mark.parametrize("chain", CHAINS)
def test_chains_of_ops_in_tiles_equal_the_ops_on_whole_arrays(tmp_path, chain, chunk, limit):
    array = np.random.default_rng(0).standard_normal((24, 18)).astype(np.float32)
    write_sources(tmp_path / "source", [array], [chunk])
    expected = carried_out(CHAINS[chain], array)
    check(piece_of(CHAINS[chain], [array]), expected, tmp_path / "source", tmp_path / "out", limit)


def carried_out(steps, array):
    arrays = [array]
    for step in steps:
        arrays = [out for group in step.groups for out in step.op.apply(*(arrays[i] for i in group))]
    return arrays


BORDERED = {
    "expand_dims": [Step(ExpandDims(0), ((0,),))],
    "slice": [Step(Slice(0, 1, 7, 2), ((0,),))],
    "slice to nothing": [Step(Slice(0, 5, 5), ((0,),))],
    "reshape": [Step(Reshape((2, 4, 6)), ((0,),))],
    "rearrange": [Step(Rearrange("(h a) b -> a (b h)", (("h", 2),)), ((0,),))],
    "tile": [Step(Tile((2, 1)), ((0,),))],
    "unstack and stack": [Step(Unstack(0), ((0,),)), Step(Stack(1), (tuple(range(8)),))],
    "concat": [Step(Concat(0), ((0, 0),))],
}


LIMITS = [(chain, limit) for number, chain in enumerate(BORDERED) for limit in ((400, 60) if number % 2 else (60, 400))]


@pytest.mark.sample(2)
@pytest.mark.parametrize(("chain", "limit"), LIMITS)
def test_tiles_in_the_border_of_a_pad_equal_the_op_on_whole_arrays(tmp_path, chain, limit):
    array = np.random.default_rng(0).standard_normal((8, 6)).astype(np.float32)
    write_sources(tmp_path / "source", [array], [(3, 5)])
    (inside,) = carried_out(BORDERED[chain], array)
    for axis in range(inside.ndim):
        widths = tuple((3, 2) if axis == other else (0, 0) for other in range(inside.ndim))
        steps = [*BORDERED[chain], Step(Pad(widths, 1), ((0,),))]
        (expected,) = carried_out(steps, array)
        if expected.size:
            check(piece_of(steps, [array]), [expected], tmp_path / "source", tmp_path / f"out{axis}", limit)


def outputs_of(directory, steps, arrays, limit):
    piece = piece_of(steps, arrays)
    with open_reader(directory) as reader:
        graph = build_graph(piece, reader, limit // 4)
    shapes = {path: tile_shapes(node.aval, node.aval.shape, limit // 12) for path, node in graph.items()}
    return [TiledTarget((path,), node, shapes[path]) for path, node in graph.items()]


def test_a_source_that_is_read_in_the_order_of_its_chunks_is_not_copied(tmp_path):
    array = np.zeros((64, 64), np.float32)
    write_sources(tmp_path / "source", [array], [(16, 64)])
    outputs = outputs_of(tmp_path / "source", [Step(Cast("float64"), ((0,),))], [array], 64 << 10)
    assert [] == choose(outputs, 16 << 10)[1]


def test_a_source_whose_chunks_every_tile_needs_is_copied(tmp_path):
    array = np.zeros((64, 64), np.float32)
    write_sources(tmp_path / "source", [array], [(16, 64)])
    outputs = outputs_of(tmp_path / "source", [Step(Transpose(), ((0,),))], [array], 12 << 10)
    assert 1 == len(choose(outputs, 3 << 10)[1])


class CountedSource(ArraySource):
    """Counts the windows for which its chunks are asked."""

    asked = 0

    def grid(self, window):
        CountedSource.asked += 1
        return super().grid(window)


def test_the_choice_of_tiles_looks_no_further_than_the_first_chunk_that_is_decoded_again(monkeypatch):
    monkeypatch.setattr(CountedSource, "asked", 0)
    node = CountedSource(AbstractArray((2048, 64), "float32"), (2048, 1))
    target = TiledTarget((), node, tile_shapes(node.aval, node.aval.shape, 2 << 10))
    assert (0, [node]) == choose([target], 1 << 10)
    assert CountedSource.asked < len(list(target.windows(0)))


@pytest.mark.parametrize(("cache", "copied"), [(4096, 2), (6144, 0)], ids=["room for one", "room for two"])
def test_sources_whose_chunks_the_next_tile_needs_share_the_cache(tmp_path, cache, copied):
    arrays = [np.zeros((48, 32), np.float32)] * 2
    write_sources(tmp_path / "source", arrays, [(12, 32)] * 2)
    piece = piece_of([Step(Concat(1), ((0, 1),))], arrays)
    with open_reader(tmp_path / "source") as reader:
        ((path, node),) = build_graph(piece, reader, cache).items()
    # A tile of 8 rows overlaps at most two chunks of 1536 bytes of each source, and the next tile needs the second.
    assert copied == len(choose([TiledTarget((path,), node, ((8, 64),))], cache)[1])


def test_only_unfinished_targets_are_written_in_tiles(tmp_path):
    array = np.arange(240, dtype=np.float32).reshape(2, 120)
    write_sources(tmp_path / "source", [array], [(2, 120)])
    piece = piece_of([Step(Unstack(0), ((0,),))], [array])
    results = in_tiles(piece, tmp_path / "source", tmp_path / "out", 600, todo=[("t1",)])
    assert [("t1",)] == list(results)
    assert np.array_equal(array[1], results[("t1",)][0])


def test_typed_keys_in_tiles_equal_whole_keys(tmp_path):
    keys = jax.random.split(jax.random.key(3), (6, 40))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "old", {"0": keys})
    with open_reader(tmp_path / "old") as reader:
        whole = reader.read(("0",))
    piece = piece_of([Step(Transpose(), ((0,),))], [whole])
    ((found, _),) = in_tiles(piece, tmp_path / "old", tmp_path / "out", 600).values()
    assert np.asarray(jax.random.key_data(keys)).transpose(1, 0, 2).tobytes() == found.tobytes()


def test_a_reshape_whose_tiles_need_scattered_elements_is_copied(tmp_path):
    array = np.zeros(64 * 64, np.float32)
    write_sources(tmp_path / "source", [array], [(1024,)])
    steps = [Step(Reshape((64, 64)), ((0,),)), Step(Transpose(), ((0,),))]
    found = scattered(outputs_of(tmp_path / "source", steps, [array], 12 << 10), 3 << 10)
    assert (64, 64) == found.aval.shape


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=4).map(tuple),
    st.integers(1, 4000),
    st.data(),
)
def test_tiles_are_slabs_below_the_limit_that_fit_the_shards(shape, limit, data):
    shard = tuple(data.draw(st.sampled_from([k for k in range(1, size + 1) if size % k == 0])) for size in shape)
    for tile in tile_shapes(AbstractArray(shape, "int16"), shard, limit):
        axis = next((i for i, size in enumerate(tile) if size != 1), len(tile))
        assert tile[axis + 1 :] == shape[axis + 1 :]
        assert math.prod(tile) * 2 <= max(limit, 2)
        assert all(
            part >= size or size == whole or size % part == 0
            for part, size, whole in zip(tile, shard, shape, strict=True)
        )


def test_blocks_consist_of_whole_chunks(tmp_path):
    array = np.zeros((10, 12), np.float32)
    write_sources(tmp_path / "source", [array], [(3, 4)])
    with open_reader(tmp_path / "source") as reader:
        (node,) = build_graph(piece_of([], [array]), reader, 0).values()
    sizes = [extent(window) for window in blocks(node, 3 * 8 * 4)]
    assert {(3, 8), (3, 4), (1, 8), (1, 4)} == set(sizes)
    assert array.size == sum(map(math.prod, sizes))


def test_a_refused_value_is_reported_with_its_tile(tmp_path):
    array = np.arange(400, dtype=np.float32).reshape(20, 20)
    write_sources(tmp_path / "source", [array], [(20, 20)])
    piece = piece_of([Step(Cast("bfloat16"), ((0,),))], [array])
    with pytest.raises(RefusedError, match=r"begins at \[10, 0\]") as refusal:
        in_tiles(piece, tmp_path / "source", tmp_path / "out", 3000)
    assert ["M503"] == [d.code for d in refusal.value.diagnostics]


def test_a_call_op_needs_whole_arrays():
    piece = piece_of([Step(Scale(2), ((0,),))], [np.zeros(3)])
    assert can_tile(piece)
    called = replace(piece.work, steps=(Step(Call("numpy:negative"), ((0,),)),))
    assert not can_tile(replace(piece, work=called))


def test_scratch_copies_of_a_killed_run_are_removed(tmp_path):
    (tmp_path / f"{SCRATCH_PREFIX}x" / "0").mkdir(parents=True)
    (tmp_path / "item").mkdir()
    remove_scratch(tmp_path)
    assert [tmp_path / "item"] == list(tmp_path.iterdir())


@pytest.mark.parametrize("zarr3", [False, True])
def test_orbax_restores_an_array_that_was_written_in_uneven_tiles(tmp_path, zarr3):
    matrix = np.arange(2503 * 2503, dtype=np.float32).reshape(2503, 2503)
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_zarr3=zarr3)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave({"w": matrix, "b": matrix[:3]}))
    rules = "rules: [{from: w, to: w, ops: [transpose]}]"
    with open_reader(tmp_path / "old") as reader:
        plan = plan_for(reader, rules)
        plan = replace(plan, tasks=tuple(replace(task, mode="stream") for task in plan.tasks))
        run.apply(plan, reader, tmp_path / "new", ApplyOptions(max_ram=64 << 20))
    with open_reader(tmp_path / "new") as reader:
        assert 2503 != reader.abstract().tree.leaves[("w",)].storage.chunks[0]
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "new")
    assert np.array_equal(matrix.T, restored["w"])
    assert np.array_equal(matrix[:3], restored["b"])
    assert np.array_equal(matrix.T, v1.load(tmp_path / "new")["w"])


def test_a_large_leaf_with_an_assertion_is_read_in_parts(tmp_path):
    array = np.zeros((40, 30), np.float32)
    array[33, 7] = 1
    write_sources(tmp_path / "source", [array], [(8, 30)])
    with open_reader(tmp_path / "source") as reader:
        plan = plan_for(reader, 'rules: [{drop: {from: "0", assert: zero}}]')
        with pytest.raises(RefusedError, match="1 of its values"):
            check_assertions(plan, reader, limit=1000)


@pytest.mark.parametrize("limit", [1000, 1 << 20])
def test_two_leaves_are_compared_in_parts_through_the_ops(tmp_path, limit):
    array = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    array[3, 4] = np.nan
    other = array.T.copy()
    other[7, 33] += 1
    write_sources(tmp_path / "source", [array, array.T.copy(), other], [(8, 30), (30, 8), (7, 11)])
    with open_reader(tmp_path / "source") as reader:
        equal = 'rules: [{drop: {from: "1", assert: {equal: "0"}, ops: [{transpose: {}}]}}]'
        check_assertions(plan_for(reader, equal), reader, limit)
        plan = plan_for(reader, equal.replace('"1"', '"2"'))
        with pytest.raises(RefusedError, match="1 of its values differ from those of `0`"):
            check_assertions(plan, reader, limit)


def test_a_created_array_beyond_the_budget_is_written_in_tiles(tmp_path):
    aval = AbstractArray((50, 20), "float32")
    created = Created(("z",), AbstractLeaf("array", aval), Init("constant", 3.5))
    piece = Piece((("z",),), 1 << 40, dict, (created,))
    assert can_tile(piece)
    target = AbstractTree.build([(("z",), created.leaf)])
    with Staging(tmp_path / "out", zarr3=False) as store:
        begin = lambda path, tile: store.tiled(path, created.leaf, tile)  # noqa: E731 - one line, once
        make_in_tiles(piece, None, target, piece.targets, 2400, begin, tmp_path)
    with open_reader(tmp_path / "out") as reader:
        assert (2, 20) == reader.abstract().tree.leaves[("z",)].storage.chunks
        assert np.array_equal(np.full((50, 20), 3.5, np.float32), reader.read(("z",)))
