"""A rule that names a leaf of the state pairs two states, unless their params do not correspond."""

import re

from tests.planning.moments.networks import adam, net
from tests.planning.moments.test_ownership import RULES, target, twins
from tests.planning.trees import codes, moves, planned

WANTED = target(["optimizers/g_y2x", "optimizers/g_x2y"], "models/")


def test_a_pairing_across_models_is_refused_with_the_right_place():
    crossed = '- "ab/opt_state/0/mu/d/bias -> optimizers/g_x2y/opt_state/0/mu/fc/bias"\n'
    plan = planned(RULES.format("models/") + crossed, twins(), WANTED)
    assert ["M210"] == codes(plan)
    (finding,) = plan.diagnostics
    assert "`ab/opt_state/0/mu/d/bias` belongs to `models/g_y2x/fc/bias`" in finding.message
    (rule,) = re.findall(r"`(- .*?)`", finding.help)
    right = planned(RULES.format("models/") + rule, twins(), WANTED)
    assert [] == codes(right)
    assert [] == codes(planned(RULES.format("models/"), twins(), WANTED))


def test_a_count_that_a_rule_moves_to_the_optimizer_of_another_model_is_refused_too():
    crossed = '- "ab/opt_state/0/count -> optimizers/g_x2y/opt_state/0/count"\n'
    assert ["M210"] == codes(planned(RULES.format("models/") + crossed, twins(), WANTED))


def test_params_below_params_with_an_optimizer_of_the_inner_ones_follow():
    source = net("params/params", "d") | adam("opt_state", "d")
    plan = planned('- "params/params/d/** -> model/fc/**"', source, net("model") | adam("optimizer/opt_state", "fc"))
    assert [] == codes(plan)
    assert ("optimizer/opt_state/0/mu/fc/bias",) == moves(plan)[("opt_state/0/mu/d/bias",)]


def test_moments_that_flax_optim_kept_below_each_param_follow():
    node = "optimizer/state/param_states/params/d"
    source = net("optimizer/target/params", "d") | {"optimizer/state/step": "int32:"}
    source |= {f"{node}/{p}/{m}": s for p, s in (("kernel", "4,6"), ("bias", "6")) for m in ("grad_ema", "grad_sq_ema")}
    wanted = net("model") | adam("optimizer/opt_state", "fc")
    rules = (
        "- {from: optimizer/target/params/d/kernel, to: model/fc/kernel, ops: [{roll: {axis: 0, shift: 1}}]}\n"
        '- "optimizer/target/params/d/bias -> model/fc/bias"'
    )
    plan = planned(rules, source, wanted)
    assert [] == codes(plan)
    assert ("optimizer/opt_state/0/mu/fc/kernel",) == moves(plan)[(f"{node}/kernel/grad_ema",)]
    assert ("optimizer/opt_state/0/nu/fc/bias",) == moves(plan)[(f"{node}/bias/grad_sq_ema",)]
    assert ("optimizer/opt_state/0/count",) == moves(plan)[("optimizer/state/step",)]
    assert 3 == sum(step.op.name == "roll" for task in plan.tasks for step in task.steps)
