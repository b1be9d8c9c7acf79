"""Version 5: the vocabulary has room for new tokens."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import nnx


@dataclass(frozen=True)
class Config:
    """The hyperparameters, which the record of a checkpoint has as well."""

    vocabulary: int = 64
    tokens: int = 60
    context: int = 16
    width: int = 32
    num_heads: int = 4
    layers: int = 2
    scan_layers: bool = True
    dropout: float = 0.1


class Attention(nnx.Module):
    """Causal attention of several heads."""

    def __init__(self, config: Config, *, rngs: nnx.Rngs) -> None:
        self.num_heads = config.num_heads
        self.qkv = nnx.Linear(config.width, 3 * config.width, rngs=rngs)
        self.out = nnx.Linear(config.width, config.width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [batch, time, width] to the same shape."""
        heads = (*x.shape[:2], self.num_heads, -1)
        # Three products with one parameter: the gradient of x is summed as it was for three layers, bit for bit.
        kernels, biases = jnp.split(self.qkv.kernel[...], 3, axis=1), jnp.split(self.qkv.bias[...], 3)
        q, k, v = ((x @ kernel + bias).reshape(heads) for kernel, bias in zip(kernels, biases, strict=True))
        return self.out(jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape))


class Block(nnx.Module):
    """One transformer block."""

    def __init__(self, config: Config, *, rngs: nnx.Rngs) -> None:
        self.attention_norm = nnx.LayerNorm(config.width, rngs=rngs)
        self.attention = Attention(config, rngs=rngs)
        self.mlp_norm = nnx.LayerNorm(config.width, rngs=rngs)
        self.up = nnx.Linear(config.width, 4 * config.width, rngs=rngs)
        self.down = nnx.Linear(4 * config.width, config.width, rngs=rngs)
        self.dropout = nnx.Dropout(config.dropout, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [batch, time, width] to the same shape."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.down(nnx.gelu(self.up(self.mlp_norm(x)))))


def make_layers(config: Config, rngs: nnx.Rngs) -> Block:
    """Returns all layers as one block, whose arrays have a leading axis of layers."""

    @nnx.split_rngs(splits=config.layers)
    @nnx.vmap
    def make(rngs: nnx.Rngs) -> Block:
        return Block(config, rngs=rngs)

    return make(rngs)


class LanguageModel(nnx.Module):
    """A transformer whose head is tied to its embedding."""

    def __init__(self, config: Config, *, rngs: nnx.Rngs) -> None:
        self.config = config
        self.embedding = nnx.Embed(config.vocabulary, config.width, rngs=rngs)
        self.positions = nnx.Embed(config.context, config.width, rngs=rngs)
        self.layers = make_layers(config, rngs)
        self.norm = nnx.LayerNorm(config.width, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Returns the logits [batch, time, vocabulary] of the tokens that follow `tokens` [batch, time].

        The logits of tokens that are not in use are masked.
        """
        x = self.embedding(tokens) + self.positions(jnp.arange(tokens.shape[1]))
        x = nnx.scan(nnx.remat(Block.__call__), in_axes=(0, nnx.Carry), out_axes=nnx.Carry)(self.layers, x)
        logits = self.embedding.attend(self.norm(x))
        return jnp.where(jnp.arange(self.config.vocabulary) < self.config.tokens, logits, -jnp.inf)


def make_optimizer() -> optax.GradientTransformation:
    """Returns the optimizer; the first 1,000 steps are those of version 3, unless a gradient is clipped."""
    decay = optax.cosine_decay_schedule(1e-3, decay_steps=10_000)
    schedule = optax.join_schedules([optax.constant_schedule(1e-3), decay], boundaries=[1_000])
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(schedule))


def make_state() -> dict[str, nnx.Module]:
    """Returns the modules whose state is saved."""
    model = LanguageModel(Config(), rngs=nnx.Rngs(params=0, dropout=1))
    return {"model": model, "optimizer": nnx.Optimizer(model, make_optimizer(), wrt=nnx.Param)}
