"""A training script as Flax's documentation writes it: model, optimizer, random key and JSON step are items of a step.

    python training.py ROOT START STEPS VARIANT

Trains from step START of ROOT (0: from scratch), prints the loss of each step, and saves the last one. VARIANT is the
code, which was refactored again and again: `first`; `renamed`, with other names and the blocks in a list; `stacked`,
with the blocks in one stack; `squeezed`, whose head is a vector; `clipped`, with another chain of the optimizer.
"""

import sys
from pathlib import Path

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import nnx

WIDTH = 8


class First(nnx.Module):
    def __init__(self, *, rngs):
        self.inner = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.outer = nnx.Linear(WIDTH, 1, rngs=rngs)
        self.drop = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x):
        return self.outer(self.drop(nnx.relu(self.inner(x))))


class Renamed(nnx.Module):
    def __init__(self, *, rngs):
        self.blocks = nnx.List([nnx.Linear(WIDTH, WIDTH, rngs=rngs)])
        self.head = nnx.Linear(WIDTH, 1, rngs=rngs)
        self.drop = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x):
        return self.head(self.drop(nnx.relu(self.blocks[0](x))))


class Stack(nnx.Module):
    def __init__(self, *, rngs):
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (1, WIDTH, WIDTH)))
        self.bias = nnx.Param(jax.numpy.zeros((1, WIDTH)))


class Stacked(nnx.Module):
    def __init__(self, *, rngs):
        self.blocks = Stack(rngs=rngs)
        self.head = nnx.Linear(WIDTH, 1, rngs=rngs)
        self.drop = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x):
        return self.head(self.drop(nnx.relu(x @ self.blocks.kernel[0] + self.blocks.bias[0])))


class Squeezed(nnx.Module):
    def __init__(self, *, rngs):
        self.blocks = Stack(rngs=rngs)
        self.direction = nnx.Param(jax.random.normal(rngs.params(), (WIDTH,)))
        self.offset = nnx.Param(jax.numpy.zeros(1))
        self.drop = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x):
        hidden = self.drop(nnx.relu(x @ self.blocks.kernel[0] + self.blocks.bias[0]))
        return hidden @ self.direction[:, None] + self.offset[...]


MODELS = {"first": First, "renamed": Renamed, "stacked": Stacked, "squeezed": Squeezed, "clipped": Squeezed}
ADAMW = optax.adamw(1e-2)
CLIPPED = optax.chain(optax.clip_by_global_norm(1e6), ADAMW)


def build(variant):
    model = MODELS[variant](rngs=nnx.Rngs(params=0, dropout=1))
    return model, nnx.Optimizer(model, CLIPPED if variant == "clipped" else ADAMW, wrt=nnx.Param)


def template(variant):
    """The template of the new code."""
    model, optimizer = build(variant)
    return {"model": model, "optimizer": optimizer}


def renamed():
    """The template of the first refactoring."""
    return template("renamed")


def renamed_with_key():
    """The same with the random key, which is an item of its own."""
    return {**renamed(), "rng": jax.random.key(0)}


@nnx.jit
def train_step(model, optimizer, x, y):
    loss, grads = nnx.value_and_grad(lambda model: ((model(x) - y) ** 2).mean())(model)
    optimizer.update(model, grads)
    return loss


def train(root, start, steps, variant):
    """Returns the losses; restores step `start` of a root, and saves the last step there."""
    model, optimizer = build(variant)
    rng, losses = jax.random.key(7), []
    with ocp.CheckpointManager(Path(root).absolute()) as manager:
        if start:
            restored = manager.restore(
                start,
                args=ocp.args.Composite(
                    model=ocp.args.StandardRestore(nnx.state(model)),
                    optimizer=ocp.args.StandardRestore(nnx.state(optimizer)),
                    rng=ocp.args.JaxRandomKeyRestore(),
                    step=ocp.args.JsonRestore(),
                ),
            )
            nnx.update(model, restored.model)
            nnx.update(optimizer, restored.optimizer)
            rng = restored.rng
            assert {"step": start} == restored.step
        for _ in range(steps):
            rng, data = jax.random.split(rng)
            x = jax.random.normal(data, (16, WIDTH))
            losses.append(np.float32(train_step(model, optimizer, x, x.sum(-1, keepdims=True))))
        end = start + steps
        manager.save(
            end,
            args=ocp.args.Composite(
                model=ocp.args.StandardSave(nnx.state(model)),
                optimizer=ocp.args.StandardSave(nnx.state(optimizer)),
                rng=ocp.args.JaxRandomKeySave(rng),
                step=ocp.args.JsonSave({"step": end}),
            ),
        )
    return losses


if __name__ == "__main__":
    print(*train(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
