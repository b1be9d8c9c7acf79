"""An array that is transposed slab by slab is what NumPy makes of it, and its source is never in memory as a whole."""

import tracemalloc
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax.traverse_util import flatten_dict
from safetensors.flax import save_file

from migrate.engine.streaming.evaluate import evaluate
from migrate.engine.streaming.transposed_slabs import SLAB_BYTES, transposed_slabs
from migrate.errors import CheckpointError
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from tests.engine.sources import opened, save

RANDOM = np.random.default_rng(0)
TREE = {
    "matrix": RANDOM.standard_normal((3301, 1777), np.float32),
    "cube": RANDOM.standard_normal((90, 70, 61), np.float32),
    "half": RANDOM.standard_normal((700, 1100), np.float32).astype(jnp.bfloat16),
    "small": RANDOM.standard_normal((30, 40), np.float32),
    "long row": RANDOM.standard_normal((2, 1_200_000), np.float32),
    "vector": RANDOM.standard_normal(400_000, np.float32),
    "layers": {str(i): RANDOM.standard_normal((701, 530), np.float32) for i in range(3)},
    "norms": {str(i): RANDOM.standard_normal(100_000, np.float32) for i in range(3)},
    "parts": {"a": RANDOM.standard_normal((300, 900), np.float32), "b": RANDOM.standard_normal((400, 900), np.float32)},
    "experts": {f"{i}_{k}": RANDOM.standard_normal((500, 600), np.float32) for i in range(2) for k in range(3)},
}


@pytest.fixture(scope="module", params=["zarr2", "zarr3", "safetensors"])
def source(request, tmp_path_factory):
    tree = jax.tree.map(jnp.asarray, TREE)
    path = tmp_path_factory.mktemp("source") / "old"
    if request.param == "safetensors":
        save_file(flatten_dict(tree, sep="/"), path.with_suffix(".safetensors"))
        return path.with_suffix(".safetensors")
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_zarr3=request.param == "zarr3")) as checkpointer:
        checkpointer.save(path, args=ocp.args.PyTreeSave(tree))
    return path


def task_of(reader, name, ops):
    rules = parse_rules(f'migrate: 1\nrules: [{{from: "{name}", to: new, ops: {ops}}}]', "rules.yaml")
    plan = make_plan(reader.abstract(), rules, None)
    return plan, next(task for task in plan.tasks if task.targets == (("new",),))


def both(source, name, ops):
    """What is moved into place, and what the ops make of whole arrays."""
    with opened(source) as reader:
        _, task = task_of(reader, name, ops)
        arrays = [np.asarray(reader.read(path)) for path in task.sources]
        for step in task.steps:
            arrays = [out for op, group in step.calls for out in op.apply(*(arrays[i] for i in group))]
        (meant,) = arrays
        return transposed_slabs(task, reader), meant


@pytest.mark.parametrize(
    ("name", "ops"),
    [
        ("matrix", "[transpose]"),
        ("half", "[{transpose: [1, 0]}]"),
        ("cube", "[transpose]"),
        ("cube", "[{transpose: [1, 2, 0]}]"),
        ("cube", "[{transpose: [0, 2, 1]}]"),
        ("layers/{i}", "[transpose, {stack: {axis: 1, over: i}}]"),
        ("layers/{i}", "[{stack: {axis: -1, over: i}}, {transpose: [2, 1, 0]}]"),
        ("norms/{i}", "[{stack: {axis: 0, over: i}}]"),
        ("parts/{i}", "[{concat: {axis: 0, over: i}}, transpose]"),
        ("parts/{i}", "[transpose, {concat: {axis: 1, over: i}}]"),
        ("experts/{i}_{k}", "[transpose, {stack: {axis: 0, over: k}}, {stack: {axis: 1, over: i}}]"),
        ("experts/{i}_{k}", "[{concat: {axis: 0, over: k}}, transpose, {stack: {axis: 1, over: i}}]"),
    ],
)
def test_it_is_what_numpy_makes_of_it(source, name, ops):
    found, meant = both(source, name, ops)
    assert (meant.dtype, meant.shape, meant.tobytes()) == (found.dtype, found.shape, found.tobytes())
    assert found.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "ops"),
    [
        ("small", "[transpose]"),
        ("long row", "[transpose]"),
        ("vector", "[{reshape: [400, 1000]}, transpose]"),
        ("matrix", "[transpose, {cast: bfloat16}]"),
        ("matrix", "[{reshape: [-1]}]"),
        ("layers/{i}", "[transpose, {cast: bfloat16}, {stack: {axis: 1, over: i}}]"),
        ("layers/{i}", "[{stack: {axis: 0, over: i}}, {slice: {axis: 0, start: 1}}]"),
    ],
)
def test_other_tasks_are_left_to_their_ops(source, name, ops):
    with opened(source) as reader:
        assert transposed_slabs(task_of(reader, name, ops)[1], reader) is None


@pytest.mark.parametrize(
    ("name", "ops"), [("matrix", "[transpose]"), ("layers/{i}", "[transpose, {stack: {axis: 1, over: i}}]")]
)
def test_the_arrays_of_the_source_are_not_in_memory(source, name, ops):
    with opened(source) as reader:
        _, task = task_of(reader, name, ops)
        tracemalloc.start()
        found = transposed_slabs(task, reader)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert found.nbytes < peak < found.nbytes + 2 * SLAB_BYTES


def test_a_damaged_chunk_is_refused_by_the_reader_which_names_the_file(tmp_path):
    source = save(tmp_path / "old", {"matrix": jnp.asarray(TREE["matrix"])})
    (file,) = [file for file in Path(source).rglob("d/*") if file.stat().st_size > 1 << 20]
    with opened(source) as reader:
        plan, task = task_of(reader, "matrix", "[transpose]")
        with file.open("r+b") as content:
            content.seek(1 << 20)
            content.write(bytes(1 << 18))
        assert transposed_slabs(task, reader) is None
        with pytest.raises(CheckpointError, match="matrix"):
            evaluate(task, reader, plan.target)


def test_a_file_that_became_shorter_is_refused_by_the_reader_which_names_it(tmp_path):
    source = tmp_path / "old.safetensors"
    save_file({"matrix": jnp.asarray(TREE["matrix"])}, source)
    with opened(source) as reader:
        plan, task = task_of(reader, "matrix", "[transpose]")
        with source.open("r+b") as content:
            content.truncate(1 << 20)
        assert transposed_slabs(task, reader) is None
        with pytest.raises(CheckpointError, match=r"old\.safetensors"):
            evaluate(task, reader, plan.target)
