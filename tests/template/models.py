"""Models that tests name as `module:callable`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import nnx


class Plain(nnx.Module):
    def __init__(self, width=3, *, rngs):
        self.first = nnx.Linear(2, width, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(width, width, use_bias=False, rngs=rngs) for _ in range(12)])
        self.norm = nnx.BatchNorm(width, rngs=rngs)
        self.drop = nnx.Dropout(0.1, rngs=rngs)


class Small(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(2, 3, rngs=rngs)
        self.drop = nnx.Dropout(0.1, rngs=rngs)


class Odd(nnx.Module):
    """All kinds of values that a module can contain and a checkpoint must distinguish."""

    def __init__(self, rngs):
        self.absent = nnx.Param(None)
        self.nothing = nnx.Variable({})
        self.tree = nnx.Variable(
            {"a": jnp.zeros(2), "b": [jnp.zeros(1)], "t": (jnp.zeros(1),), "e": {}, "n": None, "l": [], "u": ()}
        )
        self.raw = jnp.zeros(3)
        self.raw_key = jax.random.key(0)
        self.raws = nnx.data({"x": jnp.zeros(4, jnp.bfloat16)})
        self.number = nnx.data(3.0)
        self.count = nnx.Variable(3)
        self.flag = nnx.Variable(True)
        self.wide = nnx.Param(np.zeros(2, np.float64))
        self.normed = nnx.WeightNorm(nnx.Linear(2, 2, rngs=rngs), rngs=rngs)
        self.value = nnx.Linear(1, 1, rngs=rngs)
        self.keys = nnx.Rngs(params=0, dropout=1)
        self.ring = nnx.Variable(jax.random.key(0, impl="rbg"))


class Annotated(nnx.Module):
    def __init__(self, rngs):
        rules = (("embed", None), ("mlp", "model"))
        init = nnx.with_partitioning(nnx.initializers.zeros_init(), ("embed", "mlp"), sharding_rules=rules)
        self.up = nnx.Linear(4, 8, kernel_init=init, rngs=rngs)
        self.table = nnx.Param(jnp.zeros((4, 4)), out_sharding=jax.sharding.PartitionSpec(("data", "model")))


def annotated_parts(rngs):
    return {"model": Annotated(rngs), "step": {"n": 0}}


class Huge(nnx.Module):
    """A hundred gigabytes, and a few bytes beside them."""

    def __init__(self, rngs):
        self.big = nnx.Linear(500_000, 50_000, rngs=rngs)
        self.small = nnx.Linear(3, 5, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)


class Outer:
    class Inner:
        @staticmethod
        def make():
            return plain()


def plain():
    return Plain(rngs=nnx.Rngs(0))


def trained():
    model = plain()
    return {"model": model, "optimizer": nnx.Optimizer(model, optax.adamw(1e-3), wrt=nnx.Param), "step": 0}


def masked():
    model = plain()
    tx = optax.chain(optax.clip(1.0), optax.masked(optax.adam(1e-3), lambda p: jax.tree.map(lambda x: x.ndim > 1, p)))
    return [model, nnx.Optimizer(model, tx, wrt=nnx.Param), (optax.sgd(0.1).init({"w": jnp.zeros(3)}), None, {})]


class Pair(NamedTuple):
    model: nnx.Module
    average: nnx.Module


def listed():
    return [nnx.Linear(2, 3, rngs=nnx.Rngs(seed)) for seed in range(11)]


def paired():
    model = plain()
    return model, nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)


def nested_lists():
    return {"nets": ([nnx.Linear(2, 3, rngs=nnx.Rngs(0))], nnx.List([plain()])), "scale": [nnx.Param(jnp.ones(2))]}


def named():
    return {"both": Pair(plain(), plain())}


def numbered():
    return {10: plain(), 9: plain()}


def shared_list():
    model = plain()
    return {"again": [model], "all": [model, nnx.Linear(2, 3, rngs=nnx.Rngs(0))], "drop": [nnx.Dropout(0.1)]}


def shared():
    model = plain()
    return {
        "both": nnx.ModelAndOptimizer(model, optax.adam(1e-3), wrt=nnx.Param),
        "model": model,
        "again": model,
        "kernel": model.first.kernel,
    }


def stacked():
    @nnx.split_rngs(splits=3)
    @nnx.vmap(in_axes=0, out_axes=0)
    def layers(rngs):
        return Small(rngs)

    return layers(nnx.Rngs(0))


def jitted():
    return nnx.jit(lambda: Small(nnx.Rngs(0)))()


def bridged():
    model = nnx.bridge.ToNNX(nn.Dense(3), rngs=nnx.Rngs(0))
    return nnx.bridge.lazy_init(model, jnp.zeros((1, 2)))


def already_abstract():
    return nnx.eval_shape(plain)


def linen_like():
    params = {"Dense_0": {"kernel": jnp.zeros((2, 3)), "bias": np.zeros(3, np.float32)}}
    return {"params": params, "opt_state": optax.adam(1e-3).init(params), "step": 7, "rate": 0.1, "none": None}


def states():
    params = nnx.state(plain(), nnx.Param)
    return {"params": params, "opt_state": optax.adam(1e-3).init(params)}


def structs():
    return {"a": jax.ShapeDtypeStruct((2, 3), jnp.bfloat16)}


def value_only():
    return {"scale": {"value": jnp.zeros(2)}, "w": jnp.zeros(1)}


def unsupported():
    return {"good": jnp.zeros(1), "act": {"f": jax.nn.relu}, "z": 1j}


def nothing():
    return {}


def raises():
    width = -1
    return nnx.Linear(width, rngs=nnx.Rngs(0))


def exits():
    raise SystemExit(3)


def chatty():
    print("hello")
    return plain()


number = 3
