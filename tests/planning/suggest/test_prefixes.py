"""A prefix that all key paths lose or gain is one rule, whatever else changes beside it."""

import pytest

from tests.planning.suggest.laws import faults
from tests.planning.suggest.trees import moves, rules_of, suggested

SHAPES = {
    "embed/embedding": (11, 4),
    "body/up/kernel": (4, 8),
    "body/up/bias": (8,),
    "body/down/kernel": (8, 4),
    "norm/scale": (4,),
    "head/kernel": (4, 11),
}
OPTIMIZER = {f"optimizer/opt_state/0/{slot}/{path}": SHAPES[path] for path in SHAPES for slot in ("mu", "nu")}
STATE = {**OPTIMIZER, "optimizer/opt_state/0/count": "int32[]", "optimizer/step": "uint32[]"}
BOXED = {f"model/{path}": shape for path, shape in SHAPES.items()}


def renamed(names):
    return {names.get(path, path): shape for path, shape in SHAPES.items()}


RENAMED = [{}, {"head/kernel": "lm_head/kernel"}, {"body/up/kernel": "body/fc/kernel", "body/up/bias": "body/fc/bias"}]


@pytest.mark.parametrize("names", RENAMED)
def test_a_prefix_that_is_gone_with_the_optimizer_is_one_rule_also_beside_a_renamed_layer(names):
    suggestion = suggested(BOXED | STATE, renamed(names))
    rules = rules_of(suggestion)
    assert "model/** -> **" in rules[0] or 'from: "model/**", to: "**"' in rules[0]
    assert 2 + bool(names) == suggestion.rules
    assert {f"model/{path}": names.get(path, path) for path in SHAPES} == moves(suggestion)
    assert [] == list(faults(suggestion))


@pytest.mark.parametrize("names", RENAMED)
def test_a_prefix_that_is_new_is_one_rule_too(names):
    suggestion = suggested(renamed(names), BOXED | STATE)
    assert 2 + bool(names) == suggestion.rules
    assert {names.get(path, path): f"model/{path}" for path in SHAPES} == moves(suggestion)
    assert [] == list(faults(suggestion))


def test_leaves_without_a_place_are_exceptions():
    suggestion = suggested({**BOXED, "model/old/table": (7, 3)}, SHAPES)
    assert '- {from: "model/**", to: "**", except: ["model/old/table"]}' in rules_of(suggestion)
    assert [] == list(faults(suggestion))


def test_as_many_exceptions_as_modules_are_no_single_rule():
    names = {path: f"other_{path}" for path in ("head/kernel", "norm/scale", "embed/embedding")}
    suggestion = suggested(BOXED | STATE, renamed(names))
    assert "except" not in suggestion.text
    assert suggestion.plan.applicable
