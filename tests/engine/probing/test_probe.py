"""Which leaves a probe that passes has proved."""

import pytest

from migrate.engine.probing.probe import seen_by_probe
from migrate.template import abstract_template
from migrate.tree import format_path


def seen(name, *names):
    template = abstract_template(f"tests.template.models:{name}")
    return {format_path(path) for path in seen_by_probe(template, names)}


def test_it_proves_the_models_variables_and_neither_the_optimizers_nor_random_streams():
    found = seen("trained")
    assert {"model/first/kernel", "model/norm/mean", "model/layers/11/kernel"} <= found
    assert {path for path in found if not path.startswith("model/") or "rngs" in path} == set()


@pytest.mark.parametrize("name", ["step", "optimizer/opt_state/0/count", "model/drop/rngs/count"])
def test_a_pair_that_is_named_by_a_key_path_proves_that_leaf(name):
    assert {name} == seen("trained", name) - seen("trained")


def test_it_proves_arrays_that_a_module_holds_without_a_variable():
    assert {"raw", "raws/x"} <= seen("Odd")


def test_of_a_plain_pytree_it_proves_all_but_integers_that_count():
    found = seen("linen_like")
    assert {"params/Dense_0/kernel", "params/Dense_0/bias", "rate"} <= found
    assert found.isdisjoint({"step", "opt_state/0/count", "none"})
