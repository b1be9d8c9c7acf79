"""What a model is known by beside its tree: equal for arrays and tracers, and in every process."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

from migrate.template.facts import ModelFacts, facts_of, plain, tree_of
from migrate.template.template import abstract_template


@dataclass(frozen=True)
class Config:
    width: int = 8
    ratio: float = 4.0


class Attention(nnx.Module):
    def __init__(self, heads, *, rngs):
        self.num_heads = heads
        self.activation = nnx.gelu
        self.qkv = nnx.Linear(8, 24, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)


class Net(nnx.Module):
    def __init__(self, heads=2, shared=False, *, rngs):
        self.config = Config()
        self.deterministic = False
        self.first = Attention(heads, rngs=rngs)
        self.second = self.first if shared else Attention(heads, rngs=rngs)


def make():
    model = Net(rngs=nnx.Rngs(0))
    return {"model": model, "optimizer": nnx.Optimizer(model, optax.adamw(1e-3), wrt=nnx.Param)}


def test_a_template_has_the_facts_of_the_real_model():
    facts = facts_of(make())
    assert facts == abstract_template(f"{__name__}:make").facts
    assert facts.graph_digest.startswith("sha256:")
    assert __name__ in facts.code_digests


def test_facts_are_the_same_in_another_process():
    code = f"import {__name__} as t; print(t.facts_of(t.make()).graph_digest)"
    changed = {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONHASHSEED": "7", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | changed, capture_output=True, text=True, check=True
    )
    assert facts_of(make()).graph_digest == done.stdout.strip()


def test_the_graph_digest_depends_on_static_attributes_and_on_sharing_but_not_on_values():
    digests = [
        facts_of(Net(heads, shared, rngs=nnx.Rngs(seed))).graph_digest
        for heads, shared, seed in ((2, False, 0), (4, False, 0), (2, True, 0), (2, False, 1))
    ]
    assert 3 == len(set(digests))
    assert digests[0] == digests[3]


def test_hyperparameters_are_the_plain_attributes_with_one_value():
    model = Net(rngs=nnx.Rngs(0))
    assert {"width": 8, "ratio": 4.0, "num_heads": 2} == facts_of(model).hyperparameters
    model.second.num_heads = 4
    facts = facts_of(model)
    assert "num_heads" not in facts.hyperparameters
    assert (2, 4) == facts.attributes["num_heads"]


def test_modes_of_a_module_are_no_hyperparameters():
    model = Net(rngs=nnx.Rngs(0))
    before = facts_of(model).hyperparameters
    model.eval()
    assert before == facts_of(model).hyperparameters


def test_transforms_have_the_names_of_optax():
    assert {"scale_by_adam", "add_decayed_weights"} <= set(facts_of(make()).transforms)
    state = TrainState.create(apply_fn=None, params={"a": jnp.ones(2)}, tx=optax.sgd(0.1, momentum=0.9))
    assert "trace" in facts_of(state).transforms
    assert () == facts_of(Net(rngs=nnx.Rngs(0))).transforms


def test_a_pytree_without_modules_has_no_facts():
    assert ModelFacts() == facts_of({"params": {"a": jnp.ones(2)}})


def test_the_tree_is_that_of_the_template():
    assert abstract_template(f"{__name__}:make").tree.structure_hash == tree_of(make()).structure_hash


def test_plain_values():
    values = {
        "a": (1, np.float32(0.5)),
        "b": Config(),
        "c": np.int64(3),
        "d": jnp.float32,
        "e": np.dtype("int8"),
        "f": None,
    }
    plained = {"a": [1, 0.5], "b": {"width": 8, "ratio": 4.0}, "c": 3, "d": "float32", "e": "int8", "f": None}
    assert plained == plain(values)
    assert [bool] == [type(plain(np.bool_(True)))]


@pytest.mark.parametrize("value", [object(), jax.nn.gelu, np.ones(2), {1: 2}, {"a": {3, 4}}])
def test_values_without_a_form_in_json_are_refused(value):
    with pytest.raises(TypeError, match="has no form in JSON"):
        plain(value)
