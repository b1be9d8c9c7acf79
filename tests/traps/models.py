"""Models that fall into the traps, in Linen and in NNX, and probes that find out."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx

SIZE = 8
X = np.linspace(-1, 1, 2 * 5 * SIZE, dtype=np.float32).reshape(2, 5, SIZE)


class LinenMlp(nn.Module):
    """The outer Dense is made first, so that it is `Dense_0`, though it is called last."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(SIZE)(nn.gelu(nn.Dense(SIZE)(x)))


class Mlp(nnx.Module):
    def __init__(self, rngs):
        self.up = nnx.Linear(SIZE, SIZE, rngs=rngs)
        self.down = nnx.Linear(SIZE, SIZE, rngs=rngs)

    def __call__(self, x):
        return self.down(nnx.gelu(self.up(x)))


def mlp_probe(old, model):
    """The hidden layer, whose output Linen gives by the name of the module that computes it, and the output."""
    _, seen = LinenMlp().apply(old, X, capture_intermediates=True, mutable=["intermediates"])
    outputs = seen["intermediates"]
    yield "up", outputs["Dense_1"]["__call__"][0], model.up(X)
    yield "down", outputs["Dense_0"]["__call__"][0], model(X)


class LinenGru(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.RNN(nn.GRUCell(SIZE, name="cell"))(x)


class Gru(nnx.Module):
    def __init__(self, rngs):
        self.cell = nnx.GRUCell(SIZE, SIZE, rngs=rngs)

    def __call__(self, x):
        carry = jnp.zeros((x.shape[0], SIZE))
        outputs = []
        for step in range(x.shape[1]):
            carry, output = self.cell(carry, x[:, step])
            outputs.append(output)
        return jnp.stack(outputs, axis=1)


def gru_probe(old, model):
    """The state after every step: the first that differs says how soon."""
    with jax.default_matmul_precision("highest"):
        before, after = jax.jit(LinenGru().apply)(old, X), nnx.jit(Gru.__call__)(model, X)
    for step in range(X.shape[1]):
        yield f"step.{step}", before[:, step], after[:, step]


class Layers(nnx.Module):
    """Twelve layers in a list: Orbax stores their indices as text."""

    def __init__(self, rngs):
        self.layers = nnx.List(nnx.Linear(2, 3, rngs=rngs) for _ in range(12))


class Stacked(nnx.Module):
    def __init__(self):
        self.kernel = nnx.Param(jnp.zeros((12, 2, 3)))
        self.bias = nnx.Param(jnp.zeros((12, 3)))


class Normed(nnx.Module):
    """`WeightNorm` holds arrays that are no Variables."""

    def __init__(self, rngs):
        self.linear = nnx.WeightNorm(nnx.Linear(2, 3, rngs=rngs), rngs=rngs)


class Sharded(nnx.Module):
    """A model whose annotations name axes of a mesh."""

    def __init__(self, rngs):
        init = nnx.with_partitioning(nnx.initializers.lecun_normal(), (None, "model"))
        self.linear = nnx.Linear(4, 8, kernel_init=init, rngs=rngs)


class Half(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(2, 3, param_dtype=jnp.bfloat16, rngs=rngs)


class Single(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(2, 3, rngs=rngs)
