"""The leaves of a pytree in the order in which Equinox writes them."""

import jax
import jax.numpy as jnp
from flax import nnx

from migrate.template.leaf_order import leaf_order

HERE = __name__


def make():
    return {"b": [jax.nn.relu, jnp.zeros((2, 3)), None], "a": (jnp.ones(4), 1.5), "c": [True, {"x": jnp.zeros(())}]}


def module():
    return {"model": nnx.Linear(2, 3, rngs=nnx.Rngs(0))}


def spec(name, monkeypatch):
    import sys
    import types

    stand_in = types.ModuleType("leaf_order_models")
    stand_in.make, stand_in.module = make, module
    monkeypatch.setitem(sys.modules, "leaf_order_models", stand_in)
    return f"leaf_order_models:{name}"


def test_it_is_the_order_of_jax_without_functions_and_none(monkeypatch):
    found = leaf_order(spec("make", monkeypatch))
    expected = [(("a", "0"), (4,)), (("a", "1"), ()), (("b", "1"), (2, 3)), (("c", "0"), ()), (("c", "1", "x"), ())]
    assert expected == list(found.leaves)


def test_a_sequence_is_known_if_all_of_its_elements_are_written(monkeypatch):
    assert {("a",): "tuple", ("c",): "list"} == leaf_order(spec("make", monkeypatch)).containers


def test_nnx_modules_have_an_order_of_their_own(monkeypatch):
    assert leaf_order(spec("module", monkeypatch)) is None
