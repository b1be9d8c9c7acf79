"""The bundled files for NNX: layers stacked and apart, q, k and v fused and apart, there and back with the moments."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fixtures.models import transformer
from tests.bundled.migrating import apply, close, leaves, restored, same, save

TOKENS = np.array([[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], [31, 0, 17, 7, 7, 1, 3, 2, 9, 9, 4, 30]])


def filled(make):
    """A model and its optimizer in which every number and key is random, so that no moment is zero."""
    state, rng = nnx.eval_shape(make), np.random.default_rng(3)
    for part in state.values():
        old = nnx.to_flat_state(nnx.state(part))
        nnx.update(part, nnx.from_flat_state([(path, randomised(path, variable, rng)) for path, variable in old]))
    return state


def randomised(path, variable, rng):
    value = variable.get_value()
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return variable.replace(jax.random.wrap_key_data(rng.integers(0, 1 << 32, (*value.shape, 2), np.uint32)))
    if not jnp.issubdtype(value.dtype, jnp.floating):
        return variable.replace(jax.device_put(rng.integers(0, 9, value.shape).astype(value.dtype)))
    numbers = rng.normal(scale=0.2, size=value.shape).astype(value.dtype)
    return variable.replace(jax.device_put(np.abs(numbers) if "nu" in path else numbers))


def rule_file(path: Path, include: str, template: str) -> Path:
    path.write_text(
        f"migrate: 1\ntarget: {{template: 'fixtures.models.transformer:{template}'}}\ninclude: {include}\nrules: []\n"
    )
    return path


def migrated(tmp_path, include, make, between):
    """A state, its checkpoint, and what that becomes."""
    state = filled(make)
    old = save(tmp_path / "old", {name: nnx.state(part) for name, part in state.items()})
    rules = rule_file(tmp_path / "there.yaml", include, between.__name__)
    return state, old, apply(rules, old, tmp_path / "new", "--allow-code")


@nnx.jit
def evaluated(model):
    return model(TOKENS)


WAYS = {
    "a list is stacked": (
        "{file: nnx/stack, under: model/blocks, to: model/blocks}",
        "{file: nnx/unstack, under: model/blocks, to: model/blocks}",
        transformer.make_state,
        transformer.make_stacked_state,
    ),
    "a stack is cut": (
        "{file: nnx/unstack, under: model/blocks}",
        "{file: nnx/stack, under: model/blocks}",
        transformer.make_stacked_state,
        transformer.make_state,
    ),
    "q, k and v are fused": (
        "{file: nnx/qkv-to-fused, under: 'model/blocks/{i}/attn'}",
        "{file: nnx/fused-to-qkv, under: 'model/blocks/{i}/attn'}",
        transformer.make_state,
        transformer.make_fused_state,
    ),
    "q, k and v are separated": (
        "{file: nnx/fused-to-qkv, under: 'model/blocks/{i}/attn'}",
        "{file: nnx/qkv-to-fused, under: 'model/blocks/{i}/attn'}",
        transformer.make_fused_state,
        transformer.make_state,
    ),
}


@pytest.mark.sample(4)
@pytest.mark.parametrize("way", WAYS)
def test_the_model_computes_the_same_and_everything_comes_back_bit_for_bit(way, tmp_path):
    there, back, make, between = WAYS[way]
    state, old, new = migrated(tmp_path, there, make, between)
    again = apply(rule_file(tmp_path / "back.yaml", back, make.__name__), new, tmp_path / "back", "--allow-code")
    after = restored(new, f"fixtures.models.transformer:{between.__name__}")
    for one in (state, after):
        one["model"].eval()
    close(evaluated(state["model"]), evaluated(after["model"]))
    before = leaves(old)
    more = ["--template", f"fixtures.models.transformer:{make.__name__}"] if "fused" in way else []
    same(before, leaves(apply(tmp_path / "there.yaml", new, tmp_path / "reversed", "--reverse", *more)))
    assert any("mu" in name and np.any(value != 0) for name, value in before.items() if "attn" in name)
    same(before, leaves(again))


@nnx.jit
def step(model, optimizer):
    optimizer.update(model, nnx.grad(lambda model: (model(TOKENS) ** 2).mean())(model))


@pytest.mark.matrix
def test_a_migrated_optimizer_goes_on_as_the_old_one_would(tmp_path):
    there, _, make, between = WAYS["q, k and v are fused"]
    state, _, new = migrated(tmp_path, there, make, between)
    after = restored(new, f"fixtures.models.transformer:{between.__name__}")
    for one in (state, after):
        one["model"].eval()
        step(one["model"], one["optimizer"])
    close(evaluated(state["model"]), evaluated(after["model"]))


def test_random_streams_are_stacked_like_everything_else(tmp_path):
    there, _, make, between = WAYS["a list is stacked"]
    state, _, new = migrated(tmp_path, there, make, between)
    after = restored(new, f"fixtures.models.transformer:{between.__name__}")
    keys = [jax.random.key_data(block.dropout.rngs.key.get_value()) for block in state["model"].blocks]
    stacked = jax.random.key_data(after["model"].blocks.dropout.rngs.key.get_value())
    assert np.array_equal(np.stack(keys), stacked)
