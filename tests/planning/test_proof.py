"""The conditions under which a plan is proved by name, by shape or by value."""

import time

import pytest

from migrate.planning.proof import Candidates, after_probe, is_symmetric
from migrate.tree import AbstractArray
from tests.planning.trees import planned


def proofs(rules, source, target=None, **fields):
    """Returns the proof of every target of the plan."""
    plan = planned(rules, source, target, **fields)
    assert plan.applicable, plan.diagnostics
    return {"/".join(path): task.proved for task in plan.tasks for path in task.targets}


def test_a_leaf_that_keeps_its_path_and_shape_is_proved_by_name_whatever_its_shape():
    assert {"a": "name", "b": "name"} == proofs("", {"a": "4,4", "b": "4,4"})


def test_a_leaf_that_keeps_its_path_but_goes_through_an_op_is_not_proved_by_name():
    assert {"a": "none"} == proofs("- {from: a, to: a, ops: [{flip: {axis: 0}}]}", {"a": "2,3"})


def test_a_renamed_leaf_without_a_double_is_proved_by_shape():
    assert {"x": "shape", "y": "shape"} == proofs('- "a -> x"\n- "b -> y"', {"a": "2,3", "b": "5"})


def test_leaves_that_keep_their_name_are_no_doubles():
    assert {"a": "name", "x": "shape"} == proofs('- "b -> x"', {"a": "2,3", "b": "2,3"})


def test_equal_shapes_prove_nothing():
    assert {"x": "none", "y": "none"} == proofs('- "a -> x"\n- "b -> y"', {"a": "2", "b": "2"})


def test_leaves_whose_axes_have_the_same_sizes_in_another_order_are_doubles():
    assert {"x": "none", "y": "none"} == proofs('- "a -> x"\n- "b -> y"', {"a": "2,3", "b": "3,2"})


def test_axes_of_size_one_tell_nothing():
    assert {"x": "none", "y": "none"} == proofs('- "a -> x"\n- "b -> y"', {"a": "1,2", "b": "2"})


def test_a_square_matrix_is_never_proved_by_shape():
    assert {"x": "none"} == proofs('- "a -> x"', {"a": "4,4"})
    assert {"x": "none"} == proofs("- {from: a, to: x, ops: [transpose]}", {"a": "3,4,3"})


def test_a_transposition_of_axes_of_different_sizes_is_proved_by_shape():
    assert {"x": "shape"} == proofs("- {from: a, to: x, ops: [transpose, {cast: bfloat16}]}", {"a": "1,3,4"})


@pytest.mark.parametrize("op", ["{reshape: [3, 2]}", "{reshape: [6]}", "{flip: {axis: 0}}", "{scale: {by: 2}}"])
def test_an_op_whose_shape_another_op_gives_too_proves_nothing(op):
    assert {"x": "none"} == proofs(f"- {{from: a, to: x, ops: [{op}]}}", {"a": "2,3"})


def test_a_dropped_leaf_of_the_same_shape_is_a_double():
    assert {"x": "none"} == proofs('- "a -> x"\n- drop: b', {"a": "2", "b": "2"})


def test_a_created_leaf_of_the_same_shape_is_a_double():
    rules = '- "a -> x"\n- create: {to: y, init: zeros}'
    assert {"x": "none"} == proofs(rules, {"a": "2"}, {"x": "2", "y": "2"})
    assert {"x": "shape"} == proofs(rules, {"a": "2"}, {"x": "2", "y": "3"})


def test_an_array_that_ends_with_the_shape_of_another_is_its_double():
    rules = '- {from: a, to: x, ops: [{reshape: [6]}]}\n- "b -> y"'
    assert {"x": "none", "y": "none"} == proofs(rules, {"a": "2,3", "b": "6"})


def test_the_dtype_tells_leaves_apart_unless_one_of_them_is_cast():
    source = {"a": "2", "b": "int32:2"}
    assert {"x": "shape", "y": "shape"} == proofs('- "a -> x"\n- "b -> y"', source)
    assert {"x": "none", "y": "none"} == proofs('- "a -> x"\n- {from: b, to: y, ops: [{cast: int64}]}', source)


@pytest.mark.parametrize("slots", [("params",), ("params", "opt/mu", "opt/nu")])
def test_the_dtype_of_a_param_that_is_cast_tells_nothing_with_moments_or_without(slots):
    source = {
        f"{slot}/{name}": f"{dtype}:2,3" for slot in slots for name, dtype in {"a": "float32", "b": "bfloat16"}.items()
    }
    rules = '- "params/a -> params/x"\n- {from: params/b, to: params/y, ops: [{cast: {to: float16, lossy: true}}]}'
    assert {"none"} == set(proofs(rules, source).values())
    assert {"shape"} == set(proofs('- "params/a -> params/x"\n- "params/b -> params/y"', source).values())


def test_the_order_of_stacked_and_of_joined_arrays_is_unproved():
    assert {"x": "none"} == proofs(
        '- {from: "l_{i}", to: x, ops: [{stack: {axis: 0, over: i}}]}', {"l_0": "2", "l_1": "2"}
    )
    assert {"x": "none"} == proofs("- {from: [a, b], to: x, ops: [{concat: {axis: 0}}]}", {"a": "2,3", "b": "5,3"})


def test_the_order_of_parts_is_unproved():
    assert {"none"} == set(proofs("- {from: a, to: [x, y], ops: [{split: {sizes: [2, 5]}}]}", {"a": "7"}).values())
    rules = '- {from: a, to: "x/{i}", ops: [{unstack: {axis: 0, over: i}}]}'
    assert {"none"} == set(proofs(rules, {"a": "3,2"}).values())


def test_targets_that_are_tied_are_no_doubles_of_one_another():
    assert {"x": "shape", "y": "shape"} == proofs("- {from: a, to: [x, y]}", {"a": "2,3"})


def test_layers_of_equal_shapes_are_unproved_each_and_every_one():
    source = {f"Block_{i}/{name}": "3,5" for i in range(48) for name in ("a", "b", "c", "d", "e", "f")}
    found = proofs('- "Block_{i}/** -> blocks/{i}/**"', source)
    assert (288, {"none"}) == (len(found), set(found.values()))


def test_leaves_without_data_can_change_places_and_a_lone_string_cannot():
    assert {"y/a": "shape", "y/b": "shape", "y/c": "shape"} == proofs(
        '- "x/** -> y/**"', {"x/a": "none", "x/b": "{}", "x/c": "string"}
    )


STATE = {f"{slot}/{name}": shape for slot in ("params", "opt/mu", "opt/nu") for name, shape in
         {"a": "2,3", "b": "7", "c": "7"}.items()}  # fmt: skip


def test_moments_have_their_params_proof_and_are_no_doubles_of_params():
    found = proofs('- "params/a -> params/x"\n- "params/b -> params/y"', STATE)
    assert {"params/x": "shape", "opt/mu/x": "shape", "opt/nu/x": "shape"}.items() <= found.items()
    assert {"params/y": "shape", "opt/nu/y": "shape", "params/c": "name", "opt/mu/c": "name"}.items() <= found.items()


def test_moments_that_rules_name_themselves_are_doubles_of_everything():
    rules = '- "params/{p} -> model/{p}"\n- "opt/{s}/{p} -> state/{s}/{p}"'
    found = proofs(f"follow: off\nrules:\n{rules}", STATE)
    assert ("shape", "none", "none") == (found["model/a"], found["state/mu/a"], found["state/nu/a"])


def test_moments_that_are_dropped_or_created_are_no_doubles_of_params():
    assert {"model/a": "shape", "model/b": "none", "model/c": "none"} == proofs(
        'follow: off\nrules:\n- "params/** -> model/**"\n- drop: "opt/**"', STATE
    )
    target = {path.replace("params/", "model/"): shape for path, shape in STATE.items()}
    rules = '- "params/** -> model/**"\n- create: {to: "opt/**", init: zeros}'
    params = {path: shape for path, shape in STATE.items() if path.startswith("params")}
    assert "shape" == proofs(rules, params, target)["model/a"]


def test_a_probe_proves_what_it_saw_and_the_moments_of_it():
    plan = planned('- "params/{p} -> params/x/{p}"', STATE)
    after = after_probe(plan, {("params", "x", "b")})
    proved = {"a": "shape", "b": "value", "c": "none"}
    assert {f"{slot}/x/{name}": proof for slot in ("params", "opt/mu", "opt/nu") for name, proof in proved.items()} == {
        "/".join(task.targets[0]): task.proved for task in after.tasks
    }


def test_candidates_alone_say_whether_an_assignment_is_the_only_one():
    square, wide, long = (AbstractArray(shape, "float32") for shape in ((4, 4), (2, 3), (5,)))
    candidates = Candidates.of([square, wide, long], [square, wide, long, long])
    assert (False, True, False) == tuple(candidates.only_fit([a], [a]) for a in (square, wide, long))
    assert (True, False, False) == tuple(map(is_symmetric, (square, wide, long)))


def test_ten_thousand_leaves_are_proved_in_linear_time():
    source = {f"{slot}/Block_{i}/{name}": "8,4" for slot in ("params", "o/mu", "o/nu") for i in range(333) for name in
              "abcdefghij"}  # fmt: skip
    start = time.process_time()
    found = proofs('- "params/Block_{i}/** -> params/{i}/**"', source)
    assert (9990, {"none"}) == (len(found), set(found.values()))
    assert time.process_time() - start < 10  # about a second on a quiet machine; quadratic proofs take minutes
