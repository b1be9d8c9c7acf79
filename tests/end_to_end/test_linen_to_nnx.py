"""A newcomer's job: a Linen TrainState goes to an NNX class that someone else wrote, by `suggest` and `apply`."""

from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from flax import nnx, serialization

from migrate.cli.main import migrate
from tests.end_to_end import linen_to_nnx as job

ROOT = Path(__file__).parent.parent.parent
SPEC = "tests.end_to_end.linen_to_nnx"


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(scope="module")
def state():
    with jax.default_matmul_precision("highest"):
        return job.trained()


@pytest.fixture(scope="module", params=["orbax", "msgpack"])
def checkpoint(request, state, tmp_path_factory):
    """The owner's checkpoint, as Orbax or as Flax's own file."""
    place = tmp_path_factory.mktemp("old") / "old"
    if request.param == "msgpack":
        file = place.with_suffix(".msgpack")
        file.write_bytes(serialization.to_bytes(state))
        return file
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(place, state)
    return place


def run(*arguments):
    result = CliRunner().invoke(migrate, list(map(str, arguments)))
    assert 0 == result.exit_code, result.output
    return result


def migrated(checkpoint, template, folder):
    """The checkpoint after `suggest` and `apply`, without an edit of the rule file; the probe compares the logits."""
    rules = folder / "rules.yaml"
    run("suggest", checkpoint, "--template", f"{SPEC}:{template}", "-o", rules)
    run("apply", rules, checkpoint, folder / "new", "--probe", f"{SPEC}:probe", "--verify", "full", "--allow-code")
    return folder / "new"


def restored(place, made):
    """The parts of a model with the values of a checkpoint, as Orbax restores them."""
    graph, abstract = nnx.split(made)
    with ocp.StandardCheckpointer() as checkpointer:
        return nnx.merge(graph, checkpointer.restore(place, abstract))


@pytest.mark.matrix
def test_the_training_continues_as_if_nothing_had_happened(state, checkpoint, tmp_path):
    new = restored(
        migrated(checkpoint, "make_training", tmp_path), nnx.eval_shape(lambda: nnx.Dict(job.make_training()))
    )
    model, optimizer = new["model"], new["optimizer"]
    assert 5 == optimizer.step.get_value()
    for seed in range(100, 103):
        state, expected = job.old_step(state, seed)
        x, labels = job.images(seed)
        loss, gradients = nnx.value_and_grad(lambda net, x=x, labels=labels: job.loss_of(net(x), labels))(model)
        optimizer.update(model, gradients)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
    x = job.images(7)[0]
    np.testing.assert_allclose(model(x), state.apply_fn({"params": state.params}, x), rtol=1e-4, atol=1e-5)
