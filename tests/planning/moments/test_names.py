"""Optax's names are those that optax's own states lead to."""

import jax.numpy as jnp
import optax
import pytest

from migrate.planning.moments.names import name_of


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (optax.scale_by_adam(), "scale_by_adam"),
        (optax.scale_by_amsgrad(), "scale_by_amsgrad"),
        (optax.scale_by_lion(), "scale_by_lion"),
        (optax.scale_by_rms(), "scale_by_rms"),
        (optax.trace(0.9), "trace"),
        (optax.ema(0.9), "ema"),
        (optax.scale_by_rss(), "scale_by_rss"),
        (optax.scale_by_adadelta(), "scale_by_adadelta"),
        (optax.scale_by_factored_rms(), "scale_by_factored_rms"),
        (optax.scale_by_schedule(lambda step: step), "scale_by_schedule"),
    ],
)
def test_the_fields_of_a_state_lead_to_its_transform(transform, expected):
    assert expected == name_of(transform.init({"w": jnp.zeros(3)})._fields)


def test_unknown_fields_have_no_name_and_the_order_of_fields_is_no_matter():
    assert name_of(["count", "my_field"]) is None
    assert "scale_by_adam" == name_of(["nu", "count", "mu"])
    assert name_of([]) is None
