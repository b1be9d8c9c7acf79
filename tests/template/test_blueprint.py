"""A restored pytree is assembled to the modules that were saved, with every value."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from migrate.template.blueprint import ONLY, blueprints
from migrate.template.parts import saved_pytree
from tests.template import models

RECIPES = ["plain", "stacked", "trained", "shared", "masked", "linen_like", "states"]
SEQUENCES = ["listed", "paired", "nested_lists", "named", "numbered", "shared_list"]


def leaves(tree):
    """Values by key path; typed keys as their words."""
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): words(leaf) for path, leaf in flat}


def words(leaf):
    keys = isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if keys else leaf)


def same(expected, actual):
    expected, actual = leaves(expected), leaves(actual)
    assert expected.keys() == actual.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(value, actual[path], err_msg=path)


def changed(tree):
    """The same tree with other values, so that none can come from the template."""

    def change(leaf):
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf + jnp.arange(leaf.size, dtype=leaf.dtype).reshape(leaf.shape)
        return leaf

    return jax.tree.map(change, tree)


@pytest.mark.sample(5)
@pytest.mark.parametrize("layout", ["state", "pure_dict"])
@pytest.mark.parametrize("name", [*RECIPES, *SEQUENCES])
def test_what_orbax_restores_becomes_what_was_saved(name, layout, tmp_path):
    saved = changed(saved_pytree(getattr(models, name)(), layout))
    blueprint = blueprints(f"tests.template.models:{name}", layout=layout)[ONLY]
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "new", saved)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "new", blueprint.abstract)
    same(saved, saved_pytree(blueprint.assemble(restored), layout))


def test_a_module_that_is_alone_can_be_called(tmp_path):
    model = models.plain()
    blueprint = blueprints("tests.template.models:plain")[ONLY]
    made = blueprint.assemble(nnx.state(model))
    assert type(model) is type(made)
    np.testing.assert_array_equal(model.first(jnp.ones((1, 2))), made.first(jnp.ones((1, 2))))


def test_what_two_parts_share_stays_shared():
    made = models.shared()
    parts = blueprints("tests.template.models:shared")[ONLY].assemble(saved_pytree(made, "state"))
    assert {"both", "model", "again", "kernel"} == parts.keys()
    assert parts["model"] is parts["again"]
    assert parts["both"].model is parts["model"]
    assert parts["kernel"] is parts["model"].first.kernel


@pytest.mark.parametrize("name", SEQUENCES)
def test_containers_of_modules_are_those_that_the_callable_returns(name):
    made = getattr(models, name)()
    assembled = blueprints(f"tests.template.models:{name}")[ONLY].assemble(saved_pytree(made, "state"))
    assert jax.tree.structure(containers(made)) == jax.tree.structure(containers(assembled))
    same(nnx.state(made), nnx.state(assembled))


def containers(result):
    """The containers of modules, with names of types in place of modules."""
    modules = nnx.Pytree | nnx.Variable
    return jax.tree.map(lambda part: type(part).__name__, result, is_leaf=lambda part: isinstance(part, modules))


def test_items_are_assembled_one_by_one():
    found = blueprints("tests.template.models:trained", layout="items")
    assert {"model", "optimizer", "step"} == found.keys()
    model = models.plain()
    same(nnx.state(model), nnx.state(found["model"].assemble(nnx.state(model))))


def test_arrays_that_nnx_eval_shape_leaves_out_are_there():
    model = models.Odd(nnx.Rngs(0))
    made = blueprints("tests.template.models:Odd")[ONLY].assemble(nnx.state(model))
    same(nnx.state(model), nnx.state(made))
    np.testing.assert_array_equal(np.zeros(3), made.raw)
