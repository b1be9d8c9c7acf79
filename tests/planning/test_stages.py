from migrate.planning.stages import stages
from tests.planning.trees import planned


def test_each_step_has_the_arrays_of_its_inputs():
    rule = "- {from: [a, b], to: c, ops: [transpose, {concat: 1}, {cast: float64}]}"
    (task,) = planned(rule, {"a": "2,3", "b": "4,3"}).tasks

    assert [
        ("transpose", ["float32[2,3]", "float32[4,3]"]),
        ("concat", ["float32[3,2]", "float32[3,4]"]),
        ("cast", ["float32[3,6]"]),
    ] == [(step.op.name, list(map(str, arrays))) for step, arrays in stages(task)]
