"""The model that a plan leads to, in memory, is the one that Orbax restores from what `apply` writes.

It covers `probing.assembled_model`.
"""

import jax
import numpy as np
import pytest
from flax import nnx

import migrate
from migrate.engine.probing.computed_model import ComputedModels
from migrate.engine.probing.restored_model import RestoredModel
from tests.engine.sources import save
from tests.template import models as template_models


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("computed")
    model = template_models.Small(nnx.Rngs(3))
    save(folder / "old", nnx.state(model))
    return folder / "old"


def planned(checkpoint, layout, tmp_path):
    target = f'{{template: "tests.template.models:Small", layout: {layout}}}'
    (tmp_path / "rules.yaml").write_text(f"migrate: 1\ntarget: {target}\nrules: []\n")
    return migrate.plan(checkpoint, tmp_path / "rules.yaml", allow_code=True)


@pytest.mark.parametrize("layout", ["state", "pure_dict"])
def test_it_is_the_model_that_orbax_restores(source, tmp_path, layout):
    with migrate.open_checkpoint(source) as checkpoint:
        plan = planned(checkpoint, layout, tmp_path)
        migrate.apply(plan, checkpoint, tmp_path / "new")
        computed = ComputedModels(plan, checkpoint.reader).computed(plan)
    expected, actual = (nnx.state(made.model()) for made in (RestoredModel(plan, tmp_path / "new"), computed))
    assert jax.tree.structure(expected) == jax.tree.structure(actual)
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(actual), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(_words(one), _words(other))


def _words(array):
    return jax.random.key_data(array) if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key) else array


def test_erased_leaves_are_nan_and_no_others(source, tmp_path):
    with migrate.open_checkpoint(source) as checkpoint:
        plan = planned(checkpoint, "state", tmp_path)
        models = ComputedModels(plan, checkpoint.reader)
        model = models.computed(plan, {("linear", "bias")}).model()
        assert (True, False) == (models.has_floats(("linear", "bias")), models.has_floats(("drop", "rngs", "count")))
        assert not np.isnan(models.computed(plan).model().linear.bias[...]).any()
    assert np.isnan(model.linear.bias[...]).all()
    assert not np.isnan(model.linear.kernel[...]).any()


def test_only_tasks_that_differ_are_computed_again(source, tmp_path, monkeypatch):
    read = []
    with migrate.open_checkpoint(source) as checkpoint:
        plan = planned(checkpoint, "state", tmp_path)
        models = ComputedModels(plan, checkpoint.reader)
        models.computed(plan)
        original = checkpoint.reader.read
        monkeypatch.setattr(checkpoint.reader, "read", lambda path: read.append(path) or original(path))
        models.computed(plan)
    assert [] == read
