"""The target of the transposed transformer, as a template."""

from tests.benchmarks.checkpoints import LAYERS, width_of


def make(gigabytes):
    """Params, state of adam and step with every matrix transposed."""
    import jax.numpy as jnp

    width = width_of(gigabytes)

    def dense(rows, columns):
        return {"kernel": jnp.zeros((columns, rows)), "bias": jnp.zeros(columns)}

    def block():
        attention = {name: dense(width, width) for name in ("query", "key", "value", "out")}
        norms = {f"norm_{i}": {"scale": jnp.ones(width)} for i in (0, 1)}
        return {"attn": attention, "mlp": {"up": dense(width, 4 * width), "down": dense(4 * width, width)}, **norms}

    def params():
        return {"embed": {"embedding": jnp.zeros((width, 256))}, "blocks": {str(i): block() for i in range(LAYERS)}}

    adam = {"count": jnp.int32(1000), "mu": params(), "nu": params()}
    return {"params": params(), "opt_state": [adam, None], "step": 1000}
