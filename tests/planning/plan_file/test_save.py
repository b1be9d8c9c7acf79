from dataclasses import replace

import pytest

from migrate.errors import PlanError
from migrate.ops.pad import Pad
from migrate.planning.plan_file.save import saved_text
from migrate.planning.plan_file.write import plan_text
from tests.planning.plan_file.plans import small


def test_the_text_is_that_of_the_plan():
    assert plan_text(small()) == saved_text(small())


def test_linked_and_streamed_plans_have_one_text():
    linked = replace(small(), tasks=tuple(replace(task, mode="relink") for task in small().tasks))
    assert saved_text(small()) == saved_text(linked)


def test_a_plan_that_would_be_read_as_another_is_refused():
    plan = small("- {from: a, to: b, ops: [{pad: {widths: [[1, 0]], value: 1}}]}", {"a": "2"})
    (step,) = plan.tasks[0].steps
    other = replace(step, op=Pad(step.op.widths, True))  # rule files have no such value
    with pytest.raises(PlanError, match="cannot express"):
        saved_text(replace(plan, tasks=(replace(plan.tasks[0], steps=(other,)),)))
