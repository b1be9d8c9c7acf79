"""Custom metadata: what JSON holds unchanged, with the step in the record."""

import enum
import json
import math

import numpy as np
import pytest

from migrate.errors import UsageError
from migrate.metadata import Metadata
from migrate.training.custom_metadata import custom_metadata, refuse_other_than_json


class Phase(enum.IntEnum):
    WARM = 1


def test_the_record_gets_the_step_and_the_kind_of_checkpointer():
    found = custom_metadata({"migrate": {"model": "lm", "step": 1}, "mine": 1}, 9, object())["migrate"]
    assert (9, "object", "lm") == (found["step"], found["checkpointer"], found["model"])
    assert "mine" == custom_metadata({"migrate": {"checkpointer": "mine"}}, 9, object())["migrate"]["checkpointer"]
    assert 9 == custom_metadata(Metadata(model="lm"), 9, object())["migrate"]["step"]
    assert {"mine": 1} == custom_metadata({"mine": 1}, 9, object())


def test_the_metadata_of_the_caller_are_not_changed():
    given = {"migrate": {"step": 1}}
    custom_metadata(given, 2, object())
    assert {"migrate": {"step": 1}} == given


@pytest.mark.parametrize(
    "value", [None, True, 1, 0.5, "a", [1, [2]], {"a": {"b": []}}, Phase.WARM, np.float64(2), (1,)]
)
def test_what_json_holds_is_accepted(value):
    refuse_other_than_json({"a": value}, "it")
    json.dumps(value)


def test_not_a_number_is_accepted_since_the_step_would_be_lost_otherwise():
    refuse_other_than_json({"loss": math.nan}, "it")


@pytest.mark.parametrize("value", [np.int64(1), np.ones(2), b"a", {1}, object(), {1: 2}, 1j])
def test_anything_else_is_refused(value):
    with pytest.raises(UsageError, match="at `a`"):
        refuse_other_than_json({"a": value}, "it")


def test_a_circle_is_refused():
    circle = {}
    circle["again"] = circle
    with pytest.raises(UsageError, match="in a circle"):
        refuse_other_than_json(circle, "it")
