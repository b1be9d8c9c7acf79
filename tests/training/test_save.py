"""`migrate.save`: one atomic step with the record, complete also if the script ends at once."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from orbax.checkpoint import v1

import migrate

KEY = np.array([0, 1], np.uint32)
TREE = {
    **jax.device_put({"params": {"w": np.arange(4, dtype=np.float32)}, "key": jax.random.wrap_key_data(KEY)}),
    "count": 3,
}


class Model(nnx.Module):
    def __init__(self, rngs):
        self.layer = nnx.Linear(2, 3, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)


class Batches:
    """An iterator of batches with a state."""

    def __init__(self, position=0):
        self.position = position

    def get_state(self):
        return {"position": self.position}


@pytest.fixture(params=["v0", "v1"])
def checkpointer(request, tmp_path):
    made = ocp.CheckpointManager if request.param == "v0" else v1.training.Checkpointer
    with made(tmp_path / "root") as opened:
        yield opened


def wait(checkpointer):
    (checkpointer.wait if hasattr(checkpointer, "wait") else checkpointer.wait_until_finished)()


def record(tree, version=1):
    return migrate.Metadata.of(tree, name="lm", version=version)


def test_a_pytree_is_saved_with_its_record_and_its_step(checkpointer, tmp_path):
    assert migrate.save(checkpointer, 7, TREE, {**record(TREE), "mine": [1, None]})
    wait(checkpointer)
    with migrate.open_checkpoint(tmp_path / "root") as opened:
        found = migrate.Metadata.from_json(opened.abstract.metadata)
        assert ("lm", 1, 7) == (found.model, found.version, found.step)
        assert [1, None] == opened.abstract.metadata["mine"]
        assert {"step": 7} == opened.abstract.extras
        assert opened.abstract.structure_hash == found.structure_hash
        np.testing.assert_array_equal(TREE["params"]["w"], opened.read("params/w"))
    kind = "CheckpointManager" if isinstance(checkpointer, ocp.CheckpointManager) else "v1.Checkpointer"
    assert kind == found.checkpointer


def test_modules_and_optimizers_are_saved_as_orbax_restores_them(checkpointer, tmp_path):
    model = Model(nnx.Rngs(0))
    state = {"model": model, "optimizer": nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)}
    migrate.save(checkpointer, 1, state, record(state))
    wait(checkpointer)
    expected = nnx.state(state)
    if isinstance(checkpointer, ocp.CheckpointManager):
        restored = checkpointer.restore(1, args=ocp.args.StandardRestore(expected))
    else:
        restored = checkpointer.load(1, expected)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), expected, restored)
    assert all(jax.tree.leaves(same))
    with migrate.open_checkpoint(tmp_path / "root") as opened:
        found = migrate.Metadata.from_json(opened.abstract.metadata)
        assert opened.abstract.structure_hash == found.structure_hash


def test_a_dict_with_an_iterator_is_saved_as_items(checkpointer, tmp_path):
    state = {"model": Model(nnx.Rngs(0)), "rngs": nnx.Rngs(3), "data": Batches(12)}
    assert migrate.save(checkpointer, 5, state, record({"model": state["model"]}))
    wait(checkpointer)
    names = {path.name for path in (tmp_path / "root" / "5").iterdir() if path.is_dir()}
    assert {"model", "rngs", "data", "step"} == names
    with migrate.open_checkpoint(tmp_path / "root") as opened:
        assert {"step": 5, "data": {"position": 12}} == opened.abstract.extras
        assert {"model", "rngs"} == set(opened.abstract.items)


@pytest.mark.parametrize(
    "value",
    [
        jax.random.wrap_key_data(KEY),
        jax.random.wrap_key_data(np.arange(8, dtype=np.uint32).reshape(4, 2)),
        jax.device_put(KEY),
        jax.device_put(np.arange(4, dtype=np.float32)),
        np.arange(4),
        3,
    ],
    ids=["key", "keys", "raw-key", "array", "numpy", "number"],
)
def test_an_item_that_is_a_single_array_number_or_key_is_saved_and_resumed(checkpointer, tmp_path, value):
    items = {"model": TREE["params"], "rng": value}
    assert migrate.save(checkpointer, 2, {**items, "data": Batches(12)}, record(items))
    wait(checkpointer)
    found = migrate.resume(tmp_path / "root", rules=tmp_path / "none", into=items).state["rng"]
    assert type(value) is type(found)
    is_key = isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)
    both = [np.asarray(jax.random.key_data(one) if is_key else one) for one in (value, found)]
    assert both[0].dtype == both[1].dtype
    np.testing.assert_array_equal(*both)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "`extra` is a NoneType without arrays and numbers, for which Orbax saves no item"),
        ({"empty": {}}, "`extra` is a dict without arrays"),
        (optax.EmptyState(), "`extra` is a EmptyState without arrays"),
    ],
)
def test_an_item_without_leaves_is_refused_before_anything_is_written(checkpointer, tmp_path, value, problem):
    with pytest.raises(migrate.UsageError, match=problem) as refused:
        migrate.save(checkpointer, 1, {"model": TREE, "extra": value, "data": Batches()}, {})
    assert ("M736", "leave it out of the state") == (
        refused.value.diagnostics[0].code,
        refused.value.diagnostics[0].help,
    )
    assert [] == list((tmp_path / "root").iterdir())


def test_a_key_whose_implementation_orbax_would_lose_is_refused_with_the_way_to_save_it(tmp_path):
    key = jax.random.key(3, impl="rbg")
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        with pytest.raises(migrate.UsageError, match="`rng` is a single key of the implementation rbg") as refused:
            migrate.save(manager, 1, {"model": TREE, "rng": key, "data": Batches()}, {})
        assert "`{'rng': {'key': key}}`" in refused.value.diagnostics[0].help
        assert [] == list((tmp_path / "root").iterdir())
        assert migrate.save(manager, 1, {"model": TREE, "rng": {"key": key}, "data": Batches()}, {})


def test_a_single_numpy_number_is_refused_by_the_api_that_does_not_save_it(tmp_path):
    state = {"model": TREE, "rate": np.float32(3), "data": Batches()}
    with ocp.CheckpointManager(tmp_path / "v0") as manager:
        assert migrate.save(manager, 1, state, {})
    with v1.training.Checkpointer(tmp_path / "v1") as checkpointer:
        with pytest.raises(migrate.UsageError, match=r"`rate` is a single float32, which .* does not save"):
            migrate.save(checkpointer, 1, state, {})
        assert [] == list((tmp_path / "v1").iterdir())


def test_a_manager_of_one_item_restores_it_without_a_name_before_and_after(tmp_path):
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        manager.save(0, args=ocp.args.StandardSave(TREE))
        migrate.save(manager, 1, TREE, record(TREE))
        manager.save(2, args=ocp.args.StandardSave(TREE))
        for step in (0, 1, 2):
            restored = manager.restore(step, args=ocp.args.StandardRestore(TREE))
            np.testing.assert_array_equal(TREE["params"]["w"], restored["params"]["w"])
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        assert 3 == manager.restore(1)["count"]
        assert migrate.save(manager, 3, TREE, record(TREE))
        assert 3 == manager.restore(3)["count"]


def test_a_manager_with_item_names_needs_the_item_of_the_step(tmp_path):
    with ocp.CheckpointManager(tmp_path / "one", item_names=("state",)) as manager:
        with pytest.raises(migrate.UsageError, match="lack `step`"):
            migrate.save(manager, 1, {"state": TREE}, {})
        assert [] == list((tmp_path / "one").iterdir())
    with ocp.CheckpointManager(tmp_path / "two", item_names=("state", "step")) as manager:
        for step in (1, 2):
            assert migrate.save(manager, step, {"state": TREE}, {})
        manager.wait_until_finished()
        assert 2 == manager.restore(2)["step"]


def test_metrics_decide_on_the_best_step(tmp_path):
    options = ocp.CheckpointManagerOptions(best_fn=lambda metrics: metrics["loss"], best_mode="min", max_to_keep=1)
    with ocp.CheckpointManager(tmp_path / "root", options=options) as manager:
        for step, loss in ((1, 0.5), (2, 0.25), (3, 1.0)):
            migrate.save(manager, step, TREE, {}, metrics={"loss": loss})
        manager.wait_until_finished()
        assert (2, [2]) == (manager.best_step(), list(manager.all_steps()))


def test_a_step_that_the_policy_skips_is_not_saved_unless_it_is_forced(tmp_path):
    options = ocp.CheckpointManagerOptions(save_interval_steps=10)
    with ocp.CheckpointManager(tmp_path / "root", options=options) as manager:
        saved = [migrate.save(manager, step, TREE, {}) for step in (0, 5, 10)]
        assert [True, False, True] == saved
        assert migrate.save(manager, 15, TREE, {}, force=True)


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"loss": np.float32(1)}, "at `loss` has a numpy.float32, which is not JSON"),
        ({"a": [{"b": jax.device_put(np.ones((), np.float32))}]}, r"at `a/0/b` has a jaxlib\S* which is not JSON"),
        ({"a": {3: 4}}, "at `a` has the key 3, a int and not a string"),
        ({"migrate": {"version": [1]}}, "the record cannot be read again"),
        (7, "`metadata` is a int"),
    ],
)
def test_a_record_that_is_not_json_is_refused_before_anything_is_written(checkpointer, tmp_path, metadata, problem):
    with pytest.raises(migrate.UsageError, match=problem) as refused:
        migrate.save(checkpointer, 1, TREE, metadata)
    assert "M735" == refused.value.diagnostics[0].code
    wait(checkpointer)
    assert [] == list((tmp_path / "root").iterdir())


def test_metrics_that_are_not_json_are_refused(checkpointer, tmp_path):
    with pytest.raises(migrate.UsageError, match=r"the metrics at `loss` has a numpy.float32"):
        migrate.save(checkpointer, 1, TREE, {}, metrics={"loss": np.float32(1)})
    assert [] == list((tmp_path / "root").iterdir())


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (Batches(), "M736"),
        ({"data": Batches(object())}, "M736"),
        ({"data": Batches(), "a/b": TREE}, "M736"),
        ({"data": Batches(), "step": 8}, "M737"),
        ({"data": Batches(), "step": TREE}, "M736"),
    ],
)
def test_a_state_that_cannot_be_saved_is_refused(checkpointer, tmp_path, state, code):
    with pytest.raises(migrate.UsageError) as refused:
        migrate.save(checkpointer, 1, state, {})
    assert code == refused.value.diagnostics[0].code
    assert [] == list((tmp_path / "root").iterdir())


class SavesItself:
    """An object that follows `StatefulCheckpointable` of the v1 API."""

    async def save(self, directory):
        async def write():
            (await directory.await_creation() / "position.txt").write_text("12")

        return write()

    async def load(self, directory):
        raise NotImplementedError


def test_each_api_has_objects_that_it_alone_saves(tmp_path):
    arguments, itself = {"data": ocp.args.JsonSave({"position": 12})}, {"data": SavesItself()}
    with ocp.CheckpointManager(tmp_path / "v0") as manager:
        with pytest.raises(migrate.UsageError, match="`Checkpointer` of Orbax's v1 API only"):
            migrate.save(manager, 1, itself, {})
        assert migrate.save(manager, 1, arguments, {})
        manager.wait_until_finished()
        assert {"position": 12} == manager.restore(1).data
    with v1.training.Checkpointer(tmp_path / "v1") as checkpointer:
        with pytest.raises(migrate.UsageError, match="is for a `CheckpointManager`"):
            migrate.save(checkpointer, 1, arguments, {})
        assert migrate.save(checkpointer, 1, itself, {})
    assert "12" == (tmp_path / "v1" / "1" / "data" / "position.txt").read_text()


def test_other_checkpointers_are_refused():
    with pytest.raises(migrate.UsageError, match="a StandardCheckpointer saves no steps"):
        migrate.save(ocp.StandardCheckpointer(), 1, TREE, {})


SCRIPT = """
import sys
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import v1
import migrate

kind, root, end = sys.argv[1:]
state = {{"w": jnp.ones((1500, 1500))}}
checkpointer = ocp.CheckpointManager(root) if kind == "v0" else v1.training.Checkpointer(root)
{save}
if end == "raise":
    raise SystemExit(3)
if end == "error":
    raise ValueError("the script fails")
"""

SAVE = 'migrate.save(checkpointer, 4, state, migrate.Metadata.of(state, name="lm", version=1))'
PLAIN = "checkpointer.save(4, args=ocp.args.StandardSave(state))"


def run_script(save, kind, root, end, timeout=None):
    script = SCRIPT.format(save=save)
    command = [sys.executable, "-W", "ignore", "-c", script, kind, str(root), end]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("kind", "end", "code"),
    [("v0", "", 0), ("v1", "", 0), ("v1", "raise", 3), ("v0", "raise", 3), ("v0", "error", 1), ("v1", "error", 1)],
)
def test_a_script_that_ends_at_once_leaves_a_complete_step(tmp_path, kind, end, code):
    ended = run_script(SAVE, kind, tmp_path / "root", end)
    assert code == ended.returncode, ended.stderr
    assert "not saved" not in ended.stderr
    assert ["4"] == [path.name for path in (tmp_path / "root").iterdir()]
    with migrate.open_checkpoint(tmp_path / "root") as opened:
        assert 4 == migrate.Metadata.from_json(opened.abstract.metadata).step
        assert 1500 * 1500 == opened.read("w").sum()


def test_orbax_alone_leaves_a_temporary_directory(tmp_path):
    """The pitfall itself: `migrate.training.unfinished` is needless once this fails."""
    with suppress(subprocess.TimeoutExpired):  # its threads may also wait for one that can no longer start
        assert 0 == run_script(PLAIN, "v0", tmp_path / "root", "", timeout=60).returncode
    assert ["4.orbax-checkpoint-tmp"] == [path.name for path in (tmp_path / "root").iterdir()]


def test_metadata_that_are_not_json_lose_the_step_in_orbax_alone(tmp_path):
    """The pitfall itself: the check of `migrate.training.custom_metadata` is needless once this fails."""
    manager = ocp.CheckpointManager(tmp_path / "root")
    assert manager.save(1, args=ocp.args.StandardSave(TREE), custom_metadata={"x": np.float32(1)})
    with pytest.raises(TypeError):
        manager.wait_until_finished()
    assert not Path(tmp_path / "root" / "1").exists()


def test_a_saved_step_is_migrated_with_its_items(checkpointer, tmp_path):
    (tmp_path / "rules.yaml").write_text('migrate: 1\ntarget: {layout: items}\nrules: ["w -> v"]\n')
    migrate.save(checkpointer, 5, {"model": TREE["params"], "data": Batches(12)}, {})
    wait(checkpointer)
    rules = migrate.load_rules(tmp_path / "rules.yaml")
    migrate.apply_root(lambda step: migrate.plan(step, rules), tmp_path / "root", tmp_path / "new")
    with migrate.open_checkpoint(tmp_path / "new") as opened:
        assert {"step": 5, "data": {"position": 12}} == opened.abstract.extras
        assert ["model"] == list(opened.abstract.items)
    assert {"position": 12} == json.loads((tmp_path / "new" / "5" / "data" / "metadata").read_text())


def test_items_are_restored_by_plain_orbax_as_the_documentation_has_it(tmp_path):
    model, iterator = Model(nnx.Rngs(0)), Batches(12)
    state = {"model": model, "rngs": nnx.Rngs(1), "data": iterator}
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        assert migrate.save(manager, 3, state, record(state))
    other = Model(nnx.Rngs(9))
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        args = ocp.args.Composite(model=ocp.args.StandardRestore(nnx.state(other)), data=ocp.args.JsonRestore())
        restored = manager.restore(3, args=args)
    nnx.update(other, restored.model)
    np.testing.assert_array_equal(model.layer.kernel[...], other.layer.kernel[...])
    assert {"position": 12} == restored.data
