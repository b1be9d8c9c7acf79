"""A run compares what it reads from the source, or what ops use, with the digests that the source records."""

import shutil
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import migrate
from migrate.engine.options import MINIMUM_RAM
from migrate.errors import CheckpointError, StoppedError, VerifyError
from migrate.events import LeafDone, PhaseStarted
from migrate.report.of_receipt import receipt_report
from tests.engine.sources import apply_plan, every_kind, opened, plan_for, save
from tests.engine.verification.conftest import change, chunks, swap

ROWS = """rules:
  - {from: w0, to: turned, ops: [{flip: {axis: 0}}]}
  - {from: [w1, w2], to: stacked, ops: [{stack: 0}]}
"""


@pytest.fixture
def recorded(tmp_path):
    """A checkpoint of four arrays of one chunk that records digests."""
    source = save(tmp_path / "old", {f"w{i}": jnp.arange(4096.0) + i for i in range(4)})
    migrate.stamp(source, digests=True)
    return source


def run(source, folder, **options):
    with opened(source) as reader:
        return apply_plan(plan_for(reader, ROWS), reader, folder, **options)


@pytest.mark.parametrize(("mode", "inputs"), [("digest", 1), ("none", 0), ("decode", 3), ("full", 3)])
def test_leaves_that_ops_change_are_compared_with_their_digests(tmp_path, recorded, mode, inputs):
    heard = []
    receipt = run(recorded, tmp_path / "new", verify=mode, listener=heard.append)
    assert inputs == receipt.inputs
    own_pass = [event for event in heard if isinstance(event, PhaseStarted) and event.phase == "source"]
    linked = inputs == 3
    assert linked * [PhaseStarted("source", 2, 2 * 4096 * 4)] == own_pass, "what is streamed is not read twice"
    compared = [event for event in heard if isinstance(event, LeafDone) and event.phase == "source"]
    assert linked * [LeafDone("source", (name,), 4096 * 4) for name in ("w1", "w2")] == compared


def test_kept_leaves_that_are_streamed_are_compared_and_leaves_without_data_are_not_counted(tmp_path):
    migrate.stamp(save(tmp_path / "old", {"a": jnp.arange(8.0), "b": {}}), digests=True)
    with opened(tmp_path / "old") as reader:
        plan = plan_for(reader, link=False)
        receipt = apply_plan(plan, reader, tmp_path / "new", verify="full")
    assert 1 == receipt.inputs
    assert any("1 leaf of the source, streamed or used by ops" in line for line in receipt_report(receipt).summary)


@pytest.mark.parametrize(("one", "other", "changed"), [("w0", "w3", ("w0",)), ("w1", "w2", ("w1", "w2"))])
@pytest.mark.parametrize("mode", ["decode", "full"])
def test_a_source_whose_values_changed_is_refused_before_anything_is_committed(
    tmp_path, recorded, mode, one, other, changed
):
    swap(recorded, one, other)
    heard = []
    with pytest.raises(VerifyError, match="changed since its digests were recorded") as failure:
        run(recorded, tmp_path / "new", verify=mode, listener=heard.append)
    assert ["M516"] == [found.code for found in failure.value.diagnostics]
    assert changed == failure.value.diagnostics[0].paths
    assert not [event for event in heard if isinstance(event, PhaseStarted) and event.phase == "commit"]
    assert not (tmp_path / "new").exists()


OPS = {
    "cast": "[{from: w0, to: new, ops: [{cast: {to: bfloat16, lossy: true}}]}]",
    "transpose": "[{from: square, to: new, ops: [transpose]}]",
    "transpose of slabs": "[{from: large, to: new, ops: [transpose]}]",
    "transpose of a part": "[{from: large, to: new, ops: [{slice: {axis: 0, start: 0, stop: 300}}, transpose]}]",
    "concat": "[{from: [w1, w0], to: new, ops: [{flip: {axis: 0}}, {concat: 0}]}]",
    "stack of slabs": "[{from: [large, other], to: new, ops: [transpose, {stack: 0}]}]",
    "exact cast": "[{from: small, to: new, ops: [{cast: int8}]}]",
}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A checkpoint of arrays of several sizes that records digests."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(600, 700)).astype("float32") for name in ("large", "other")}
    tree = {**arrays, "w0": np.ones(40, "float32"), "w1": np.arange(40.0, dtype="float32"), "square": np.eye(30)}
    source = save(tmp_path_factory.mktemp("many") / "old", {**tree, "small": np.arange(9, dtype="int32")})
    migrate.stamp(source, digests=True)
    return source


@pytest.mark.parametrize("name", OPS)
def test_a_changed_element_does_not_pass_through_an_op(tmp_path, many, name):
    source = shutil.copytree(many, tmp_path / "old")
    changed = {"cast": "w0", "transpose": "square", "concat": "w0", "exact cast": "small"}.get(name, "large")
    change(source, changed)
    with opened(source) as reader, pytest.raises(VerifyError) as failure:
        apply_plan(plan_for(reader, f"rules: {OPS[name]}"), reader, tmp_path / "new")
    (found,) = failure.value.diagnostics
    assert f"{source} has changed since its digests were recorded: 1 of its arrays differ" == found.message
    assert (changed,) == found.paths
    assert f"`migrate verify {source}` names the files" == found.help
    assert ["old"] == [child.name for child in tmp_path.iterdir()]


@pytest.mark.parametrize("name", OPS)
def test_every_streamed_input_is_counted_once(tmp_path, many, name):
    with opened(many) as reader:
        plan = plan_for(reader, f"rules: {OPS[name]}")
        streamed = {source for task in plan.tasks if task.mode == "stream" for source in task.sources}
        assert streamed
        receipt = apply_plan(plan, reader, tmp_path / "new")
    assert len(streamed) == receipt.inputs
    assert "source" not in receipt.seconds, "nothing is read twice"


@pytest.mark.parametrize("target", ["new", "new.safetensors", "new.msgpack"])
@pytest.mark.parametrize("mode", ["digest", "full"])
def test_leaves_of_every_kind_are_compared(tmp_path, target, mode):
    tree = every_kind()
    if target != "new":
        tree = {name: tree[name] for name in ("params", "wide", "flags", "zero_d")}
    source = save(tmp_path / "old", tree)
    migrate.stamp(source, digests=True)
    with opened(source) as reader:
        plan = plan_for(reader, link=False)
        plan = replace(plan, tasks=tuple(replace(task, mode="stream") for task in plan.tasks))
        data = [leaf for leaf in plan.source.tree.leaves.values() if leaf.is_numeric]
        assert len(data) == apply_plan(plan, reader, tmp_path / target, verify=mode).inputs


@pytest.mark.parametrize("name", ["key", "params.bias", "zero_d", "step", "f8", "i4", "c"])
def test_a_changed_leaf_of_any_kind_is_refused(tmp_path, name):
    source = save(tmp_path / "old", every_kind())
    migrate.stamp(source, digests=True)
    change(source, name)
    with opened(source) as reader:
        plan = plan_for(reader)
        plan = replace(plan, tasks=tuple(replace(task, mode="stream") for task in plan.tasks))
        with pytest.raises(VerifyError) as failure:
            apply_plan(plan, reader, tmp_path / "new")
    assert (name.replace(".", "/"),) == failure.value.diagnostics[0].paths


@pytest.mark.parametrize("changed", [False, True])
def test_an_array_beyond_the_budget_is_compared(tmp_path, changed):
    source = save(tmp_path / "old", {"w": jnp.zeros((2000, 10_000))})
    migrate.stamp(source, digests=True)
    if changed:
        change(source, "w")
    rules = "rules: [{from: w, to: w, ops: [{cast: {to: bfloat16, lossy: true}}]}]"
    with opened(source) as reader:
        how = {"max_ram": MINIMUM_RAM, "jobs": 1}
        if not changed:
            assert 1 == apply_plan(plan_for(reader, rules), reader, tmp_path / "new", **how).inputs
            return
        with pytest.raises(VerifyError, match="has changed since"):
            apply_plan(plan_for(reader, rules), reader, tmp_path / "new", **how)
    assert not (tmp_path / "new").exists()


def test_all_changed_leaves_of_a_task_are_named(tmp_path, many):
    source = shutil.copytree(many, tmp_path / "old")
    for name in ("w1", "w0"):
        change(source, name)
    with opened(source) as reader, pytest.raises(VerifyError) as failure:
        apply_plan(plan_for(reader, f"rules: {OPS['concat']}"), reader, tmp_path / "new")
    assert ("w1", "w0") == failure.value.diagnostics[0].paths


def test_a_changed_value_is_refused_before_an_op_refuses_it(tmp_path):
    source = save(tmp_path / "old", {"w": np.ones(10, "float32")})
    migrate.stamp(source, digests=True)
    change(source, "w")
    with opened(source) as reader, pytest.raises(VerifyError, match="has changed"):
        apply_plan(plan_for(reader, "rules: [{from: w, to: w, ops: [{cast: bfloat16}]}]"), reader, tmp_path / "new")


def test_without_verification_nothing_is_compared(tmp_path, recorded):
    change(recorded, "w0")
    assert 0 == run(recorded, tmp_path / "new", verify="none").inputs


def test_a_resumed_run_counts_what_the_stopped_run_compared(tmp_path, many):
    rules = f"rules: {OPS['stack of slabs']}"
    with opened(many) as reader:
        plan = plan_for(reader, rules)
        with pytest.raises(StoppedError):
            apply_plan(plan, reader, tmp_path / "new", stopped=_once_staged(tmp_path))
        receipt = apply_plan(plan, reader, tmp_path / "new")
    assert (1, 2) == (receipt.resumed, receipt.inputs)
    assert "source" not in receipt.seconds


def test_a_resumed_run_compares_what_a_run_without_verification_staged(tmp_path, many):
    source = shutil.copytree(many, tmp_path / "old")
    change(source, "other")
    with opened(source) as reader:
        plan = plan_for(reader, f"rules: {OPS['stack of slabs']}")
        with pytest.raises(StoppedError):
            apply_plan(plan, reader, tmp_path / "new", stopped=_once_staged(tmp_path), verify="none")
        with pytest.raises(VerifyError) as failure:
            apply_plan(plan, reader, tmp_path / "new")
    assert ("other",) == failure.value.diagnostics[0].paths
    assert not (tmp_path / "new").exists()


def _once_staged(folder):
    """Returns whether a journal below the folder names an array."""
    return lambda: any(file.read_text().count("\n") > 1 for file in folder.glob("*/journal.jsonl"))


def test_leaves_of_named_sources_are_compared_with_their_own_records(tmp_path, many):
    other = shutil.copytree(many, tmp_path / "lora")
    change(other, "w1")
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "migrate: 1\nsources: {lora: null}\nrules:\n"
        "- {from: ['w1', 'lora:w1'], to: w, ops: [{flip: {axis: 0}}, {concat: 0}]}\n"
        "- drop: 'lora:{x:large|other|w0|square|small}'\n"
    )
    with migrate.open_checkpoint(many) as source:
        plan = migrate.plan(source, rules, sources={"lora": other})
        with pytest.raises(VerifyError) as failure:
            migrate.apply(plan, source, tmp_path / "new", sources={"lora": other})
    assert ("lora:/w1",) == failure.value.diagnostics[0].paths


def test_a_source_without_digests_has_nothing_to_be_compared_with(tmp_path):
    source = save(tmp_path / "old", {f"w{i}": jnp.arange(4.0) + i for i in range(4)})
    assert 0 == run(source, tmp_path / "new", verify="full").inputs


def test_a_chunk_that_cannot_be_decoded_is_named(tmp_path, recorded):
    chunks(recorded).write("w0/0", b"no chunk").result()
    with pytest.raises(CheckpointError, match="`w0`"):
        run(recorded, tmp_path / "new", verify="decode")


@pytest.mark.parametrize(("mode", "words"), [("digest", "1 leaf of the source, streamed:"), ("full", "3 leaves of")])
def test_a_receipt_states_what_was_compared(tmp_path, recorded, mode, words):
    summary = receipt_report(run(recorded, tmp_path / "new", verify=mode)).summary
    assert any(line.startswith(words) and "equal to the digests that the source records" in line for line in summary)


def test_the_steps_of_a_root_are_compared_with_their_own_records(tmp_path):
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        for step in range(2):
            manager.save(step, args=ocp.args.Composite(params=ocp.args.StandardSave({"w": np.arange(8.0) + step})))
    for step in range(2):
        migrate.stamp(tmp_path / "root" / str(step), digests=True)
    change(tmp_path / "root" / "1" / "params", "w")
    rules = tmp_path / "rules.yaml"
    rules.write_text("migrate: 1\nrules: [{from: '{x:**}/w', to: '{x}/w', ops: [{flip: {axis: 0}}]}]")

    def make_plan(checkpoint):
        return migrate.plan(checkpoint, rules)

    with pytest.raises(VerifyError) as failure:
        migrate.apply_root(make_plan, tmp_path / "root", tmp_path / "new")
    assert ("w",) == failure.value.diagnostics[0].paths
    assert ["0"] == [child.name for child in (tmp_path / "new").iterdir() if child.is_dir()]
