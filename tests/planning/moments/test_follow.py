"""Moments follow their params by the same rule within their own slot; also covers `slot_move`."""

from tests.planning.trees import codes, moves, planned

SOURCE = {
    "params/dense/kernel": "4,6",
    "params/dense/bias": "6",
    "opt_state/0/mu/dense/kernel": "4,6",
    "opt_state/0/mu/dense/bias": "6",
    "opt_state/0/nu/dense/kernel": "4,6",
    "opt_state/0/nu/dense/bias": "6",
    "opt_state/0/count": "int32:",
    "opt_state/1": "none",
}
TARGET = {
    "model/fc/kernel": "6,4",
    "model/fc/bias": "6",
    "optimizer/opt_state/0/mu/fc/kernel": "6,4",
    "optimizer/opt_state/0/mu/fc/bias": "6",
    "optimizer/opt_state/0/nu/fc/kernel": "6,4",
    "optimizer/opt_state/0/nu/fc/bias": "6",
    "optimizer/opt_state/0/count": "int32:",
}
RULES = """
- {from: params/dense/kernel, to: model/fc/kernel, ops: [transpose]}
- "params/dense/bias -> model/fc/bias"
- "opt_state/0/count -> optimizer/opt_state/0/count"
"""


def test_moments_get_their_params_rule_in_the_slot_of_the_same_name():
    plan = planned(RULES, SOURCE, TARGET)
    assert [] == codes(plan)
    assert ("optimizer/opt_state/0/mu/fc/kernel",) == moves(plan)[("opt_state/0/mu/dense/kernel",)]
    assert ("optimizer/opt_state/0/nu/fc/bias",) == moves(plan)[("opt_state/0/nu/dense/bias",)]
    assert ["transpose"] == [s.op.name for t in plan.tasks if t.sources[0][2:3] == ("mu",) for s in t.steps]


def test_a_moment_names_the_param_that_it_follows():
    plan = planned(RULES, SOURCE, TARGET)
    (task,) = [t for t in plan.tasks if t.sources == (("opt_state", "0", "mu", "dense", "bias"),)]
    assert ("params", "dense", "bias") == task.follows


def test_a_slot_whose_index_in_the_chain_shifted_is_found_by_its_name():
    shifted = {path.replace("opt_state/0", "opt_state/1"): text for path, text in TARGET.items()}
    rules = RULES.replace("optimizer/opt_state/0/count", "optimizer/opt_state/1/count")
    plan = planned(rules, SOURCE, shifted)
    assert [] == codes(plan)
    assert ("optimizer/opt_state/1/mu/fc/kernel",) == moves(plan)[("opt_state/0/mu/dense/kernel",)]


def test_a_dropped_param_takes_its_moments_along():
    target = {path: text for path, text in TARGET.items() if "bias" not in path}
    plan = planned(RULES.replace('"params/dense/bias -> model/fc/bias"', "drop: params/dense/bias"), SOURCE, target)
    assert [] == codes(plan)
    assert ("opt_state", "0", "nu", "dense", "bias") in [drop.source for drop in plan.dropped]


def test_scale_has_no_exact_answer_and_is_refused_with_the_reason():
    plan = planned(RULES.replace("[transpose]", "[transpose, {scale: 2.0}]"), SOURCE, TARGET)
    assert ["M210", "M210"] == codes(plan)
    assert "`scale`" in plan.diagnostics[0].message


def test_reset_starts_moments_anew():
    rules = RULES.replace("ops: [transpose]", "ops: [transpose, {scale: 2.0}], moments: reset")
    plan = planned(rules, SOURCE, TARGET)
    assert [] == codes(plan)
    fresh = {"/".join(c.target): c.init.kind for c in plan.created}
    assert {f"optimizer/opt_state/0/{m}/fc/kernel": "template" for m in ("mu", "nu")} == fresh


def test_factored_moments_cannot_follow_ops():
    source = SOURCE | {"opt_state/0/nu/dense/kernel": "4"}
    plan = planned(RULES, source, TARGET)
    assert "M210" in codes(plan)


def test_a_leaf_that_a_rule_names_does_not_follow():
    rules = RULES + '- "opt_state/0/mu/dense/bias -> optimizer/opt_state/0/mu/fc/bias"\n'
    plan = planned(rules, SOURCE, TARGET)
    assert [] == codes(plan)
    (task,) = [t for t in plan.tasks if t.sources == (("opt_state", "0", "mu", "dense", "bias"),)]
    assert task.follows is None


def test_follow_off_leaves_moments_to_the_rules():
    plan = planned("follow: off\nrules:" + RULES, SOURCE, TARGET)
    assert {"M204", "M205"} == set(codes(plan))


def test_without_a_template_moments_follow_inside_their_slot():
    plan = planned('- "params/dense/{n} -> params/fc/{n}"', SOURCE)
    assert ("opt_state/0/mu/fc/kernel",) == moves(plan)[("opt_state/0/mu/dense/kernel",)]


def test_layers_of_moments_are_stacked_like_their_params():
    source = {f"params/l_{i}/w": "2" for i in range(3)} | {f"opt_state/0/mu/l_{i}/w": "2" for i in range(3)}
    target = {"model/w": "3,2", "opt/0/mu/w": "3,2"}
    plan = planned('- {from: "params/l_{i}/w", to: model/w, ops: [{stack: {axis: 0, over: i}}]}', source, target)
    assert [] == codes(plan)
    assert ("opt/0/mu/w",) == moves(plan)[tuple(f"opt_state/0/mu/l_{i}/w" for i in range(3))]


def test_a_created_param_gets_the_moments_of_a_new_optimizer():
    target = TARGET | {"model/head": "2", "optimizer/opt_state/0/mu/head": "2", "optimizer/opt_state/0/nu/head": "2"}
    plan = planned(RULES + "- create: {to: model/head, init: zeros}\n", SOURCE, target)
    assert [] == codes(plan)
    assert {
        "model/head": "zeros",
        "optimizer/opt_state/0/mu/head": "template",
        "optimizer/opt_state/0/nu/head": "template",
    } == {"/".join(c.target): c.init.kind for c in plan.created}


def test_a_template_without_an_optimizer_leaves_moments_unmatched():
    target = {path: text for path, text in TARGET.items() if path.startswith("model")}
    rules = "unmatched: {source: drop}\nrules:\n" + "\n".join(RULES.strip().splitlines()[:2])
    assert planned(rules, SOURCE, target).applicable


ELSEWHERE = '- "params/** -> model/**"\n'


def test_moments_that_a_rule_drops_by_name_need_no_place():
    plan = planned(ELSEWHERE + '- drop: "opt_state/**"\n', SOURCE)
    assert [] == codes(plan)
    assert {("params/dense/kernel",), ("params/dense/bias",)} == {*moves(plan)}
    assert {path for path in SOURCE if path.startswith("opt_state")} == {"/".join(d.source) for d in plan.dropped}


def test_moments_that_a_rule_moves_by_name_need_no_place():
    plan = planned(ELSEWHERE + '- "opt_state/0/** -> optimizer/0/**"\n', SOURCE)
    assert [] == codes(plan)
    assert ("optimizer/0/mu/dense/bias",) == moves(plan)[("opt_state/0/mu/dense/bias",)]


def test_of_a_slot_that_is_dropped_in_part_the_rest_needs_a_place():
    plan = planned(ELSEWHERE + '- drop: ["opt_state/0/nu/**", "opt_state/0/mu/dense/kernel"]\n', SOURCE)
    assert ["M210"] == codes(plan)
    (finding,) = plan.diagnostics
    assert ("opt_state/0/mu/dense/bias",) == tuple(finding.paths)


def test_moments_of_dropped_params_are_dropped_with_them_wherever_the_others_go():
    rules = """
- "params/dense/kernel -> model/dense/kernel"
- drop: params/dense/bias
- drop: "opt_state/0/*/dense/kernel"
"""
    plan = planned(rules, SOURCE)
    assert [] == codes(plan)
    assert 5 == len(plan.dropped)


def test_leftovers_are_of_a_template_and_without_one_moments_stay_unclear():
    plan = planned("unmatched: {source: drop}\nrules:\n" + ELSEWHERE, SOURCE)
    assert ["M210", "M210"] == codes(plan)
    assert () == tuple(drop for drop in plan.dropped if drop.source[-1] == "kernel")
