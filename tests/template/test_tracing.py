"""Abstract evaluation costs little and leaves Flax and JAX unchanged."""

import sys

import pytest
from flax import nnx
from jax._src.interpreters.partial_eval import DynamicJaxprTracer, JaxprStackFrame

from migrate.template import abstract_template
from tests.template import models
from tests.template.failing import failure

MODELS = "tests.template.models"


def test_a_model_of_a_hundred_gigabytes_costs_nothing():
    tree = abstract_template(f"{MODELS}:Huge").tree
    assert tree.nbytes > 100e9


def surroundings():
    return set(nnx.pytreelib.DATA_REGISTRY), nnx.using_eager_sharding(), DynamicJaxprTracer._origin_msg, list(sys.path)


def test_flax_and_jax_are_left_as_they_were_found():
    before = surroundings()
    abstract_template(f"{MODELS}:Odd")
    failure(f"{MODELS}:raises")
    assert before == surroundings()


def test_random_numbers_are_drawn_in_linear_time():
    """What is switched off for this has to be there: with it, ten times the layers cost a hundred times as much."""
    origins = []
    search = JaxprStackFrame.find_progenitors
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JaxprStackFrame, "find_progenitors", lambda *args: origins.append(args) or search(*args))
        nnx.eval_shape(models.plain)
        searched = len(origins)
        abstract_template(f"{MODELS}:plain")
    assert 0 < searched == len(origins)
