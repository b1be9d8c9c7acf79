"""Rules with `copy: true` take leaves that other rules take too; the tasks of both are one task."""

import numpy as np
import optax
import pytest

from tests.planning.invert.cases import carried_out, values_for
from tests.planning.optimizer_trees import state
from tests.planning.trees import codes, moves, planned

HEAD = "- {from: embed/w, to: head/kernel, ops: [{transpose: {}}], copy: true}"


def made(plan):
    assert plan.applicable, [d.message for d in plan.diagnostics]
    values = values_for(plan.source.tree)
    return values, carried_out(plan, values)


def test_a_leaf_that_is_kept_is_copied_through_ops():
    plan = planned(HEAD, {"embed/w": "9,4"}, {"embed/w": "9,4", "head/kernel": "4,9"})
    values, results = made(plan)
    assert {("embed/w",): ("embed/w", "head/kernel")} == moves(plan)
    assert np.array_equal(values[("embed", "w")].T, results[("head", "kernel")])
    assert np.array_equal(values[("embed", "w")], results[("embed", "w")])


def test_several_rules_with_ops_of_their_own_share_leaves():
    rules = f'{HEAD}\n- {{from: "embed/w", to: "rows/{{i}}", ops: [{{unstack: {{axis: 0, over: i}}}}]}}\n' + (
        '- {from: ["embed/w", other], to: both, ops: [{concat: 0}], copy: true}'
    )
    plan = planned(rules, {"embed/w": "2,4", "other": "1,4"})
    values, results = made(plan)
    assert 1 == len(plan.tasks)
    embed, other = values[("embed", "w")], values[("other",)]
    assert np.array_equal(embed.T, results[("head", "kernel")])
    assert np.array_equal(embed[1], results[("rows", "1")])
    assert np.array_equal(np.concatenate([embed, other]), results[("both",)])
    assert np.array_equal(other, results[("other",)])


def test_only_a_rule_that_says_so_shares_leaves():
    rules = '- "embed/w -> a"\n- "embed/w -> b"'
    assert "M202" in codes(planned(rules, {"embed/w": "2"}))


def test_a_leaf_that_is_copied_still_needs_a_place():
    plan = planned(HEAD, {"embed/w": "9,4"}, {"head/kernel": "4,9"})
    assert [("embed", "w")] == list(plan.unexpected)


@pytest.mark.parametrize(
    ("moments", "verdict"), [("", ["M210", "M210"]), (", moments: follow", []), (", moments: reset", [])]
)
def test_moments_of_a_copy_are_a_choice(moments, verdict):
    source = state(optax.adam(1e-3), {"embed/w": (9, 4)})
    target = state(optax.adam(1e-3), {"embed/w": (9, 4), "head/kernel": (4, 9)})
    rule = HEAD.replace("embed/w", "params/embed/w").replace("head/kernel", "params/head/kernel")
    plan = planned(rule.replace("copy: true", f"copy: true{moments}"), source, target)
    assert verdict == codes(plan)
    assert (0 if not moments else 2 if "follow" in moments else 0) == sum(
        len(task.targets) > 1 and task.follows is not None for task in plan.tasks
    )
