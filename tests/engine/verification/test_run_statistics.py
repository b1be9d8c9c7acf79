"""Statistics of what a run read and wrote: the leaves that are measured, their windows, and failures."""

import shutil
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from migrate import dtypes
from migrate.engine.outputs.registry import fitted
from migrate.engine.verification import run_statistics
from migrate.engine.verification.run_statistics import measure_run
from migrate.engine.verification.value_statistics import statistics_of
from migrate.events import LeafDone
from tests.engine.sources import apply_plan, every_kind, opened, plan_for, save
from tests.planning.trees import Template

CAST = "rules: [{from: a, to: a, ops: [{cast: {to: bfloat16, lossy: true}}]}]"
LARGE = np.random.default_rng(0).normal(size=(1024, 512)).astype(np.float32)


def migrated(tmp_path, tree, rules, *, name="new", **options):
    """What is measured after a run over a new checkpoint of Orbax."""
    return measured(save(tmp_path / "old", tree), tmp_path / name, rules, **options)


def measured(source, destination, rules, *, decodes_links=False, template=None, **options):
    with opened(source) as reader:
        plan = fitted(plan_for(reader, rules, template), destination, mesh=False)
        apply_plan(plan, reader, destination)
        return measure_run(plan, reader, destination, decodes_links=decodes_links, **options)


def leaves(events):
    return [event.path for event in events if isinstance(event, LeafDone)]


def rounded(one):
    """Statistics without the last digits of sums, which depend on the windows."""
    return (one.elements, one.nan, one.zeros, one.low, one.high, one.histogram, f"{one.mean:.9g}", f"{one.std:.9g}")


def test_a_cast_is_measured_on_both_sides(tmp_path):
    array = LARGE[:16, :16] * 1e-3
    found = migrated(tmp_path, {"a": array, "b": array}, CAST)
    assert statistics_of(array) == found.before["a",]
    assert statistics_of(array.astype(dtypes.to_numpy("bfloat16"))) == found.after["a",]
    assert found.before["a",].high != found.after["a",].high
    assert ((), False) == (found.failures, found.stopped)
    assert {("a",)} == found.before.keys() == found.after.keys()


STACK = "rules: ['a -> n', {from: 'b/{i}', to: m, ops: [{stack: {axis: 0, over: i}}]}]"
UNSTACK = "rules: ['n -> a', {from: m, to: 'b/{i}', ops: [{unstack: {axis: 0, over: i}}]}]"


def test_linked_leaves_are_measured_once_where_the_run_decoded_them(tmp_path):
    stacked, events, again = np.stack([LARGE, LARGE + 1]), [], []
    tree = {"a": LARGE, "b": {"0": LARGE, "1": LARGE + 1}}
    found = migrated(tmp_path, tree, STACK, decodes_links=True, listener=events.append)
    assert [("b", "0"), ("b", "1"), ("n",)] == sorted(leaves(events))
    assert rounded(statistics_of(stacked)) == rounded(found.after["m",])
    assert statistics_of(LARGE) == found.before["a",] == found.before["b", "0"]
    back = measured(tmp_path / "new", tmp_path / "again", UNSTACK, decodes_links=True, listener=again.append)
    assert [("a",), ("b", "0"), ("b", "1")] == sorted(leaves(again))
    assert rounded(statistics_of(stacked)) == rounded(back.before["m",])
    assert statistics_of(LARGE) == back.after["b", "0"]


def test_linked_leaves_are_not_read_where_the_run_did_not(tmp_path):
    found = migrated(tmp_path, {"a": LARGE, "b": {"0": LARGE, "1": LARGE}}, STACK)
    assert ({}, {}) == (found.before, found.after)


@pytest.mark.parametrize("name", ["new", "new.safetensors", "new.msgpack"])
def test_every_kind_of_leaf_is_measured_or_left_out(tmp_path, name):
    tree = {key: value for key, value in every_kind().items() if name == "new" or key not in ("key", "i4", "opt")}
    found = migrated(tmp_path, tree, "rules: []", decodes_links=True, name=name)
    assert () == found.failures
    for side in (found.before, found.after):
        assert (7, 0.5, 1) == (side["step",].low, side["lr",].mean, side["done",].elements)
        assert ("key",) not in side
        assert 2**40 == side["wide",].high
    assert found.before == found.after


@pytest.mark.parametrize("layout", ["zarr", "items", "huggingface", "pure_dict"])
def test_every_layout_is_measured(tmp_path, layout):
    tree = {"one": {"a": LARGE[:4]}, "two": {"b": LARGE[4:8]}}
    flip = "[{from: '{n}/{k}', to: '{n}/{k}', ops: [{flip: {axis: 0}}]}]"
    found = migrated(tmp_path, tree, f"target: {{layout: {layout}}}\nrules: {flip}")
    assert () == found.failures
    assert {("one", "a"), ("two", "b")} == found.after.keys()
    assert statistics_of(LARGE[4:8]).histogram == found.after["two", "b"].histogram


def test_tied_leaves_have_the_same_statistics_and_created_ones_their_own(tmp_path):
    rules = "rules: [{from: a, to: [b, c], ops: [transpose]}, {create: {to: d, init: ones}}]"
    template = Template({"b": "512,4", "c": "512,4", "d": "3"})
    found = migrated(tmp_path, {"a": LARGE[:4]}, rules, template=template)
    assert found.after["b",] == found.after["c",]
    assert (1.0, 0.0, 3) == (found.after["d",].mean, found.after["d",].std, found.after["d",].elements)
    assert {("a",)} == found.before.keys()


@pytest.mark.parametrize("name", ["new", "new.safetensors"])
def test_statistics_do_not_depend_on_windows(tmp_path, name, monkeypatch):
    rules = "rules: [{from: a, to: b, ops: [transpose]}]"
    whole = migrated(tmp_path, {"a": LARGE}, rules, name=name)
    monkeypatch.setattr(run_statistics, "WINDOW_BYTES", 1 << 16)
    with opened(tmp_path / "old") as reader:
        plan = fitted(plan_for(reader, rules), tmp_path / name, mesh=False)
        parts = measure_run(plan, reader, tmp_path / name, decodes_links=False, jobs=2)
    assert rounded(whole.before["a",]) == rounded(parts.before["a",])
    assert rounded(whole.after["b",]) == rounded(parts.after["b",]) == rounded(parts.before["a",])


def test_a_leaf_above_the_budget_is_measured_within_it(tmp_path):
    large = np.random.default_rng(0).normal(size=(4096, 4096)).astype(np.float32)
    save_file({"a": large}, tmp_path / "old.safetensors")
    shutil.copy(tmp_path / "old.safetensors", tmp_path / "new.safetensors")
    with opened(tmp_path / "old.safetensors") as reader:
        plan = fitted(plan_for(reader, "rules: []"), tmp_path / "new.safetensors", mesh=False)
        tracemalloc.start()
        found = measure_run(plan, reader, tmp_path / "new.safetensors", decodes_links=False, max_ram=32 << 20, jobs=2)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert large.size == found.after["a",].elements
    assert peak < 32 << 20 < large.nbytes


def test_a_leaf_that_cannot_be_read_is_named_and_the_others_are_measured(tmp_path):
    save_file({"a": LARGE, "b": LARGE}, tmp_path / "old.safetensors")
    with opened(tmp_path / "old.safetensors") as reader:
        plan = fitted(plan_for(reader, "rules: []"), tmp_path / "new.safetensors", mesh=False)
        apply_plan(plan, reader, tmp_path / "new.safetensors")
        with open(tmp_path / "old.safetensors", "r+b") as file:
            file.truncate((tmp_path / "old.safetensors").stat().st_size - 4)
        found = measure_run(plan, reader, tmp_path / "new.safetensors", decodes_links=False)
    assert {("a",)} == found.before.keys()
    assert {("a",), ("b",)} == found.after.keys()
    (failure,) = found.failures
    assert failure.startswith(f"`b` of {tmp_path / 'old.safetensors'}: ")


def test_a_result_that_is_gone_fails_nothing(tmp_path):
    with opened(save(tmp_path / "old", {"a": LARGE})) as reader:
        found = measure_run(plan_for(reader, CAST), reader, tmp_path / "gone", decodes_links=False)
    assert {("a",)} == found.before.keys()
    assert {} == found.after
    assert "gone" in found.failures[0]


def test_a_measurement_that_is_stopped_keeps_what_it_has(tmp_path, monkeypatch):
    monkeypatch.setattr(run_statistics, "GROUP", 1)
    events = []

    def done():
        return len(leaves(events))

    tree = {"a": jnp.ones(4), "b": jnp.ones(4), "c": jnp.ones(4)}
    rules = "rules: [{from: '{n}', to: '{n}', ops: [{flip: {axis: 0}}]}]"
    found = migrated(tmp_path, tree, rules, listener=events.append, stopped=lambda: done() == 2)
    assert (2, True, ()) == (len(found.before), found.stopped, found.failures)


def test_the_phase_announces_the_leaves_of_both_sides(tmp_path):
    events = []
    migrated(tmp_path, {"a": LARGE, "b": LARGE}, CAST, listener=events.append)
    started, *measures, ended = events
    assert ("measure", 2, LARGE.nbytes * 3 // 2) == (started.phase, started.leaves, started.nbytes)
    assert ["measure"] * 2 == [event.phase for event in measures]
    assert "PhaseDone" == type(ended).__name__


def test_keys_have_no_statistics(tmp_path):
    rules = "rules: [{from: 'k/{i}', to: k, ops: [stack]}]"
    found = migrated(tmp_path, {"k": {"0": jax.random.key(1), "1": jax.random.key(2)}}, rules, decodes_links=True)
    assert ({}, {}, ()) == (found.before, found.after, found.failures)
