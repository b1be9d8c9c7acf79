"""The oracles are right: models filled by hand compute what the originals computed, and go on training as they did."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from fixtures.models import cnn as cnn_model
from fixtures.models import dncnn as dncnn_model
from fixtures.models import ppo as ppo_model
from fixtures.models import transformer as lm_model
from fixtures.models import vit_mpc as vit_model
from tests.oracle import cnn, dncnn, ppo, transformer, vit_mpc
from tests.oracle.values import FIXTURES, REAL, Leaves, fill

needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the real checkpoints are not on this machine")
LM_STATES = {
    "list": lm_model.make_state,
    "stacked": lm_model.make_stacked_state,
    "fused": lm_model.make_fused_state,
}


@pytest.fixture(autouse=True)
def highest_precision():
    with jax.default_matmul_precision("highest"):
        yield


def filled(make: Callable[[], dict[str, Any]], leaves: Leaves) -> tuple[Any, nnx.Optimizer]:
    state = nnx.eval_shape(make)
    return fill(state["model"], leaves, ("model",)), fill(state["optimizer"], leaves, ("optimizer",))


@nnx.jit
def outputs(model: Any, x: np.ndarray) -> Any:
    return model(x)


@nnx.jit
def step(model: Any, optimizer: nnx.Optimizer, x: np.ndarray, labels: np.ndarray) -> None:
    def loss(model: Any) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(model(x), labels).mean()

    optimizer.update(model, nnx.grad(loss)(model))


def close(expected: np.ndarray, actual: jax.Array) -> None:
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("leaves", "case"),
    [
        (cnn.expected_leaves, "linen_2022/cnn_flax_msgpack"),
        (partial(cnn.expected_leaves, FIXTURES / "linen_2024/cnn_standard/ckpt"), "linen_2024/cnn_standard"),
        (cnn.expected_leaves_of_nnx, "nnx_2024/cnn_optimizer"),
    ],
    ids=["linen_2022", "linen_2024", "nnx_2024"],
)
def test_the_cnn_computes_and_goes_on_training_as_the_original_did(leaves: Callable[[], Leaves], case: str):
    golden = np.load(FIXTURES / case / "golden.npz")
    model, optimizer = filled(cnn_model.make_state, leaves())
    model.eval()
    close(golden["out_logits"], outputs(model, golden["in_x"]))
    model.train()
    step(model, optimizer, golden["in_train_x"], golden["in_train_labels"])
    model.eval()
    close(golden["out_logits_after_step"], outputs(model, golden["in_x"]))


@pytest.mark.sample(2)
@pytest.mark.parametrize("twin", LM_STATES)
@pytest.mark.parametrize("source", [transformer.SOURCE, transformer.SCAN_SOURCE], ids=["blocks", "scan"])
def test_the_language_model_computes_what_the_linen_model_did(source: Path, twin: transformer.Twin):
    golden = np.load(source.parents[1] / "golden.npz")
    model, _ = filled(LM_STATES[twin], transformer.expected_leaves(source, twin))
    model.eval()
    close(golden["out_logits"], outputs(model, golden["in_tokens"]))


@pytest.mark.parametrize("case", ["lm_standard_sharded/ckpt", "lm_scan_manager_sharded/ckpt/100/state"])
def test_the_sharded_language_models_compute_what_the_linen_models_did(case: str):
    source = FIXTURES / "linen_2024" / case
    golden = np.load(FIXTURES / "linen_2024" / case.split("/")[0] / "golden.npz")
    model, _ = filled(lm_model.make_stacked_state, transformer.expected_leaves(source, "stacked"))
    model.eval()
    close(golden["out_logits"], outputs(model, golden["in_tokens"]))


@pytest.mark.parametrize("twin", ["stacked", "fused"])
@pytest.mark.matrix
def test_the_language_model_goes_on_training_as_the_linen_model_did(twin: transformer.Twin):
    golden = np.load(transformer.SOURCE.parents[1] / "golden.npz")
    model, optimizer = filled(LM_STATES[twin], transformer.expected_leaves(twin=twin))
    model.eval()
    tokens = golden["in_train_tokens"]
    step(model, optimizer, tokens[:, :-1], tokens[:, 1:])
    close(golden["out_logits_after_step"], outputs(model, golden["in_tokens"]))


@needs_real
def test_the_denoiser_computes_what_the_original_did():
    golden = np.load(dncnn.CASE / "golden.npz")
    model = fill(nnx.eval_shape(lambda: dncnn_model.make_model(nnx.Rngs(0))), dncnn.expected_leaves())
    close(golden["out_y"], outputs(model, golden["in_x"]))


@needs_real
@pytest.mark.parametrize(
    ("twin", "make"),
    [("list", vit_model.make_state), ("stacked", vit_model.make_stacked_state)],
    ids=["list", "stacked"],
)
def test_the_vision_transformer_computes_what_the_original_did(twin: vit_mpc.Twin, make: Callable[[], dict[str, Any]]):
    golden = np.load(vit_mpc.CASE / "golden.npz")
    model, _ = filled(make, vit_mpc.expected_leaves(twin=twin))
    close(golden["out_head_before_solver"], outputs(model, golden["in_x"]))


@needs_real
def test_the_agent_computes_what_the_original_did():
    golden = np.load(ppo.CASE / "golden.npz")
    model = fill(nnx.eval_shape(lambda: ppo_model.make_model(nnx.Rngs(0))), ppo.expected_leaves())
    policy, value = outputs(model, golden["in_obs"])
    close(golden["out_normalised"], outputs(model.normalizer, golden["in_obs"]))
    close(golden["out_policy_swish"], policy)
    close(golden["out_value_swish"], value)
