"""Small checkpoints that Orbax itself wrote, and plans for them."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from migrate.engine import run
from migrate.engine.options import ApplyOptions
from migrate.engine.streaming.stopping import never
from migrate.events import ignore
from migrate.formats.detect import open_reader
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules


def every_kind():
    """A tree with every kind of leaf that Orbax saves."""
    return {
        "params": {"kernel": jnp.arange(48, dtype=jnp.float32).reshape(8, 6), "bias": jnp.ones(3, jnp.bfloat16)},
        "opt": [{"mu": jnp.ones((2, 2))}, None],
        "key": jax.random.split(jax.random.key(1), 3),
        "step": 7,
        "lr": 0.5,
        "done": True,
        "wide": np.array([2**40, -1]),
        "f8": jnp.arange(3).astype(jnp.float8_e4m3fn),
        "i4": jnp.arange(3, dtype=jnp.int4),
        "flags": jnp.array([True, False]),
        "c": jnp.array([1 + 2j], jnp.complex64),
        "zero_d": jnp.float32(3),
        "empty": {},
    }


def save(path, tree):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree)
    return path


def plan_for(reader, rules="rules: []", template=None, *, link=True):
    return make_plan(reader.abstract(), parse_rules(f"migrate: 1\n{rules}", "rules.yaml"), template, link=link)


def opened(path):
    return open_reader(path)


def apply_plan(plan, reader, target, *, how=run.apply, listener=ignore, stopped=never, workers=None, **options):
    """Runs a plan, with the options as keywords."""
    return how(plan, reader, target, ApplyOptions(**options), listener=listener, stopped=stopped, workers=workers)


MIXED_RULES = "rules: [{from: 'flipped/{i}', to: 'turned/{i}', ops: [{flip: {axis: 0}}]}]"
"""Half of the arrays of `mixed` are streamed, half are linked."""


def mixed():
    """Ten arrays of which `MIXED_RULES` streams five, the last a large one, and a number."""
    rng = np.random.default_rng(0)
    arrays = {
        kind: {str(i): rng.normal(size=(8, 16)).astype("float32") for i in range(5)} for kind in ("flipped", "kept")
    }
    arrays["flipped"]["4"] = rng.normal(size=(256, 512)).astype("float32")
    return {**jax.tree.map(jnp.asarray, arrays), "step": 7}
