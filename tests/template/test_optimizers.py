"""The optimizer of a template reveals its optax transforms; its state on disk does not."""

import optax
import pytest
from flax import nnx

from migrate.template import abstract_template
from migrate.template.optimizers import transforms_in
from tests.template.models import Small

TRUST = "scale_by_trust_ratio"
LAMB = optax.lamb(1e-3)


def transforms_of(tx):
    model = Small(nnx.Rngs(0))
    return transforms_in([model, nnx.Optimizer(model, tx, wrt=nnx.Param)])


WRAPPED = {
    "alone": LAMB,
    "in a chain": optax.chain(optax.clip(1.0), LAMB),
    "named": optax.named_chain(("lamb", LAMB)),
    "masked": optax.masked(LAMB, True),
    "by labels": optax.multi_transform({"a": LAMB}, "a"),
    "every second step": optax.MultiSteps(LAMB, 2),
    "as bound methods": optax.MultiSteps(LAMB, 2).gradient_transformation(),
    "if finite": optax.apply_if_finite(LAMB, 3),
    "with extra arguments": optax.with_extra_args_support(LAMB),
    "as lars": optax.lars(1e-3),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_transform_is_found_in_whatever_wraps_it(name):
    assert TRUST in transforms_of(WRAPPED[name])


def test_a_transform_that_is_yet_to_be_made_is_known_by_its_maker():
    assert "lamb" in transforms_of(optax.inject_hyperparams(optax.lamb)(learning_rate=1e-3))


def test_adam_is_made_of_no_transform_that_looks_at_tensors():
    found = transforms_of(optax.adamw(1e-3))
    assert "scale_by_adam" in found
    assert TRUST not in found


def test_a_template_without_an_optimizer_tells_nothing():
    assert transforms_in([Small(nnx.Rngs(0))]) is None
    assert abstract_template("tests.template.models:linen_like").transforms is None


def test_templates_carry_it():
    assert "scale_by_adam" in abstract_template("tests.template.models:trained").transforms
    assert "masked" in abstract_template("tests.template.models:masked").transforms
