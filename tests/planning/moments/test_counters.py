"""A count starts again if all its moments do; counts of schedules and partly fresh states continue."""

import optax
import pytest

from migrate.report.of_plan import plan_report
from tests.planning.optimizer_trees import state
from tests.planning.trees import codes, moves, planned

SHAPES = {"a/w": (2, 3), "b/w": (2, 3)}
RESET = '- {from: "params/**", to: "model/**", moments: reset}\n'
PARTLY = '- {from: params/a/w, to: model/a/w, moments: reset}\n- "params/b/w -> model/b/w"\n'


def plan_of(tx, rules=RESET):
    source = state(tx, SHAPES)
    return planned(rules, source, state(tx, SHAPES, params="model", opt_state="optimizer/opt_state"))


def created(plan):
    return {"/".join(creation.target) for creation in plan.created if creation.init}


@pytest.mark.parametrize("name", ["adam", "lion", "amsgrad", "adan"])
def test_the_count_of_fresh_moments_is_fresh(name):
    plan = plan_of(getattr(optax, name)(1e-3))
    assert [] == codes(plan)
    counts = [path for path in created(plan) if path.split("/")[3] in ("count", "t")]
    assert ["optimizer/opt_state/0/t" if name == "adan" else "optimizer/opt_state/0/count"] == counts


def test_the_count_of_a_schedule_continues():
    plan = plan_of(optax.adam(optax.linear_schedule(1.0, 0.0, 9)))
    assert [] == codes(plan)
    assert "optimizer/opt_state/0/count" in created(plan)
    assert ("optimizer/opt_state/1/count",) == moves(plan)[("opt_state/1/count",)]


def test_gradients_that_are_no_longer_accumulated_are_counted_from_zero():
    plan = plan_of(optax.MultiSteps(optax.adam(1e-3), 2))
    assert [] == codes(plan)
    assert "optimizer/opt_state/mini_step" in created(plan)
    assert ("optimizer/opt_state/gradient_step",) == moves(plan)[("opt_state/gradient_step",)]


def test_a_count_that_a_rule_moves_continues():
    plan = plan_of(optax.adam(1e-3), RESET + '- "opt_state/0/count -> optimizer/opt_state/0/count"\n')
    assert [] == codes(plan)
    assert "optimizer/opt_state/0/count" not in created(plan)


def test_a_count_that_other_moments_need_continues_and_the_plan_says_so():
    plan = plan_of(optax.adam(1e-3), PARTLY)
    assert [] == codes(plan)
    assert ("optimizer/opt_state/0/count",) == moves(plan)[("opt_state/0/count",)]
    details = [row.detail for row in plan_report(plan, "new").rows if row.subject == "opt_state/0/count"]
    start = "the first updates of fresh moments are up to 3.16 × the learning rate"
    assert [f"count of scale_by_adam, continues: {start}"] == details


def test_the_plan_says_what_every_count_does():
    rows = plan_report(plan_of(optax.adam(optax.linear_schedule(1.0, 0.0, 9))), "new").rows
    assert ["template: int32[], starts again with its moments"] == [
        row.detail for row in rows if row.symbol == "+" and row.subject.endswith("count")
    ]
    assert ["count of scale_by_schedule, continues"] == [row.detail for row in rows if "schedule" in row.detail]


def test_the_count_continues_if_a_param_is_created_beside_params_that_stay():
    source, target = state(optax.adam(1e-3), {"a/w": (2, 3)}), state(optax.adam(1e-3), SHAPES)
    plan = planned('- create: {to: "params/b/**", init: zeros}\n', source, target)
    assert [] == codes(plan)
    assert {"params/b/w", "opt_state/0/mu/b/w", "opt_state/0/nu/b/w"} == created(plan)
    assert ("opt_state/0/count",) == moves(plan)[("opt_state/0/count",)]


def test_the_count_starts_again_if_every_param_is_created_in_its_place():
    tree = state(optax.adam(1e-3), {"a/w": (2, 3)})
    rules = 'unmatched: {source: drop}\nrules:\n- create: {to: "params/**", init: zeros}\n'
    plan = planned(rules, tree, tree)
    assert [] == codes(plan)
    assert "opt_state/0/count" in created(plan)
