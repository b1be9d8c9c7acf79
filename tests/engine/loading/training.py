"""A training state that tests load: the one that an old script saved, the model of the new script, and the rules."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import nnx

WIDTH, HEADS, LAYERS, VOCABULARY = 64, 8, 4, 512
MODEL = "tests.engine.loading.training:make"
RULES = f"""migrate: 1
target: {{template: "{MODEL}"}}
rules:
  - {{from: params/embed/embedding, to: model/embed}}
  - from: "params/layer_{{i}}/q/kernel"
    to: model/blocks/q
    ops: [{{rearrange: {{pattern: "d (h k) -> d h k", sizes: {{h: {HEADS}}}}}}}, {{stack: {{axis: 0, over: i}}}}]
  - {{from: "params/layer_{{i}}/up/kernel", to: model/blocks/up, ops: [transpose, {{stack: {{axis: 0, over: i}}}}]}}
  - {{from: "params/layer_{{i}}/down/kernel", to: model/blocks/down, ops: [{{stack: {{axis: 0, over: i}}}}]}}
  - create: {{to: model/blocks/gate, init: template}}
  - create: {{to: "**/rngs/**", init: {{rng: {{seed: 0}}}}}}
  - create: {{to: opt/step, init: {{constant: 1}}}}
  - opt_state/0/count -> opt/opt_state/0/count
"""


class Blocks(nnx.Module):
    """All layers, each kernel in one array."""

    def __init__(self):
        shape = (LAYERS, WIDTH, HEADS, WIDTH // HEADS)
        across = ("data", "model")
        self.q = nnx.Param(jnp.zeros(shape), sharding_names=(None, *across, None))
        self.up = nnx.Param(jnp.zeros((LAYERS, 4 * WIDTH, WIDTH)), sharding_names=(None, "model", "data"))
        self.down = nnx.Param(jnp.zeros((LAYERS, 4 * WIDTH, WIDTH)), sharding_names=(None, *across))
        self.gate = nnx.Param(jnp.full((LAYERS, WIDTH), 0.25))


class Model(nnx.Module):
    """The new model, with annotations for a mesh of the axes `data` and `model`."""

    def __init__(self, rngs):
        self.blocks = Blocks()
        self.embed = nnx.Param(jnp.zeros((VOCABULARY, WIDTH)), sharding_names=("data", "model"))
        self.drop = nnx.Dropout(0.1, rngs=rngs)


def make():
    """What the new script saves."""
    with nnx.use_eager_sharding(False):
        model = Model(nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, optax.adamw(1e-3), wrt=nnx.Param)
    return {"model": model, "opt": optimizer, "step": 0, "name": "", "big": np.zeros(3, np.int64)}


def old():
    """What the old script saved, after one step."""
    random = np.random.default_rng(0)

    def made(shape):
        return jnp.asarray(random.standard_normal(shape, np.float32))  # JAX compiles nothing for it

    def kernel(*shape):
        return {"kernel": made(shape)}

    def layer():
        return {"q": kernel(WIDTH, WIDTH), "up": kernel(WIDTH, 4 * WIDTH), "down": kernel(4 * WIDTH, WIDTH)}

    params = {"embed": {"embedding": made((VOCABULARY, WIDTH))}, **{f"layer_{i}": layer() for i in range(LAYERS)}}
    moments = jax.eval_shape(optax.adamw(1e-3).init, params)
    state = jax.tree.map(lambda leaf: made(leaf.shape) if leaf.ndim else jnp.asarray(np.ones((), leaf.dtype)), moments)
    return {"params": params, "opt_state": state, "step": 7, "name": "old", "big": np.array([2**40, 1, -2])}


def save(folder, **options):
    """Saves the old state and the rules; returns their paths."""
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**options)) as checkpointer:
        checkpointer.save(folder / "old", args=ocp.args.PyTreeSave(old()))
    (folder / "rules.yaml").write_text(RULES)
    return folder / "old", folder / "rules.yaml"
