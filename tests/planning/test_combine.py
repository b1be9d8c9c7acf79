"""Unlike leaves in one task: which are combined, what may be absent, and plans of such rules."""

import pytest

from migrate.planning.model import Plan
from migrate.planning.plan_file.write import plan_text
from tests.planning.plan_file.plans import again
from tests.planning.trees import codes, moves, planned

WEIGHTS = {"m/0/w": "int8:4,6", "m/0/s": "4,1", "m/1/w": "int8:4,6", "m/1/s": "4,1"}
RULE = '- {from: {value: "m/{i}/w", scale: "m/{i}/s"}, to: "x/{i}", ops: [dequantize]}'
LORA = '- {from: {base: "m/{i}/w", a?: "m/{i}/a", b?: "m/{i}/b"}, to: "x/{i}", ops: [{lora: 2}]}'
ADAPTED = {"m/0/w": "4,6", "m/1/w": "4,6", "m/1/a": "2,6", "m/1/b": "4,2"}


def results(plan: Plan):
    assert plan.applicable, plan.diagnostics
    return {"/".join(task.targets[0]): str(task.out_avals[0]) for task in plan.tasks}


def calls(plan: Plan):
    return [[(op.name, group) for op, group in step.calls] for task in plan.tasks for step in task.steps]


def test_leaves_with_equal_captures_are_combined():
    plan = planned(RULE, WEIGHTS)
    assert {("m/0/w", "m/0/s"): ("x/0",), ("m/1/w", "m/1/s"): ("x/1",)} == moves(plan)
    assert {"x/0": "float32[4,6]", "x/1": "float32[4,6]"} == results(plan)
    assert {"none"} == {task.proved for task in plan.tasks}
    assert {False} == {task.exact for task in plan.tasks}


def test_each_combination_of_captures_is_one_call_of_a_stacked_rule():
    rule = '- {from: {scale: "m/{i}/s", value: "m/{i}/w"}, to: x, ops: [dequantize, {stack: {axis: 0, over: i}}]}'
    plan = planned(rule, WEIGHTS)
    assert {"x": "float32[2,4,6]"} == results(plan)
    ((first, second), _) = calls(plan)
    sources = ["/".join(path) for path in plan.tasks[0].sources]
    assert [["m/0/w", "m/0/s"], ["m/1/w", "m/1/s"]] == [[sources[i] for i in group] for _, group in (first, second)]


def test_arrays_of_different_names_are_stacked_apart():
    rule = '- {from: {value: "m/{i}/w", scale: "m/{i}/s"}, to: x, ops: [{stack: {axis: 0}}, dequantize]}'
    plan = planned(rule, WEIGHTS)
    assert [[("stack", (0, 1)), ("stack", (2, 3))], [("dequantize", (0, 1))]] == calls(plan)
    assert {"x": "float32[2,4,6]"} == results(plan)


def test_an_op_of_one_array_applies_to_all_or_to_one_name():
    rule = '- {{from: {{value: "m/0/w", scale: "m/0/s"}}, to: x, ops: [{}, dequantize]}}\n- drop: "m/1/*"'
    (step, _) = calls(planned(rule.format("transpose"), WEIGHTS))
    assert [("transpose", (0,)), ("transpose", (1,))] == step
    source = {**WEIGHTS, "m/0/s": "1,4"}
    (step, _) = calls(planned(rule.format("{transpose: {of: scale}}"), source))
    assert [("keep", (0,)), ("transpose", (1,))] == step


def test_a_base_without_an_adapter_passes():
    plan = planned(LORA, ADAPTED)
    assert {("m/0/w",): ("x/0",), ("m/1/w", "m/1/a", "m/1/b"): ("x/1",)} == moves(plan)
    by_target = {"/".join(task.targets[0]): task for task in plan.tasks}
    assert ((), True) == (by_target["x/0"].steps, by_target["x/0"].exact)
    stacked = planned(
        LORA.replace("x/{i}", "x").replace("{lora: 2}", "{lora: 2}, {stack: {axis: 0, over: i}}"), ADAPTED
    )
    assert [[("keep", (0,)), ("lora", (1, 2, 3))], [("stack", (0, 1))]] == calls(stacked)
    assert "lora" == stacked.tasks[0].steps[0].op.name


def test_no_adapter_at_all_is_no_error():
    assert {("m/0/w",): ("x/0",)} == moves(planned(LORA, {"m/0/w": "4,6"}))


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ("m/1/b", "`lora` has no `b` for `m/1/w`, `m/1/a`: `m/1/b` is not in the source"),
        ("m/1/w", "`lora` has no `base` for `m/1/a`, `m/1/b`: `m/1/w` is not in the source"),
    ],
)
def test_half_an_adapter_is_refused(absent, message):
    plan = planned(LORA, {path: text for path, text in ADAPTED.items() if path != absent})
    assert [("M220", message)] == [(one.code, one.message) for one in plan.diagnostics if one.code == "M220"]


def test_an_absent_scale_is_refused_with_the_name_that_would_allow_it():
    plan = planned(RULE, {path: text for path, text in WEIGHTS.items() if path != "m/1/s"})
    (found,) = plan.diagnostics
    assert ("M220", "`dequantize` has no `scale` for `m/1/w`: `m/1/s` is not in the source") == (
        found.code,
        found.message,
    )
    assert "`scale?`" in found.help
    assert planned(RULE.replace("scale:", "scale?:"), {**WEIGHTS, "m/2/w": "4,6"}).applicable


def test_two_leaves_for_one_name_are_refused():
    rule = '- {from: {value: "m/0/w", scale: "m/*/s"}, to: x, ops: [dequantize]}'
    plan = planned(rule, {path: text for path, text in WEIGHTS.items() if path != "m/1/w"})
    assert ["M220"] == codes(plan)
    assert "gets 2 arrays for `scale`: `m/0/s`, `m/1/s`" in plan.diagnostics[0].message


def test_shapes_that_do_not_fit_are_refused_with_both():
    plan = planned(RULE, {**WEIGHTS, "m/0/s": "5,1"})
    (found,) = plan.diagnostics
    assert ("M303", True) == (found.code, "int8[4,6] and float32[5,1]" in found.message)


def test_the_template_decides_the_dtype_of_the_result():
    rule = RULE.replace("[dequantize]", "[{dequantize: template}]")
    plan = planned(rule, WEIGHTS, {"x/0": "bfloat16:4,6", "x/1": "float16:4,6"})
    assert {"x/0": "bfloat16[4,6]", "x/1": "float16[4,6]"} == results(plan)


def test_moments_of_merged_params_are_refused_and_may_be_reset():
    def trained(leaves):
        moments = {f"opt_state/0/{slot}/{path}": text for slot in ("mu", "nu") for path, text in leaves.items()}
        return {**{f"params/{path}": text for path, text in leaves.items()}, **moments, "opt_state/0/count": "int32:"}

    rule = LORA.replace('"m/', '"params/m/').replace('"x/', '"params/x/')
    target = trained({"x/0": "4,6", "x/1": "4,6"})
    plan = planned(rule, trained(ADAPTED), target)
    assert any("`lora` has no exact equivalent for moments" in one.message for one in plan.diagnostics)
    reset = planned(rule.replace("ops:", "moments: reset, ops:"), trained(ADAPTED), target)
    assert reset.applicable, reset.diagnostics


TURNED = LORA.replace("{lora: 2}", "{transpose: {of: a}}, {transpose: {of: a}}, {lora: 2}")


@pytest.mark.parametrize("rule", [RULE, LORA, TURNED])
def test_a_plan_file_reads_as_it_was_written(rule):
    plan = planned(rule, WEIGHTS if rule is RULE else ADAPTED)
    assert [task.steps for task in plan.tasks] == [task.steps for task in again(plan).tasks]
    assert (plan.digest, plan_text(plan)) == (again(plan).digest, plan_text(again(plan)))
