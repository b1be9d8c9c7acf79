import numpy as np
import pytest

from migrate.ops.base import OpError
from migrate.ops.roll import Roll
from migrate.tree import AbstractArray
from tests.planning.optimizer_trees import state
from tests.planning.trees import codes, planned

A = AbstractArray((2, 3), "float32")


@pytest.mark.parametrize("shift", [0, 1, -2, 3, 7, 2**70])
def test_elements_beyond_the_end_come_back_at_the_start(shift):
    array = np.arange(6).reshape(2, 3)
    (rolled,) = Roll(shift, 1).apply(array)
    assert [[row[(i - shift) % 3] for i in range(3)] for row in array.tolist()] == rolled.tolist()


def test_an_axis_that_the_array_lacks_is_refused():
    with pytest.raises(OpError, match="axis 2 is out of range"):
        Roll(1, 2).infer(A)


def test_an_empty_axis_is_left_alone():
    assert (0, 3) == Roll(5, 0).apply(np.zeros((0, 3)))[0].shape


def test_a_window_across_the_seam_needs_both_ends_and_no_other_one_does():
    def needs(window):
        return [part for _, part in Roll(2, 0).window((AbstractArray((10,), "bool"),), 0, (window,)).needs]

    assert [((9, 10),), ((0, 3),)] == needs((1, 5))
    assert [((8, 9),)] == needs((0, 1))
    assert [((0, 8),)] == needs((2, 10))
    assert [((8, 10),), ((0, 8),)] == needs((0, 10))


def test_a_rule_rolls_a_param_and_its_moments_and_the_plan_names_it():
    import optax

    adam, rules = optax.adam(1e-3), "- {from: params/w, to: model/w, ops: [{roll: {shift: 1, axis: 0}}]}\n"
    wanted = state(adam, {"w": (2, 3)}, params="model", opt_state="optimizer/opt_state")
    plan = planned(rules, state(adam, {"w": (2, 3)}), wanted)
    assert [] == codes(plan)
    assert 3 == [task.verb for task in plan.tasks].count("roll")
