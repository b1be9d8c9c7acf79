"""The role of each leaf, and its place in the model, whatever it was saved in."""

import pytest

from migrate.planning.suggest.layout import is_transient, lay_out
from tests.planning.suggest.trees import tree


def only(path, shape=(4,), variables=None):
    (leaf,) = lay_out(tree({path: shape}), variables).leaves
    return leaf


@pytest.mark.parametrize(
    ("path", "shape", "role"),
    [
        ("params/dense/kernel", (4,), "model"),
        ("dense/kernel", (4,), "model"),
        ("opt_state/0/mu/dense/kernel", (4,), "optimizer"),
        ("ema_params/dense/kernel", (4,), "optimizer"),
        ("step", "int32[]", "step"),
        ("step", (3,), "model"),
        ("drop/rngs/key", "key<fry>[]", "rng"),
        ("drop/rngs/dropout/count", "uint32[]", "rng"),
        ("metrics/loss", (1,), "metrics"),
    ],
)
def test_a_key_path_shows_the_role(path, shape, role):
    assert role == only(path, shape).role


@pytest.mark.parametrize(
    ("variable", "role"), [("OptState", "optimizer"), ("OptArray", "optimizer"), ("RngKey", "rng"), ("Param", "model")]
)
def test_the_type_of_the_variable_decides_where_a_template_knows_it(variable, role):
    assert role == only("a/b", (4,), {("a", "b"): variable}).role


@pytest.mark.parametrize(
    ("path", "place", "kind"),
    [
        ("params/dense/kernel", "dense/kernel", "Param"),
        ("state/params/dense/kernel", "state/dense/kernel", "Param"),
        ("params/batch_stats/norm/mean", "norm/mean", "BatchStat"),
        ("dense/kernel", "dense/kernel", None),
    ],
)
def test_the_place_has_no_names_of_parts_and_collections(path, place, kind):
    leaf = only(path)
    assert (place, kind) == ("/".join(leaf.place), leaf.kind)


def test_two_collections_of_one_module_may_have_arrays_of_one_name():
    found = lay_out(tree({"params/a/w": (4,), "batch_stats/a/w": (4,)})).of("model")
    assert {"a/w": "BatchStat", "a/w of params": "Param"} == {"/".join(leaf.place): leaf.kind for leaf in found}


def test_caches_are_transient():
    assert is_transient(only("cache/attn/key"))
    assert not is_transient(only("params/attn/key"))
