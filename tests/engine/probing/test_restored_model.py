"""The new model is what the template's callable returns, with the values of the checkpoint."""

import numpy as np
import pytest
from flax import nnx

import migrate
from migrate.engine.probing.restored_model import RestoredModel
from migrate.errors import VerifyError
from tests.engine.sources import save
from tests.template import models as template_models

SPEC = "tests.template.models:Small"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A checkpoint of a model, the plan that wrote it, and the model."""
    folder = tmp_path_factory.mktemp("restored")
    model = template_models.Small(nnx.Rngs(3))
    save(folder / "old", nnx.state(model))
    with migrate.open_checkpoint(folder / "old") as checkpoint:
        plan = migrate.plan(checkpoint, "portable", SPEC)
        migrate.apply(plan, checkpoint, folder / "new")
    return folder / "new", plan, model


def test_it_has_the_class_and_the_values_of_the_model(written):
    path, plan, model = written
    restored = RestoredModel(plan, path).model()
    assert isinstance(restored, template_models.Small)
    np.testing.assert_array_equal(model.linear.kernel[...], restored.linear.kernel[...])
    x = np.ones((4, 2), np.float32)
    np.testing.assert_array_equal(model.linear(x), restored.linear(x))


def test_a_model_of_nan_has_nan_in_place_of_every_float_and_of_nothing_else(written):
    path, plan, model = written
    restored = RestoredModel(plan, path)
    assert restored.has_floats
    spoiled = restored.model_of_nan()
    assert np.isnan(spoiled.linear.kernel[...]).all()
    assert np.isnan(spoiled.linear.bias[...]).all()
    assert model.drop.rngs.count[...] == spoiled.drop.rngs.count[...]
    np.testing.assert_array_equal(model.linear.kernel[...], restored.model().linear.kernel[...])


def test_a_checkpoint_of_another_structure_is_named(written, tmp_path):
    _, plan, _ = written
    save(tmp_path / "other", {"w": np.ones(2, np.float32)})
    with pytest.raises(VerifyError, match="Orbax cannot restore") as failure:
        RestoredModel(plan, tmp_path / "other")
    assert ["M505"] == [d.code for d in failure.value.diagnostics]
