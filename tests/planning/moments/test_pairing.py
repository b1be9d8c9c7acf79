"""Optimizers are joined and divided with their params; copies of the params are paired by their names."""

from tests.planning.moments.networks import adam, net
from tests.planning.trees import codes, moves, planned

ENSEMBLE = {
    "params/critic/kernel": "2,4,6",
    "opt_state/0/mu/critic/kernel": "2,4,6",
    "opt_state/0/nu/critic/kernel": "2,4,6",
    "opt_state/0/count": "int32:",
}
CRITICS = {
    path: text
    for i in "01"
    for path, text in {
        f"critics/{i}/kernel": "4,6",
        f"opts/{i}/opt_state/0/mu/kernel": "4,6",
        f"opts/{i}/opt_state/0/nu/kernel": "4,6",
        f"opts/{i}/opt_state/0/count": "int32:",
    }.items()
}
UNSTACK = '- {from: params/critic/kernel, to: "critics/{i}/kernel", ops: [{unstack: {axis: 0, over: i}}]}\n'
STACK = '- {from: "critics/{i}/kernel", to: params/critic/kernel, ops: [{stack: {axis: 0, over: i}}]}\n'


def test_one_optimizer_becomes_many_when_its_params_unstack():
    plan = planned(UNSTACK, ENSEMBLE, CRITICS)
    assert [] == codes(plan)
    made = moves(plan)
    assert tuple(f"opts/{i}/opt_state/0/mu/kernel" for i in "01") == made[("opt_state/0/mu/critic/kernel",)]
    assert tuple(f"opts/{i}/opt_state/0/count" for i in "01") == made[("opt_state/0/count",)]


def test_many_become_one_and_their_counts_are_a_question():
    plan = planned(STACK, CRITICS, ENSEMBLE)
    assert ["M210"] == codes(plan)
    sources = tuple(f"opts/{i}/opt_state/0/nu/kernel" for i in "01")
    assert ("opt_state/0/nu/critic/kernel",) == moves(plan)[sources]
    rules = '- "opts/0/opt_state/0/count -> opt_state/0/count"\n- drop: "opts/1/opt_state/0/count"\n'
    assert all(f"`{line}`" in plan.diagnostics[0].help for line in rules.splitlines())
    assert [] == codes(planned(STACK + rules, CRITICS, ENSEMBLE))


def test_one_optimizer_of_two_modules_becomes_two():
    source = net("params", "actor") | net("params", "critic") | adam("opt_state", "actor", "critic")
    wanted = net("model", "actor") | net("model", "critic") | adam("opt_a/opt_state", "") | adam("opt_c/opt_state", "")
    wanted = {
        path.replace("critic/bias", "critic/b") if path.startswith("model") else path: t for path, t in wanted.items()
    }
    wanted = {path.replace("bias", "b") if path.startswith("opt_c") else path: t for path, t in wanted.items()}
    rules = '- "params/actor/** -> model/actor/**"\n- "params/critic/kernel -> model/critic/kernel"\n'
    plan = planned(rules + '- "params/critic/bias -> model/critic/b"\n', source, wanted)
    assert [] == codes(plan)
    assert ("opt_c/opt_state/0/mu/b",) == moves(plan)[("opt_state/0/mu/critic/bias",)]
    assert ("opt_a/opt_state/0/count", "opt_c/opt_state/0/count") == moves(plan)[("opt_state/0/count",)]


def test_a_copy_of_the_params_is_paired_by_the_words_of_its_name():
    source = net("params", "d") | net("ema_params", "d") | net("target_params", "d")
    plan = planned('- "params/d/** -> model/fc/**"', source, net("model") | net("target_net") | net("model_ema"))
    assert [] == codes(plan)
    assert ("model_ema/fc/bias",) == moves(plan)[("ema_params/d/bias",)]
    assert ("target_net/fc/bias",) == moves(plan)[("target_params/d/bias",)]


def test_a_copy_of_another_name_is_a_question_that_one_rule_answers():
    source, wanted = net("params", "d") | net("ema_params", "d"), net("model") | net("slow")
    rules = '- "params/d/** -> model/fc/**"\n'
    plan = planned(rules, source, wanted)
    assert ["M210"] == codes(plan)
    answer = '- "ema_params/d/bias -> slow/fc/bias"'
    assert f"`{answer}`" in plan.diagnostics[0].help
    answered = planned(rules + answer, source, wanted)
    assert [] == codes(answered)
    assert ("slow/fc/kernel",) == moves(answered)[("ema_params/d/kernel",)]
