"""The scale of an adapter comes from the config beside it, unless the rule gives it."""

from dataclasses import replace

import pytest

from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from tests.planning.trees import checkpoint, codes

CONFIG = {"peft_type": "LORA", "lora_alpha": 10, "r": 4}
BASE, ADAPTER = {"m/0/w": "4,4", "m/1/w": "4,4"}, {"0/a": "2,4", "0/b": "4,2"}
TURN = "{transpose: {of: base}}"


def planned(config, *ops, named=True):
    name = "lora:" if named else "lora/"
    rules = f"""migrate: 1
{"sources: {lora: null}" if named else ""}
rules:
- {{from: {{base: "m/{{p}}/w", a?: "{name}{{p}}/a", b?: "{name}{{p}}/b"}}, to: "m/{{p}}/w", ops: [{", ".join(ops)}]}}
"""
    if named:
        source = checkpoint(BASE, sources={"lora": replace(checkpoint(ADAPTER), adapter=config)})
    else:
        source = replace(checkpoint(BASE | {f"lora/{path}": text for path, text in ADAPTER.items()}), adapter=config)
    return make_plan(source, parse_rules(rules, "rules.yaml"), None)


def scales(plan):
    return [op.scale for task in plan.tasks for step in task.steps for op in step.ops if op.name == "lora"]


@pytest.mark.parametrize(
    ("more", "scale"),
    [
        ({}, "10/4"),
        ({"use_rslora": True}, "10/sqrt(4)"),
        ({"lora_alpha": 2.5}, "2.5/4"),
        ({"alpha_pattern": {}}, "10/4"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_the_scale_is_that_of_the_config(more, scale, named):
    plan = planned(CONFIG | more, "lora", named=named)
    assert plan.applicable, plan.diagnostics
    assert [scale] == scales(plan)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "there is no `adapter_config.json` of the source `lora`"),
        (CONFIG | {"alpha_pattern": {"q": 8}}, "another rank or factor for some layers"),
        (CONFIG | {"rank_pattern": {"q": 8}}, "another rank or factor for some layers"),
        (CONFIG | {"r": 0}, "has no numbers `lora_alpha` and `r`"),
        (CONFIG | {"lora_alpha": "10"}, "has no numbers `lora_alpha` and `r`"),
        (CONFIG | {"r": True}, "has no numbers `lora_alpha` and `r`"),
    ],
)
def test_a_config_without_one_scale_is_refused_once(config, message):
    plan = planned(config, "lora")
    assert ["M635"] == codes(plan)
    assert message in plan.diagnostics[0].message
    given = planned(config, "{lora: {scale: 2}}")
    assert given.applicable, given.diagnostics
    assert [2] == scales(given)


def test_a_scale_that_is_not_that_of_the_config_is_reported():
    plan = planned(CONFIG, "{lora: {scale: 2}}")
    assert plan.applicable
    assert [("M636", "warning")] == [(one.code, one.severity) for one in plan.diagnostics]
    assert [] == codes(planned(CONFIG, "{lora: {scale: 2.5}}"))


def test_a_base_that_is_stored_transposed_has_to_be_turned_also_if_it_is_square():
    turned = CONFIG | {"fan_in_fan_out": True}
    assert ["M635"] == codes(planned(turned, "lora"))
    assert ["M635"] == codes(planned(turned, "lora", TURN))
    plan = planned(turned, TURN, "lora", "transpose")
    assert plan.applicable, plan.diagnostics


def test_an_op_that_no_config_was_given_to_asks_for_the_scale():
    from migrate.ops.base import OpError
    from migrate.ops.lora import Lora
    from migrate.tree import AbstractArray

    with pytest.raises(OpError, match="its scale is not known"):
        Lora(to="float32").infer(*(AbstractArray(shape, "float32") for shape in ((4, 4), (2, 4), (4, 2))))
