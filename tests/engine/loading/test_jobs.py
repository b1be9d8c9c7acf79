"""Every way of reading returns the windows that are asked for; covers `store_reads` and `window_costs`."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import migrate
from migrate.engine.items import item_of, item_plans
from migrate.engine.linking.link import find_links, stream_unlocated
from migrate.engine.loading import chunk_reads
from migrate.engine.loading import jobs as jobs_module
from migrate.engine.loading.chunk_reads import ChunkReads
from migrate.engine.loading.decoded_links import DecodedLink, converted_links
from migrate.engine.loading.jobs import LoadJobs
from migrate.engine.loading.run_jobs import run_jobs
from migrate.engine.loading.virtual_arrays import VirtualArrays, loading_context
from migrate.engine.loading.window_costs import chunk_elements, decoded_bytes, decoded_whole, held_bytes
from migrate.engine.streaming.array_graph import build_graph
from migrate.engine.streaming.evaluate import evaluate
from migrate.engine.streaming.pieces import pieces
from migrate.errors import CheckpointError
from migrate.ops.windows import cut, whole, windows
from tests.engine.sources import plan_for, save
from tests.matrix import examples

RULES = """rules:
  - {from: "layer_{i}/up", to: up, ops: [{stack: {axis: 0, over: i}}]}
  - {from: "layer_{i}/down", to: down, ops: [transpose, {stack: {axis: 0, over: i}}]}
  - {from: "layer_{i}/norm", to: norm, ops: [{cast: {to: bfloat16, lossy: true}}, {stack: {axis: 0, over: i}}]}
  - {from: "embed", to: "embed", ops: [{call: {function: "numpy:negative"}}]}
"""
BUDGET = 64 << 20


def tree():
    random = np.random.default_rng(0)

    def array(*shape):
        return random.standard_normal(shape).astype(np.float32)

    layers = {f"layer_{i}": {"up": array(8, 12), "down": array(12, 8), "norm": array(6, 4)} for i in range(3)}
    return {**layers, "embed": array(10, 4), "step": 7}


@pytest.fixture(scope="module", params=["orbax", "msgpack"])
def source(request, tmp_path_factory):
    place = tmp_path_factory.mktemp("jobs") / "old"
    if request.param == "orbax":
        save(place, tree())
    else:
        from flax import serialization

        place = place.with_suffix(".msgpack")
        place.write_bytes(serialization.to_bytes(tree()))
    with migrate.open_checkpoint(place) as checkpoint:
        yield checkpoint.reader


def planned(reader):
    return stream_unlocated(plan_for(reader, RULES), reader)


LINKED = {"decoded here": (True, False), "virtual": (False, True), "computed": (False, False)}
"""The ways of reading linked arrays: whether chunks are decoded here, and whether virtual arrays are opened."""


def jobs_of(plan, reader, wanted, limit=BUDGET, linked="virtual", kind=LoadJobs):
    """The jobs of a plan."""
    context, items = loading_context(), item_of(item_plans(plan))
    links = [link for link in find_links(plan, reader, items) if link.path in wanted]
    converted = [one for one in converted_links(plan, reader, items) if one.link.path in wanted]
    is_decoded, is_virtual = LINKED[linked]
    return kind(
        reader=reader,
        target=plan.target,
        windows=wanted,
        chunks=ChunkReads([*map(DecodedLink, links), *converted] if is_decoded else []),
        virtual=VirtualArrays(links if is_virtual else [], context),
        context=context,
        limit=limit,
    )


def read_by_jobs(plan, reader, wanted, limit=BUDGET, linked="virtual"):
    """What the jobs of a plan read: windows by leaf, and whole values."""
    made, found = jobs_of(plan, reader, wanted, limit, linked), {}
    every = (job for piece in pieces(plan, reader) for job in made.of(piece))
    run_jobs(
        every, limit, lambda values: [found.setdefault(one.path, {}).update({one.window: one.value}) for one in values]
    )
    return found


def values_of(plan, reader):
    return {path: value for task in plan.tasks for path, value in evaluate(task, reader, plan.target).items()}


@pytest.mark.sample(5)
@pytest.mark.parametrize("linked", LINKED)
@pytest.mark.parametrize("small", [jobs_module.SMALL_BYTES, -1])
@pytest.mark.parametrize("limit", [BUDGET, 300])
@settings(max_examples=examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_all_windows_are_read_with_their_values(source, linked, small, limit, monkeypatch, data):
    monkeypatch.setattr(jobs_module, "SMALL_BYTES", small)
    monkeypatch.setattr(chunk_reads, "SMALL_BYTES", small)
    monkeypatch.setattr(chunk_reads, "SLAB_BYTES", 40)
    plan = planned(source)
    expected = values_of(plan, source)
    wanted = {}
    for path, value in expected.items():
        if np.ndim(value) and data.draw(st.booleans()):
            tiles = list(windows(value.shape, [data.draw(st.integers(1, size)) for size in value.shape]))
            wanted[path] = data.draw(st.lists(st.sampled_from(tiles), unique=True))
    found = read_by_jobs(plan, source, wanted, limit, linked)
    for path, value in expected.items():
        if path not in wanted:
            np.testing.assert_array_equal(value, found[path][None])
            continue
        assert set(wanted[path]) == set(found.get(path, {}))
        for window in wanted[path]:
            part = found[path][window]
            assert (part.dtype, part.ctypes.data % 64) == (value.dtype, 0)
            assert np.ascontiguousarray(cut(value, window)).tobytes() == part.tobytes()


def ways(plan, reader, wanted, limit=BUDGET, linked="virtual"):
    """The way in which each leaf of a plan is read, by the function that its jobs call."""
    seen = {}

    class Spy(LoadJobs):
        """Remembers the way of each piece."""

        def _linked(self, piece):
            seen.update(dict.fromkeys(piece.targets, "linked"))
            return super()._linked(piece)

        def _chunk_jobs(self, path):
            seen[path] = "chunks"
            return super()._chunk_jobs(path)

        def _compute(self, piece):
            seen.update(dict.fromkeys(piece.targets, "whole"))
            return super()._compute(piece)

        def _window_job(self, path, node, window):
            seen[path] = "windows"
            return super()._window_job(path, node, window)

        def _store_job(self, piece, path, opened, windows=None):
            seen.setdefault(path, "views")
            return super()._store_job(piece, path, opened, windows)

    made = jobs_of(plan, reader, wanted, limit, linked, kind=Spy)
    run_jobs((job for piece in pieces(plan, reader) for job in made.of(piece)), limit, lambda _: None)
    return {path[0]: way for path, way in seen.items()}


def test_each_task_is_read_in_the_way_that_decodes_no_chunk_twice(source, monkeypatch):
    monkeypatch.setattr(jobs_module, "SMALL_BYTES", -1)
    plan = planned(source)
    wanted = {path: [whole(leaf.aval.shape)] for path, leaf in plan.target.leaves.items() if leaf.kind == "array"}
    linked, moved = ("linked", "views") if plan.source.format != "flax msgpack" else ("windows", "windows")
    expected = {"up": linked, "down": moved, "norm": "windows", "embed": "whole", "step": "whole"}
    assert expected == ways(plan, source, wanted)


def test_a_task_whose_windows_share_a_chunk_is_computed_whole_if_it_fits(source, monkeypatch):
    monkeypatch.setattr(jobs_module, "SMALL_BYTES", -1)
    plan = planned(source)
    wanted = {("norm",): [((0, 3), (0, 3), (0, 4)), ((0, 3), (3, 6), (0, 4))]}
    assert ("whole", "windows") == tuple(ways(plan, source, wanted, limit)["norm"] for limit in (BUDGET, 300))


def test_chunks_are_counted_whole_and_again_for_each_window(source):
    plan = planned(source)
    (piece,) = [piece for piece in pieces(plan, source) if ("norm",) in piece.targets]
    node = build_graph(piece, source, 0)["norm",]
    halves = [((0, 3), (0, 3), (0, 4)), ((0, 3), (3, 6), (0, 4))]
    assert 3 * 6 * 4 * 4 == decoded_whole([node])
    assert 2 * decoded_whole([node]) >= decoded_bytes(node, halves) >= decoded_whole([node])
    assert decoded_whole([node]) == decoded_bytes(node, [whole(node.aval.shape)])
    assert 3 * 3 * 4 * (2 + 2 + 4) == held_bytes(node, halves[0])


def test_a_chunk_that_is_touched_counts_with_all_of_its_elements():
    assert 4 * 8 == chunk_elements(((1, 2), (3, 5)), (4, 4))
    assert 1 == chunk_elements((), ())


@pytest.mark.parametrize("linked", LINKED)
@pytest.mark.parametrize("rule", ["{from: a, to: b}", "{from: a, to: b, ops: [transpose]}"])
def test_a_chunk_that_cannot_be_decoded_is_an_error_about_the_source_and_its_leaf(tmp_path, rule, linked, monkeypatch):
    monkeypatch.setattr(jobs_module, "SMALL_BYTES", -1)
    save(tmp_path / "old", {"a": np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)})
    data = max((tmp_path / "old").rglob("d/*"), key=lambda path: path.stat().st_size)
    with migrate.open_checkpoint(tmp_path / "old") as checkpoint:
        plan = plan_for(checkpoint.reader, f"rules: [{rule}]")
        content = bytearray(data.read_bytes())
        content[1000:3000] = bytes(2000)
        data.write_bytes(content)
        shape = (64, 32) if "ops" not in rule else (32, 64)
        with pytest.raises(CheckpointError) as error:
            read_by_jobs(plan, checkpoint.reader, {("b",): [whole(shape)]}, linked=linked)
    assert str(tmp_path / "old") in str(error.value)
    assert "`a`" in str(error.value)
    assert "index0" not in str(error.value)


def test_nothing_is_read_for_leaves_of_which_this_process_has_no_window(source, monkeypatch):
    monkeypatch.setattr(jobs_module, "SMALL_BYTES", -1)
    plan = planned(source)
    wanted = {path: [] for path, leaf in plan.target.leaves.items() if leaf.kind == "array"}
    assert {"step": "whole"} == ways(plan, source, wanted)


def test_chunks_of_linked_arrays_are_decoded_here(source):
    plan = planned(source)
    wanted = {path: [whole(leaf.aval.shape)] for path, leaf in plan.target.leaves.items() if leaf.kind == "array"}
    found = ways(plan, source, wanted, linked="decoded here")
    expected = {"chunks"} if plan.source.format != "flax msgpack" else {"whole"}
    assert expected == {found["up"], found["norm"]}


def test_memory_that_is_exhausted_is_not_blamed_on_the_source(source):
    plan = planned(source)
    task = plan.tasks[0]
    with pytest.raises(ValueError, match="RESOURCE_EXHAUSTED"):
        jobs_module._explain(source, task, ValueError("RESOURCE_EXHAUSTED: out of memory"))
