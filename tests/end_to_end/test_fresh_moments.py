"""Training after a migration that starts some moments again: a grown vocabulary, copies, and a reset."""

from pathlib import Path

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from flax import nnx

from migrate.cli.main import migrate as command
from migrate.template import restore_target

ROOT = Path(__file__).parent.parent.parent
SPEC = "tests.end_to_end.test_fresh_moments:make"
OPTIMIZERS = {
    "adam": lambda: optax.adam(0.1),
    "momentum": lambda: optax.sgd(0.1, momentum=0.9),
    "lion": lambda: optax.lion(0.1),
}
SHAPE = (4, 3)


def make(optimizer, rows):
    model = nnx.Dict({"table": nnx.Param(jax.numpy.zeros((rows, SHAPE[1])))})
    return {"model": model, "optimizer": nnx.Optimizer(model, OPTIMIZERS[optimizer](), wrt=nnx.Param)}


def gradient(shape, step):
    return np.random.default_rng(step).normal(size=shape).astype(np.float32)


def trained(tx, steps=5):
    params = {"table": gradient(SHAPE, 99)}
    state = tx.init(params)
    for step in range(steps):
        updates, state = tx.update({"table": gradient(SHAPE, step)}, state, params)
        params = jax.tree.map(np.asarray, optax.apply_updates(params, updates))
    return params, state


def migrated(tmp_path, optimizer, rows, rule):
    """Returns the trained params and state, and the restored template after `rule`."""
    params, state = trained(OPTIMIZERS[optimizer]())
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "old", {"params": params, "opt_state": state, "step": np.int32(5)})
    args = {"optimizer": optimizer, "rows": rows}
    lines = ["migrate: 1", f'target: {{template: "{SPEC}", args: {{optimizer: {optimizer}, rows: {rows}}}}}', "rules:"]
    lines += [rule, "- {from: step, to: optimizer/step, ops: [{cast: template}]}"]
    (tmp_path / "rules.yaml").write_text("\n".join(lines))
    arguments = ["apply", "--allow-code", *(str(tmp_path / name) for name in ("rules.yaml", "old", "new"))]
    done = CliRunner().invoke(command, arguments)
    assert 0 == done.exit_code, done.output
    made = make(optimizer, rows)
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "new", restore_target(SPEC, args))
    for name, part in made.items():
        nnx.update(part, restored[name])
    return params, state, made


def update(made, step):
    """Returns the table after one more step of the migrated optimizer."""
    model, optimizer = made["model"], made["optimizer"]
    grads = nnx.state(model, nnx.Param)
    nnx.replace_by_pure_dict(grads, {"table": jax.numpy.asarray(gradient(model["table"].shape, step))})
    optimizer.update(model, grads)
    return np.asarray(model["table"].get_value())


def carried_on(tx, params, state, change, steps):
    """Returns the table of an optimizer whose params and moments went through `change` in memory."""
    params = jax.tree.map(change, params)
    state = jax.tree.map(lambda leaf: change(leaf) if np.ndim(leaf) else leaf, state)
    for step in steps:
        updates, state = tx.update({"table": gradient(params["table"].shape, step)}, state, params)
        params = optax.apply_updates(params, updates)
    return np.asarray(params["table"])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_grown_vocabulary_has_new_rows_with_fresh_moments(optimizer, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    rule = "- {from: params/table, to: model/table, ops: [{pad: [[0, 2], [0, 0]]}]}"
    params, state, made = migrated(tmp_path, optimizer, 6, rule)
    expected = carried_on(OPTIMIZERS[optimizer](), params, state, lambda a: np.pad(a, ((0, 2), (0, 0))), range(5, 8))
    for step in range(5, 8):
        actual = update(made, step)
    np.testing.assert_array_equal(expected, actual)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_copies_train_on_like_their_original(optimizer, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    rule = "- {from: params/table, to: model/table, ops: [{tile: [2, 1]}], moments: follow}"
    params, state, made = migrated(tmp_path, optimizer, 8, rule)
    expected = carried_on(OPTIMIZERS[optimizer](), params, state, lambda a: np.tile(a, (2, 1)), range(5, 8))
    for step in range(5, 8):
        actual = update(made, step)
    np.testing.assert_array_equal(expected, actual)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_first_update_after_a_reset_is_that_of_a_fresh_optimizer(optimizer, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    params, _, made = migrated(tmp_path, optimizer, 4, "- {from: params/table, to: model/table, moments: reset}")
    tx = OPTIMIZERS[optimizer]()
    expected = carried_on(tx, params, tx.init(params), np.asarray, [5])
    np.testing.assert_array_equal(expected, update(made, 5))
