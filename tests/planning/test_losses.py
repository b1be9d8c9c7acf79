import pytest

from migrate.planning.losses import unrestored
from migrate.report.of_plan import plan_report
from tests.planning.invert.cases import inverted, lost, rules_of
from tests.planning.trees import planned

EVERY = "the inverse does not restore 96 of 128 numbers of bfloat16 from 0.25 to 0.5"


def test_each_op_that_rounds_has_its_clause():
    rule = "- {from: a, to: b, ops: [{add: 1}, {cast: float32}, {scale: 4}, {scale: 0.3}]}"
    (task,) = planned(rule, {"a": "bfloat16:3"}).tasks

    assert (EVERY, "the inverse does not restore 546 of 4,096 sampled significands of float32") == unrestored(task)


def test_tasks_that_compute_nothing_have_none():
    (task,) = planned("- {from: a, to: b, ops: [transpose, {cast: {to: int8, lossy: true}}]}", {"a": "3,2"}).tasks

    assert () == unrestored(task)


def test_a_dry_run_states_what_is_lost_before_it_runs():
    plan = planned(
        "- {from: a, to: b, ops: [{add: 1}]}\n- {from: c, to: d, ops: [{add: 1}]}", {"a": "bfloat16:3", "c": "int32:3"}
    )
    report = plan_report(plan, "new")

    (row,) = [row for row in report.rows if "lossy" in row.detail]
    assert ("b", f"bfloat16[3] → bfloat16[3], lossy: {EVERY}") == (row.target, row.detail)
    assert [[EVERY], None] == [task.get("unrestored") for task in report.data["tasks"]]


def test_the_inverse_of_arithmetic_divides_and_states_what_is_not_restored():
    inversion = inverted("- {from: a, to: b, ops: [{scale: 1/sqrt(128)}, {add: 1}]}", {"a": "bfloat16:3"})

    assert ['- {from: "b", to: "a", ops: [{add: {value: -1}}, {scale: {by: "sqrt(128)"}}]}'] == rules_of(inversion)
    assert {"a": "rounded"} == lost(inversion)
    assert "`scale` rounds: the inverse does not restore 22 of 128 significands of bfloat16" in inversion.lost[0].reason


@pytest.mark.parametrize(
    ("ops", "source", "codes"),
    [
        ("{add: 1}, {cast: float32}", "bfloat16:3", ["M325"]),
        ("{scale: 3}, transpose, {cast: float32}", "bfloat16:3,2", ["M325"]),
        ("{cast: float32}, {add: 1}, {cast: {to: bfloat16, lossy: true}}", "bfloat16:3", []),
        ("{scale: 2}, {cast: float32}", "bfloat16:3", []),
        ("{add: 1}, {cast: int32}", "int8:3", []),
        ("{add: 1}, {cast: {to: float16, lossy: true}}", "bfloat16:3", []),
    ],
)
def test_rounding_before_a_cast_to_a_wider_dtype_is_reported(ops, source, codes):
    plan = planned(f"- {{from: a, to: b, ops: [{ops}]}}", {"a": source})

    assert codes == [one.code for one in plan.diagnostics]
    assert plan.applicable


def test_the_report_names_both_dtypes_and_every_leaf():
    (found,) = planned(
        '- {from: "{x}", to: "n/{x}", ops: [{add: 1}, {cast: float32}]}', {"a": "bfloat16:3", "b": "bfloat16:2"}
    ).diagnostics

    assert "`add` rounds to bfloat16, and only then the values are cast to float32" == found.message
    assert (("a", "b"), "put the `cast` before it in `ops:`") == (found.paths, found.help)


def test_integers_come_back_exactly():
    inversion = inverted("- {from: a, to: b, ops: [{add: 1}]}", {"a": "int32:3"})

    assert {} == lost(inversion)
