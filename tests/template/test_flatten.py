"""Pytrees are flattened as Orbax does; whole templates are compared with Orbax in `test_template.py`."""

import jax.numpy as jnp
import optax
from flax import nnx

from migrate.template.flatten import FlattenedPytree, flatten
from migrate.tree import Sharding


def test_the_annotation_of_a_variable_belongs_to_its_whole_value_only():
    with nnx.use_eager_sharding(False):
        array = nnx.Param(jnp.zeros((2, 4)), out_sharding=(None, "model"))
        held = nnx.Param({"inner": jnp.zeros((2, 4))}, out_sharding=(None, "model"))
    leaves = flatten({"array": array, "held": held}, boxed=True).tree.leaves
    assert Sharding((), (None, ("model",))) == leaves[("array",)].sharding
    assert leaves["held", "value", "inner"].sharding is None


def test_a_leaf_knows_the_innermost_variable_around_it():
    param = nnx.Param({"inner": jnp.zeros(2)})
    flat = flatten({"held": param, "bare": jnp.zeros(2)}, boxed=False)
    assert flat.entries["held", "inner"].variable is param
    assert flat.entries[("bare",)].variable is None


def test_numbers_texts_and_empty_containers_are_leaves():
    tree = {"i": 1, "f": 1.0, "b": True, "s": "x", "n": None, "d": {}, "l": [], "t": (), "o": optax.EmptyState()}
    assert {
        "i": "int64 scalar",
        "f": "float64 scalar",
        "b": "bool scalar",
        "s": "string",
        "n": "none",
        "d": "empty dict",
        "l": "empty list",
        "t": "empty tuple",
        "o": "none",
    } == flatten(tree, boxed=True).tree.signature


def test_lists_and_tuples_are_containers_and_named_tuples_are_not():
    tree = flatten({"l": [1], "t": (1,), "s": optax.TraceState(1)}, boxed=True).tree
    assert {("l",): "list", ("t",): "tuple"} == tree.containers
    assert {"l/0", "t/0", "s/trace"} == set(tree.signature)


def test_values_that_no_checkpoint_can_contain_are_described():
    flat = flatten({"f": print, "a": 1}, boxed=True)
    assert {("f",): "a value of type `builtin_function_or_method`"} == flat.unsupported
    assert [("a",)] == list(flat.tree.leaves)


def test_a_root_that_is_a_leaf_is_noticed_also_as_an_item():
    assert ((),) == flatten(3, boxed=True).lone
    joined = FlattenedPytree.joined({"one": flatten({"a": 1}, boxed=True), "two": flatten(3, boxed=True)})
    assert (("two",),) == joined.lone
    assert {"one/a", "two"} == set(joined.tree.signature)
