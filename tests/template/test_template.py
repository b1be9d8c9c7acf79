"""The template is exactly the tree that Orbax saves of the real model, and Orbax restores with its restore target.

Covers `migrate.template.flatten` as well.
"""

from functools import partial

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from migrate import dtypes
from migrate.formats.canonical import canonical
from migrate.formats.orbax.item import OrbaxItem
from migrate.template import abstract_template, initial_values, restore_target, rng_value
from migrate.tree import AbstractArray, AbstractLeaf, Sharding, format_path, parse_path
from tests.matrix import sampled
from tests.template import models
from tests.template.failing import failure

MODELS = "tests.template.models"
RECIPES = ["plain", "trained", "masked", "shared", "stacked", "jitted", "bridged", "linen_like", "states", "value_only"]
LAYOUTS = ["state", "pure_dict"]
IN_LAYOUTS = [
    (recipe, layout)
    for number, recipe in enumerate([*RECIPES, "Odd"])
    for layout in (LAYOUTS if number % 2 else reversed(LAYOUTS))
]
"""Each recipe in each layout; half of them have each recipe once, and the layouts in turn."""
SEQUENCES = ["listed", "paired", "nested_lists", "named", "numbered", "shared_list"]


def saved_by_hand(made):
    """The pytree that a user saves of the result of really calling the template."""
    if isinstance(made, nnx.Module | nnx.Optimizer):
        return nnx.state(made)
    if isinstance(made, dict):
        return {name: saved_by_hand(part) for name, part in made.items()}
    if type(made) in (list, tuple) and any(isinstance(part, nnx.Module) for part in made):
        return {index: saved_by_hand(part) for index, part in enumerate(made)}
    return made


def pure(tree):
    def strip(node):
        if isinstance(node, nnx.State):
            return nnx.to_pure_dict(node)
        return node.get_value() if isinstance(node, nnx.Variable) else node

    return jax.tree.map(strip, tree, is_leaf=lambda node: isinstance(node, nnx.State | nnx.Variable))


def made(recipe):
    callable_ = getattr(models, recipe)
    result = callable_(nnx.Rngs(0)) if isinstance(callable_, type) else callable_()
    if recipe == "shared":  # Only Flax determines where shared Variables are saved.
        return {name: part for name, part in nnx.state(result).items() if part}
    return saved_by_hand(result)


def save(tree, path):
    checkpointer = ocp.StandardCheckpointer()
    checkpointer.save(path, tree)
    checkpointer.wait_until_finished()
    checkpointer.close()
    return path


def restore(path, target):
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path, target)


def rows(tree):
    return {format_path(path): (leaf.kind, leaf.aval, leaf.container, leaf.box) for path, leaf in tree.leaves.items()}


def shapes(tree):
    return [(leaf.shape, leaf.dtype) if hasattr(leaf, "shape") else type(leaf) for leaf in jax.tree.leaves(tree)]


def same(a, b):
    if isinstance(a, jax.Array) and jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
        return a.dtype == b.dtype and bool((jax.random.key_data(a) == jax.random.key_data(b)).all())
    return np.array_equal(a, b)


@pytest.mark.sample(5)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("recipe", [*RECIPES, "Odd"])
def test_the_tree_is_what_orbax_saves_of_the_real_model(recipe, layout, tmp_path):
    real = made(recipe)
    stored = OrbaxItem(save(real if layout == "state" else pure(real), tmp_path / "saved")).info.tree
    expected, _ = canonical(stored)
    tree = abstract_template(f"{MODELS}:{recipe}", layout=layout).tree
    assert rows(expected) == rows(tree)
    assert expected.structure_hash == tree.structure_hash
    # Orbax records tuples as lists.
    assert expected.containers == dict.fromkeys(tree.containers, "list")


@pytest.mark.parametrize("recipe", SEQUENCES)
def test_containers_of_modules_are_the_dicts_that_nnx_state_makes_of_them(recipe, tmp_path):
    expected, _ = canonical(OrbaxItem(save(nnx.state(getattr(models, recipe)()), tmp_path / "saved")).info.tree)
    tree = abstract_template(f"{MODELS}:{recipe}").tree
    assert rows(expected) == rows(tree)
    assert expected.containers == tree.containers
    restored = restore(tmp_path / "saved", restore_target(f"{MODELS}:{recipe}"))
    assert all(map(same, jax.tree.leaves(nnx.state(getattr(models, recipe)())), jax.tree.leaves(restored)))


@pytest.mark.parametrize("case", sampled(IN_LAYOUTS, 2, "-".join))
def test_orbax_restores_what_it_saved_with_the_restore_target(case, tmp_path):
    recipe, layout = case
    real = made(recipe)
    path = save(real if layout == "state" else pure(real), tmp_path / "saved")
    target = restore_target(f"{MODELS}:{recipe}", layout=layout)
    restored = restore(path, target)
    assert jax.tree.structure(target) == jax.tree.structure(restored)
    expected = real if layout == "state" else pure(real)
    assert all(map(same, jax.tree.leaves(expected), jax.tree.leaves(restored)))


@pytest.mark.parametrize("recipe", ["plain", *SEQUENCES])
def test_the_restore_target_is_the_state_of_nnx_eval_shape(recipe):
    expected = nnx.state(nnx.eval_shape(getattr(models, recipe)))
    target = restore_target(f"{MODELS}:{recipe}")
    assert shapes(expected) == shapes(target)
    assert [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(expected)] == [
        jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(target)
    ]


def test_the_restore_target_of_items_is_one_pytree_per_item(tmp_path):
    target = restore_target(f"{MODELS}:shared", layout="items")
    model = models.plain()
    for name in ("model", "again"):
        restored = restore(save(nnx.state(model), tmp_path / name), target[name])
        assert shapes(nnx.state(model)) == shapes(restored)


def test_keys_have_the_dtype_of_their_implementation():
    leaves = abstract_template(f"{MODELS}:Odd").tree.leaves
    assert AbstractArray((), "key<fry>") == leaves["keys", "dropout", "key"].aval
    assert AbstractArray((), "key<rbg>") == leaves[("ring",)].aval


def test_the_variable_types_are_told():
    variables = abstract_template(f"{MODELS}:plain").variables
    assert "Param" == variables["first", "kernel"]
    assert "BatchStat" == variables["norm", "mean"]
    assert "RngKey" == variables["drop", "rngs", "key"]
    assert "RngCount" == variables["drop", "rngs", "count"]


def test_bare_arrays_have_no_variable_type_and_are_noted():
    template = abstract_template(f"{MODELS}:Odd")
    assert ("raw",) not in template.variables
    (note,) = template.notes
    assert ("M413", "note") == (note.code, note.severity)
    assert ("normed/scales/('kernel',)", "raw", "raw_key", "raws/x") == note.paths


def test_arrays_of_plain_pytrees_are_not_noted():
    assert () == abstract_template(f"{MODELS}:linen_like").notes


@pytest.mark.parametrize("layout", ["state", "pure_dict", "items"])
def test_annotations_become_shardings_without_a_mesh(layout):
    spec, prefix = (f"{MODELS}:Annotated", ()) if layout != "items" else (f"{MODELS}:annotated_parts", ("model",))
    leaves = abstract_template(spec, layout=layout).tree.leaves
    assert Sharding((), (None, ("model",))) == leaves[*prefix, "up", "kernel"].sharding
    assert Sharding((), (("data", "model"),)) == leaves[*prefix, "table"].sharding
    assert leaves[*prefix, "up", "bias"].sharding is None


def test_a_model_that_is_abstract_already_is_a_template_too():
    expected, tree = abstract_template(f"{MODELS}:plain").tree, abstract_template(f"{MODELS}:already_abstract").tree
    assert expected == tree


def test_structs_are_a_template_too():
    assert AbstractArray((2, 3), "bfloat16") == abstract_template(f"{MODELS}:structs").tree.leaves[("a",)].aval


def test_every_leaf_that_no_checkpoint_can_hold_is_named():
    diagnostics = failure(f"{MODELS}:unsupported")
    assert [("act/f",), ("z",)] == [diagnostic.paths for diagnostic in diagnostics]


def test_initial_values_are_the_models_own():
    paths = [("first", "kernel"), ("norm", "var"), ("drop", "rngs", "key"), ("drop", "rngs", "count")]
    values = initial_values(f"{MODELS}:plain", {}, paths)
    model = models.plain()
    np.testing.assert_allclose(model.first.kernel[...], values[paths[0]], rtol=1e-5)
    np.testing.assert_array_equal(np.ones(3), values[paths[1]])
    assert dtypes.to_numpy("key<fry>") == values[paths[2]].dtype
    np.testing.assert_array_equal(jax.random.key_data(model.drop.rngs.key[...]), values[paths[2]]["fry"])
    assert model.drop.rngs.count[...] == values[paths[3]]


def test_initial_values_have_the_shape_and_dtype_of_their_leaves():
    tree = abstract_template(f"{MODELS}:Odd").tree
    wanted = {path: leaf for path, leaf in tree.leaves.items() if leaf.has_data}
    values = initial_values(f"{MODELS}:Odd", {}, wanted)
    assert {path: leaf.aval for path, leaf in wanted.items()} == {
        path: AbstractArray(value.shape, dtypes.from_numpy(value.dtype)) for path, value in values.items()
    }


def test_leaves_that_are_not_asked_for_are_not_computed():
    values = initial_values(f"{MODELS}:Huge", {}, [("small", "bias"), ("small", "kernel")])
    assert [(5,), (3, 5)] == [value.shape for value in values.values()]


def test_initial_values_of_an_unknown_leaf_are_an_error():
    with pytest.raises(KeyError):
        initial_values(f"{MODELS}:plain", {}, [("nope",)])


def key_leaf(shape=(), impl="fry"):
    return AbstractLeaf("array", AbstractArray(shape, f"key<{impl}>"))


def test_rng_keys_depend_on_seed_and_path_alone():
    value = partial(rng_value, key_leaf())
    path, other = ("drop", "rngs", "key"), ("layers", "0", "drop", "rngs", "key")
    assert value(path, 0) == value(path, 0)
    assert value(path, 0) != value(other, 0)
    seeds = [0, 1, -1, 2**32, 2**40, 2**80]
    assert len(seeds) == len({value(path, seed).tobytes() for seed in seeds})


@pytest.mark.parametrize("impl", ["fry", "rbg", "urbg"])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_rng_keys_have_the_leafs_shape_and_are_all_different(shape, impl):
    keys = rng_value(key_leaf(shape, impl), ("rngs", "key"), 0)
    assert (shape, dtypes.to_numpy(f"key<{impl}>")) == (keys.shape, keys.dtype)
    assert keys.size == len({key.tobytes() for key in keys.reshape(-1)})
    jax.random.wrap_key_data(keys[impl], impl=dtypes.KEY_IMPLS[impl])


def test_rng_counts_begin_at_zero():
    count = AbstractLeaf("array", AbstractArray((3,), "uint32"))
    np.testing.assert_array_equal(np.zeros(3, np.uint32), rng_value(count, parse_path("drop/rngs/count"), 5))


@pytest.mark.parametrize(
    ("leaf", "path"),
    [
        (AbstractLeaf("array", AbstractArray((), "uint32")), "step"),
        (AbstractLeaf("array", AbstractArray((), "int32")), "opt_state/0/count"),
        (AbstractLeaf("none"), "rngs/key"),
    ],
)
def test_nothing_else_is_an_rng_leaf(leaf, path):
    with pytest.raises(ValueError, match="neither the key nor the count"):
        rng_value(leaf, parse_path(path), 0)
