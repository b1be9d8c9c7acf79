"""Trains a version of the model, and saves the last step with Orbax: `python train.py ROOT VERSION STEPS`."""

import importlib
import os
import sys
from pathlib import Path

# Without fused multiply-add, XLA's choice of what to fuse does not change how numbers are rounded.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_max_isa=AVX")

import jax
import optax
import orbax.checkpoint as ocp
from flax import nnx

import migrate

BATCH, CONTEXT, TOKENS = 8, 16, 60


def text_of(step: int) -> jax.Array:
    """Returns the tokens of a step, [BATCH, CONTEXT + 1]: each text counts in steps of its own."""
    start, stride = jax.random.randint(jax.random.key(step), (2, BATCH, 1), 0, TOKENS)
    return (start + stride * jax.numpy.arange(CONTEXT + 1)) % TOKENS


@nnx.jit
def train_step(model: nnx.Module, optimizer: nnx.Optimizer, text: jax.Array) -> jax.Array:
    """Updates the model and its optimizer; returns the loss."""

    def loss_of(model: nnx.Module) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(model(text[:, :-1]), text[:, 1:]).mean()

    loss, gradients = nnx.value_and_grad(loss_of)(model)
    optimizer.update(model, gradients)
    return loss


def train(root: Path, version: int, steps: int) -> None:
    """Trains from the latest step of a root, of any earlier version, or from scratch; saves the last step."""
    state = importlib.import_module(f"versions.v{version}").make_state()
    with ocp.CheckpointManager(root.absolute(), item_handlers=ocp.StandardCheckpointHandler()) as manager:
        resumed = migrate.resume(root, rules="rules/", into=state, to=version)
        start = resumed.step if resumed else 0
        for step in range(start, start + steps):
            loss = train_step(state["model"], state["optimizer"], text_of(step))
            print(f"step {step + 1}: loss {float(loss)!r}")
        record = migrate.Metadata.of(state, name="lm", version=version, step=start + steps, checkpointer=manager)
        manager.save(start + steps, args=ocp.args.StandardSave(nnx.state(state)), custom_metadata=record)


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
