"""tunix' model of the folder, as a template."""

from tests.benchmarks.converting.model_folder import config_of


def make(gigabytes):
    """A `Qwen3` of the sizes of the folder, in bfloat16."""
    import jax
    import jax.numpy as jnp
    from flax import nnx
    from tunix.models.qwen3.model import ModelConfig, Qwen3

    config = config_of(gigabytes)
    sizes = ModelConfig(
        num_layers=config["num_hidden_layers"],
        vocab_size=config["vocab_size"],
        embed_dim=config["hidden_size"],
        hidden_dim=config["intermediate_size"],
        num_heads=config["num_attention_heads"],
        num_kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        rope_theta=config["rope_theta"],
        norm_eps=config["rms_norm_eps"],
    )
    model = Qwen3(sizes, rngs=nnx.Rngs(0))
    nnx.update(model, jax.tree.map(lambda array: array.astype(jnp.bfloat16), nnx.state(model)))
    return model
