"""A Linen classifier that its owner trained, and a class of NNX that someone else wrote for the same network."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from flax.training.train_state import TrainState

CLASSES, FEATURES = 10, 16


class OldBlock(nn.Module):
    """Two layers with a residual connection."""

    @nn.compact
    def __call__(self, x):
        h = nn.LayerNorm()(x)
        h = nn.Dense(4 * FEATURES)(h)
        return x + nn.Dense(FEATURES)(nn.gelu(h))


class OldClassifier(nn.Module):
    """The owner's model."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(FEATURES, (3, 3), name="stem")(x).mean((1, 2))
        for _ in range(3):
            x = OldBlock()(x)
        return nn.Dense(CLASSES, name="logits")(nn.LayerNorm()(x))


class Block(nnx.Module):
    """The same block, with other names."""

    def __init__(self, rngs):
        self.norm = nnx.LayerNorm(FEATURES, rngs=rngs)
        self.expand = nnx.Linear(FEATURES, 4 * FEATURES, rngs=rngs)
        self.shrink = nnx.Linear(4 * FEATURES, FEATURES, rngs=rngs)

    def __call__(self, x):
        return x + self.shrink(nnx.gelu(self.expand(self.norm(x))))


class Classifier(nnx.Module):
    """The class that someone else wrote."""

    def __init__(self, rngs):
        self.patchify = nnx.Conv(3, FEATURES, (3, 3), rngs=rngs)
        self.blocks = nnx.List([Block(rngs) for _ in range(3)])
        self.final_norm = nnx.LayerNorm(FEATURES, rngs=rngs)
        self.head = nnx.Linear(FEATURES, CLASSES, rngs=rngs)

    def __call__(self, x):
        x = self.patchify(x).mean((1, 2))
        for block in self.blocks:
            x = block(x)
        return self.head(self.final_norm(x))


def make():
    """The template: the model alone."""
    return Classifier(nnx.Rngs(0))


def make_training():
    """The template with its optimizer."""
    model = make()
    return {"model": model, "optimizer": nnx.Optimizer(model, optax.adamw(1e-3), wrt=nnx.Param)}


def images(seed=0):
    """A batch of images and labels."""
    keys = jax.random.split(jax.random.key(seed))
    return jax.random.normal(keys[0], (4, 8, 8, 3)), jax.random.randint(keys[1], (4,), 0, CLASSES)


def loss_of(logits, labels):
    """The loss that both training scripts minimize."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def old_step(state, seed):
    """One step of the owner's training; returns the state and the loss."""
    x, labels = images(seed)
    loss, gradients = jax.value_and_grad(lambda params: loss_of(state.apply_fn({"params": params}, x), labels))(
        state.params
    )
    return state.apply_gradients(grads=gradients), loss


def trained(steps=5):
    """The owner's state after some steps."""
    model = OldClassifier()
    params = model.init(jax.random.key(1), images()[0])["params"]
    state = TrainState.create(apply_fn=model.apply, params=params, tx=optax.adamw(1e-3))
    for seed in range(steps):
        state, _ = old_step(state, seed)
    return state


def probe(old, model):
    """Pairs of logits of both models."""
    net = model["model"] if isinstance(model, dict) else model
    x = images(99)[0]
    return OldClassifier().apply({"params": old["params"]}, x), net(jnp.asarray(x))
