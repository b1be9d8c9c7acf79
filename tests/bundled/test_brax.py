"""Brax's PPO agents: a published one, and one written here whose outputs are computed from the formulas."""

from itertools import pairwise

import numpy as np
import pytest

from fixtures.models import ppo
from tests.bundled.migrating import apply, close, leaves, outputs, restored, same, save
from tests.oracle import ppo as real
from tests.oracle.values import REAL

TEMPLATE = "fixtures.models.ppo:make_model"
RNG = np.random.default_rng(5)


def network(widths):
    """A network's variables as Brax saves them."""
    pairs = list(pairwise(widths))
    return {
        "params": {
            f"hidden_{i}": {
                "kernel": RNG.normal(size=pair).astype(np.float32) / pair[0],
                "bias": RNG.normal(size=pair[1]).astype(np.float32),
            }
            for i, pair in enumerate(pairs)
        }
    }


def forward(variables, x):
    layers = variables["params"]
    for i in range(len(layers)):
        x = x @ layers[f"hidden_{i}"]["kernel"] + layers[f"hidden_{i}"]["bias"]
        x = x / (1 + np.exp(-x)) if i < len(layers) - 1 else x
    return x


def test_an_agent_computes_what_its_formulas_say(tmp_path):
    size = ppo.OBSERVATIONS
    statistics = {
        "count": np.float32(12),
        "mean": RNG.normal(size=size).astype(np.float32),
        "std": RNG.uniform(0.5, 2, size).astype(np.float32),
        "summed_variance": RNG.uniform(1, 2, size).astype(np.float32),
    }
    policy, value = network(ppo.POLICY), network(ppo.VALUE)
    old = save(tmp_path / "old", [statistics, policy, value])
    agent = restored(apply("brax/ppo-to-nnx", old, tmp_path / "new", "--template", TEMPLATE), TEMPLATE)
    observations = RNG.normal(size=(4, size)).astype(np.float32)
    x = (observations - statistics["mean"]) / statistics["std"]
    close((forward(policy, x), forward(value, x)), outputs(agent, observations))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real checkpoints are not on this machine")
def test_a_published_agent_goes_to_the_same_places_bit_for_bit(tmp_path):
    new = apply("brax/ppo-to-nnx", real.SOURCE, tmp_path / "new", "--template", TEMPLATE)
    same({"/".join(path): value for path, value in real.expected_leaves().items()}, leaves(new))
    agent = restored(new, TEMPLATE)
    with np.load(real.CASE / "golden.npz") as golden:
        close((golden["out_policy_swish"], golden["out_value_swish"]), outputs(agent, golden["in_obs"]))
