"""Trains a version of the model up to a step, from the newest step of ROOT: `python train.py ROOT VERSION STEPS`."""

import argparse
import importlib
import os
from collections.abc import Callable
from pathlib import Path

# Without fused multiply-add, XLA's choice of what to fuse does not change how numbers are rounded.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_max_isa=AVX"

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import nnx
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import migrate

BATCH, CONTEXT, TOKENS = 8, 16, 60


class Texts:
    """Yields batches of tokens [BATCH, CONTEXT + 1], in which each text counts in steps of its own.

    The methods are those of an iterator of Grain.
    """

    position = 0

    def __next__(self) -> np.ndarray:
        start, stride = np.random.default_rng(self.position).integers(TOKENS, size=(2, BATCH, 1))
        self.position += 1
        return (start + stride * np.arange(CONTEXT + 1)) % TOKENS

    def get_state(self) -> dict[str, int]:
        """Returns the position, which is saved with each step."""
        return {"position": self.position}

    def set_state(self, state: dict[str, int]) -> None:
        """Continues at a saved position."""
        self.position = state["position"]


@nnx.jit(static_argnums=0)
def make_on_mesh(make_state: Callable[[], dict]) -> dict:
    """Returns a new state; arrays of several axes are split along the last one over `model`, others are replicated."""
    state = make_state()
    arrays = nnx.state(state)
    specs = jax.tree.map(lambda array: P(*[None] * (array.ndim - 1), "model") if array.ndim > 1 else P(), arrays)
    nnx.update(state, jax.lax.with_sharding_constraint(arrays, specs))
    return state


@nnx.jit
def train_step(model: nnx.Module, optimizer: nnx.Optimizer, text: jax.Array) -> jax.Array:
    """Updates the model and its optimizer; returns the loss."""

    def loss_of(model: nnx.Module) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(model(text[:, :-1]), text[:, 1:]).mean()

    loss, gradients = nnx.value_and_grad(loss_of)(model)
    optimizer.update(model, gradients)
    return loss


def train(root: Path, version: int, steps: int, save_every: int) -> None:
    """Trains up to a step; resumes the newest step of the root, of this version or any earlier one."""
    state, texts = make_on_mesh(importlib.import_module(f"versions.v{version}").make_state), Texts()
    record = migrate.Metadata.of(state, name="lm", version=version)
    resumed = migrate.resume(root, into=state, rules="rules/", to=version)
    if resumed:
        texts.set_state(resumed.items["data"])
    options = ocp.CheckpointManagerOptions(save_interval_steps=save_every)
    with ocp.CheckpointManager(root.absolute(), options=options) as manager:
        for step in range(resumed.step + 1 if resumed else 0, steps + 1):
            if step > 0:
                text = jax.device_put(next(texts), P("data"))
                print(f"step {step}: loss {float(train_step(**state, text=text))!r}", flush=True)
            migrate.save(manager, step, {"state": state, "data": texts}, record, force=step == steps)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("version", type=int)
    parser.add_argument("steps", type=int)
    parser.add_argument("--mesh", default="1,1", help="devices along `data` and `model` (default: 1,1)")
    parser.add_argument("--save-every", type=int, default=100, help="steps between two saves (default: 100)")
    parser.add_argument("--job", nargs=3, metavar=("ADDRESS", "PROCESSES", "NUMBER"), help="this process of several")
    given = parser.parse_args()
    if given.job:
        jax.distributed.initialize(given.job[0], int(given.job[1]), int(given.job[2]))
    shape = tuple(int(size) for size in given.mesh.split(","))
    jax.set_mesh(jax.make_mesh(shape, ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto)))
    train(given.root, given.version, given.steps, given.save_every)
