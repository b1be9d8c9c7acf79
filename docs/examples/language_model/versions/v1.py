"""Version 1: the first release."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import nnx


@dataclass(frozen=True)
class Config:
    """The hyperparameters, which the record of a checkpoint has as well."""

    vocabulary: int = 60
    context: int = 16
    width: int = 32
    num_heads: int = 4
    num_layers: int = 2
    dropout: float = 0.1


class Attention(nnx.Module):
    """Causal attention of several heads."""

    def __init__(self, config: Config, *, rngs: nnx.Rngs) -> None:
        self.num_heads = config.num_heads
        self.q = nnx.Linear(config.width, config.width, rngs=rngs)
        self.k = nnx.Linear(config.width, config.width, rngs=rngs)
        self.v = nnx.Linear(config.width, config.width, rngs=rngs)
        self.out = nnx.Linear(config.width, config.width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [batch, time, width] to the same shape."""
        heads = (*x.shape[:2], self.num_heads, -1)
        q, k, v = (layer(x).reshape(heads) for layer in (self.q, self.k, self.v))
        return self.out(jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape))


class Block(nnx.Module):
    """One transformer block."""

    def __init__(self, config: Config, *, rngs: nnx.Rngs) -> None:
        self.norm_1 = nnx.LayerNorm(config.width, rngs=rngs)
        self.attn = Attention(config, rngs=rngs)
        self.norm_2 = nnx.LayerNorm(config.width, rngs=rngs)
        self.fc_1 = nnx.Linear(config.width, 4 * config.width, rngs=rngs)
        self.fc_2 = nnx.Linear(4 * config.width, config.width, rngs=rngs)
        self.drop = nnx.Dropout(config.dropout, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [batch, time, width] to the same shape."""
        x = x + self.drop(self.attn(self.norm_1(x)))
        return x + self.drop(self.fc_2(nnx.gelu(self.fc_1(self.norm_2(x)))))


class LanguageModel(nnx.Module):
    """A transformer whose head is tied to its embedding."""

    def __init__(self, config: Config, *, rngs: nnx.Rngs) -> None:
        self.config = config
        self.wte = nnx.Embed(config.vocabulary, config.width, rngs=rngs)
        self.wpe = nnx.Embed(config.context, config.width, rngs=rngs)
        self.blocks = nnx.List([Block(config, rngs=rngs) for _ in range(config.num_layers)])
        self.norm_f = nnx.LayerNorm(config.width, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Returns the logits [batch, time, vocabulary] of the tokens that follow `tokens` [batch, time]."""
        x = self.wte(tokens) + self.wpe(jnp.arange(tokens.shape[1]))
        for block in self.blocks:
            x = nnx.remat(Block.__call__)(block, x)
        return self.wte.attend(self.norm_f(x))


def make_state() -> dict[str, nnx.Module]:
    """Returns the modules whose state is saved."""
    model = LanguageModel(Config(), rngs=nnx.Rngs(params=0, dropout=1))
    return {"model": model, "optimizer": nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)}
