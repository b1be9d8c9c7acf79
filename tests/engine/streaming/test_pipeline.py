"""Staging in threads under a budget: every array is written once and reported once it is durable, despite stops."""

import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest

import migrate
from migrate.engine.items import item_plans
from migrate.engine.outputs import small_chunks
from migrate.engine.outputs.orbax_store import Staging
from migrate.engine.streaming import pipeline
from migrate.engine.streaming.budget import Budget
from migrate.engine.streaming.pieces import produce
from migrate.engine.verification.source_digests import inputs_of, recorded_digests
from migrate.errors import RefusedError, VerifyError
from migrate.formats.detect import open_reader
from migrate.formats.zarr import small_arrays
from tests.engine.sources import every_kind, opened, plan_for, save
from tests.engine.verification.conftest import change

RULES = """rules:
  - {from: params/kernel, to: params/kernel, ops: [transpose]}
  - {from: flags, to: [flags, tied]}
  - create: {to: fresh, init: zeros}
"""
TIED = """rules:
  - {from: params/kernel, to: params/kernel, ops: [transpose]}
  - {from: flags, to: [flags, tied]}
"""
TIMEOUT = 60


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save(tmp_path_factory.mktemp("source") / "old", every_kind())


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Forty small arrays."""
    tree = {str(number): np.full((8, 8), number, np.float32) for number in range(40)}
    return save(tmp_path_factory.mktemp("many") / "old", tree)


def streamed(reader, rules="rules: []"):
    plan = plan_for(reader, rules)
    assert plan.applicable, plan.diagnostics
    return replace(plan, tasks=tuple(replace(task, mode="stream") for task in plan.tasks))


def staged(plan, reader, directory, **options):
    (item,) = item_plans(plan)
    with Staging(directory, zarr3=plan.source.zarr3) as store:
        return pipeline.stage(plan, reader, {item.name: store}, **options)


def as_words(array):
    return np.asarray(array)[array.dtype.names[0]] if array.dtype.names else np.asarray(array)


def check_values(plan, reader, directory, values):
    """Checks that the store has the arrays and numbers, and that `values` has the rest, as the rules compute them."""
    with open_reader(directory) as result:
        for piece in produce(plan, reader):
            for path, value in piece.items():
                if plan.target.leaves[path].is_numeric:
                    found = np.asarray(result.read(path))
                    assert as_words(value).tobytes() == found.tobytes(), path
                else:
                    assert repr(value) == repr(values[path])


@pytest.mark.parametrize("max_ram", [1, 50_000, 1 << 30])
@pytest.mark.parametrize("jobs", [1, 4])
def test_every_value_is_written_for_any_budget_and_number_of_threads(source, tmp_path, jobs, max_ram):
    durable = []
    with opened(source) as reader:
        plan = streamed(reader, RULES.replace("  - create: {to: fresh, init: zeros}\n", ""))
        values = staged(
            plan, reader, tmp_path / "s", jobs=jobs, max_ram=max_ram, sink=lambda path, _: durable.append(path)
        )
        check_values(plan, reader, tmp_path / "s", values)
    arrays = [path for path, leaf in plan.target.leaves.items() if leaf.is_numeric]
    assert sorted(arrays) == sorted(durable)


def test_digests_do_not_depend_on_the_budget(source, tmp_path):
    digests = []
    for number, max_ram in enumerate([1, 1 << 30]):
        found = {}
        with opened(source) as reader:
            sink = lambda path, array, found=found: found.update({path: array.digest})  # noqa: E731 - one line, once
            staged(streamed(reader), reader, tmp_path / str(number), max_ram=max_ram, sink=sink)
        digests.append(found)
    assert digests[0] == digests[1]


def test_the_sink_is_called_by_one_thread_at_a_time(many, tmp_path):
    inside = threading.Lock()

    def sink(path, array):
        assert inside.acquire(blocking=False)
        inside.release()

    with opened(many) as reader:
        staged(streamed(reader), reader, tmp_path / "s", jobs=8, max_ram=30_000, sink=sink)


def test_finished_arrays_are_not_written_again_but_other_values_are_returned(source, tmp_path):
    durable = []
    with opened(source) as reader:
        plan = streamed(reader)
        finished = {path for path, leaf in plan.target.leaves.items() if leaf.is_numeric} - {("wide",)}
        values = staged(plan, reader, tmp_path / "s", finished=finished, sink=lambda path, _: durable.append(path))
    assert [("wide",)] == durable
    assert {("empty",): {}, ("opt", "1"): None} == values


def test_linked_tasks_are_omitted(source, tmp_path):
    durable = []
    with opened(source) as reader:
        plan = streamed(reader)
        tasks = [replace(task, mode="relink" if ("wide",) in task.targets else "stream") for task in plan.tasks]
        staged(replace(plan, tasks=tuple(tasks)), reader, tmp_path / "s", sink=lambda path, _: durable.append(path))
    assert ("wide",) not in durable
    assert ("flags",) in durable


def test_a_stop_finishes_running_pieces_and_the_next_run_writes_the_rest(many, tmp_path):
    durable = []

    def sink(path, array):
        durable.append(path)

    with opened(many) as reader:
        plan = streamed(reader)
        asked = iter([False] * 10 + [True] * 100)
        with pytest.raises(pipeline.Stopped) as stop:
            staged(plan, reader, tmp_path / "s", stopped=lambda: next(asked), sink=sink)
        assert (10, 30) == (stop.value.staged, stop.value.remaining)
        assert 10 == len(durable)
        asked = iter([False] * 5 + [True] * 100)
        with pytest.raises(pipeline.Stopped) as stop:
            staged(plan, reader, tmp_path / "s", finished=set(durable), stopped=lambda: next(asked), sink=sink)
        assert (15, 25) == (stop.value.staged, stop.value.remaining)
        values = staged(plan, reader, tmp_path / "s", finished=set(durable), sink=sink)
        assert 40 == len(set(durable)) == len(durable)
        check_values(plan, reader, tmp_path / "s", values)


@pytest.mark.parametrize("max_ram", [1, 3000, 1 << 30])
def test_a_refused_value_stops_all_threads(many, tmp_path, max_ram):
    rules = 'rules: [{from: "{i}", to: "{i}", ops: [{scale: {by: 1000}}, {cast: float8_e4m3fn}]}]'
    with opened(many) as reader, pytest.raises(RefusedError) as refusal:
        staged(streamed(reader, rules), reader, tmp_path / "s", jobs=4, max_ram=max_ram)
    assert {"M503"} == {d.code for d in refusal.value.diagnostics}


@pytest.mark.parametrize("max_ram", [1, 40_000, 1 << 30])
def test_a_sink_that_fails_stops_all_threads(many, tmp_path, max_ram):
    def sink(path, array):
        raise OSError("the disk is full")

    with opened(many) as reader, pytest.raises(OSError, match="full"):
        staged(streamed(reader), reader, tmp_path / "s", jobs=4, max_ram=max_ram, sink=sink)


def test_a_shared_reservation_is_released_with_its_last_array():
    budget = Budget(100)
    budget.reserve(60)
    share = pipeline._SharedReservation(budget, 60, 2)
    share.done()
    assert 60 == budget.reserved
    share.done()
    assert 0 == budget.reserved


def test_a_reservation_without_arrays_is_released_at_once():
    budget = Budget(100)
    budget.reserve(60)
    pipeline._SharedReservation(budget, 60, 0)
    assert 0 == budget.reserved


def test_small_arrays_are_read_and_encoded_together(many, tmp_path, monkeypatch):
    """Forty arrays of equal metadata by one thread: two groups are read, and one batch is encoded."""
    read, encoded = [], []
    decode, encode = small_arrays._MemoryArray.decode, small_chunks._MemoryArray.encode
    monkeypatch.setattr(
        small_arrays._MemoryArray, "decode", lambda array, chunks: read.append(len(chunks)) or decode(array, chunks)
    )
    monkeypatch.setattr(
        small_chunks._MemoryArray, "encode", lambda array, group: encoded.append(len(group)) or encode(array, group)
    )
    with opened(many) as reader:
        staged(streamed(reader), reader, tmp_path / "s", jobs=1)
    assert ([32, 8], [40]) == (read, encoded)


def compared(plan, reader, recorded=None):
    known = recorded_digests(plan, reader) if recorded is None else recorded
    return inputs_of(plan, known, reader, verify="digest", jobs=2)


@pytest.fixture
def recorded(source, tmp_path):
    """A copy of the checkpoint with every kind of leaf that records digests."""
    copy = shutil.copytree(source, tmp_path / "recorded")
    migrate.stamp(copy, digests=True)
    return copy


@pytest.mark.parametrize("max_ram", [1, 1 << 30])
def test_arrays_are_marked_whose_sources_were_compared(recorded, tmp_path, max_ram):
    sunk = {}
    with opened(recorded) as reader:
        plan = streamed(reader, TIED)
        inputs = compared(plan, reader)
        staged(plan, reader, tmp_path / "new", max_ram=max_ram, inputs=inputs, sink=sunk.__setitem__)
        data = {path for path, leaf in reader.abstract().tree.leaves.items() if leaf.is_numeric}
    assert data == set(inputs.recorded) == inputs.compared
    assert sunk
    assert all(array.compared for array in sunk.values())


def test_arrays_of_sources_without_digests_are_not_marked(recorded, tmp_path):
    sunk = {}
    with opened(recorded) as reader:
        plan = streamed(reader)
        known = recorded_digests(plan, reader)
        inputs = compared(plan, reader, {path: known[path] for path in known if path == ("wide",)})
        staged(plan, reader, tmp_path / "new", inputs=inputs, sink=sunk.__setitem__)
    assert {("wide",)} == {path for path, array in sunk.items() if array.compared}


@pytest.mark.parametrize("max_ram", [1, 1 << 30])
def test_nothing_is_written_of_a_source_that_differs_from_its_digest(recorded, tmp_path, max_ram):
    change(recorded, "params.kernel")
    sunk = {}
    with opened(recorded) as reader:
        plan = streamed(reader, TIED)
        how = {"inputs": compared(plan, reader), "sink": sunk.__setitem__, "jobs": 1}
        with pytest.raises(VerifyError) as failure:
            staged(plan, reader, tmp_path / "new", max_ram=max_ram, **how)
    assert ("params/kernel",) == failure.value.diagnostics[0].paths
    assert ("params", "kernel") not in sunk
