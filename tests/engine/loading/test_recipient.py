"""The leaves of a model by key path, and the model with other values."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from migrate.engine.loading.recipient import recipient_of_callable, recipient_of_object
from migrate.errors import CheckpointError
from tests.template import models


def ones(recipient):
    """A value for every leaf: 1 in place of each number."""

    def one(leaf):
        if isinstance(leaf, str):
            return "new"
        if not hasattr(leaf, "dtype"):
            return type(leaf)(1)
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.split(jax.random.key(9), leaf.shape) if leaf.shape else jax.random.key(9)
        return jnp.ones(leaf.shape, leaf.dtype)

    return {path: one(leaf) for path, leaf in recipient.leaves.items()}


@pytest.mark.parametrize("layout", ["state", "pure_dict"])
def test_the_model_of_a_callable_is_merged(layout):
    recipient = recipient_of_callable("tests.template.models:Small", None, layout)
    assert recipient.template.tree.leaves.keys() == recipient.leaves.keys()
    model = recipient.filled(ones(recipient))
    assert isinstance(model, models.Small)
    assert (model.linear.kernel[...] == 1).all()


def test_items_are_merged_one_by_one():
    recipient = recipient_of_callable("tests.template.models:annotated_parts", None, "items")
    assert ("step", "n") in recipient.leaves
    made = recipient.filled(ones(recipient))
    assert ({"model", "step"}, {"n": 1}) == (set(made), made["step"])
    assert (made["model"].up.kernel[...] == 1).all()


@pytest.mark.parametrize("layout", ["state", "pure_dict"])
def test_a_live_module_is_updated_in_place(layout):
    model = models.Small(nnx.Rngs(0))
    kernel = model.linear.kernel
    recipient = recipient_of_object(model, "into", layout)
    assert model is recipient.filled(ones(recipient))
    assert kernel is model.linear.kernel
    assert (kernel[...] == 1).all()


def test_an_abstract_module_becomes_real():
    model = nnx.eval_shape(lambda: models.Small(nnx.Rngs(0)))
    recipient = recipient_of_object(model, "into", "state")
    assert model is recipient.filled(ones(recipient))
    assert (model.linear.kernel[...] == 1).all()
    assert (4, 3) == model.linear(jnp.ones((4, 2))).shape


def test_parts_without_modules_are_new_objects():
    model = models.Small(nnx.Rngs(0))
    live = {
        "model": model,
        "opt": nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param),
        "step": 7,
        "name": "old",
        "array": np.zeros(2, np.float32),
    }
    recipient = recipient_of_object(live, "into", "state")
    made = recipient.filled(ones(recipient))
    assert made is not live
    assert (live["model"], live["opt"]) == (made["model"], made["opt"])
    assert (1, "new", 7) == (made["step"], made["name"], live["step"])
    assert (live["array"] == 0).all()
    assert (made["opt"].opt_state[0].mu.linear.kernel[...] == 1).all()


def test_a_shared_variable_stays_shared():
    live = models.shared()
    recipient = recipient_of_object(live, "into", "state")
    before = {id(v) for _, v in nnx.iter_graph(live) if isinstance(v, nnx.Variable)}
    recipient.filled(ones(recipient))
    assert before == {id(v) for _, v in nnx.iter_graph(live) if isinstance(v, nnx.Variable)}


def test_a_state_is_returned_as_a_new_object():
    state = nnx.state(models.Small(nnx.Rngs(0)))
    recipient = recipient_of_object(state, "into", "state")
    made = recipient.filled(ones(recipient))
    assert type(state) is type(made)
    assert (made["linear"]["kernel"][...] == 1).all()
    assert not (state["linear"]["kernel"][...] == 1).all()


def test_what_no_checkpoint_contains_is_refused_by_the_name_into():
    with pytest.raises(CheckpointError, match="`into` has a value of type `object` at `a`"):
        recipient_of_object({"a": object(), "b": 1}, "into", "state")
