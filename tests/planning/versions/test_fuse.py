"""Tests of `fuse`, and through it of `composition`, `values`, `schedule` and `chain`.

What a chain computes, one plan computes too.
"""

import pytest
from hypothesis import HealthCheck, given, settings

from migrate.codes import UnfusableSteps
from migrate.planning.invert.pipeline import invert
from migrate.planning.versions.fuse import fuse
from migrate.report.of_plan import plan_data
from tests.matrix import examples
from tests.planning.invert.cases import same_bits, values_for
from tests.planning.versions.chains import both, files, made_by, random_chains, step_by_step, summary


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(random_chains())
def test_a_random_chain_computes_the_same_bits_in_one_plan_as_step_by_step(chain):
    source, rules = chain
    if not rules:
        return
    plans, fused = both(source, *rules)
    if not fused.applicable:  # arrays that have no source at all, such as a scaled constant
        assert {UnfusableSteps.number} == {d.code for d in fused.diagnostics if d.is_error}
        return
    values = values_for(plans[0].source.tree)

    same_bits(step_by_step(plans, values), made_by(fused, values))
    assert fused.target.leaves.keys() == {p for t in fused.tasks for p in t.targets} | {c.target for c in fused.created}
    assert fused.bytes_read <= plans[0].bytes_read
    assert fused.bytes_written == plans[-1].bytes_written
    used = [path for task in fused.tasks for path in task.sources] + [drop.source for drop in fused.dropped]
    assert sorted(used) == sorted(plans[0].source.tree.leaves)


def test_a_rename_of_a_rename_is_a_rename():
    _, fused = both({"a/w": "2,3"}, '- "a/** -> b/**"', '- "b/** -> c/**"')

    assert {("a/w", "c/w"): []} == summary(fused)
    assert ["rename"] == [task.verb for task in fused.tasks]


def test_a_rename_there_and_back_keeps_the_leaf():
    _, fused = both({"a": "2"}, '- "a -> b"', '- "b -> a"')

    assert ["keep"] == [task.verb for task in fused.tasks]


@pytest.mark.parametrize(
    ("there", "back"),
    [
        ("[transpose]", "[transpose]"),
        ("[{transpose: [1, 2, 0]}]", "[{transpose: [2, 0, 1]}]"),
        ("[{reshape: [6, 4]}]", "[{reshape: [2, 3, 4]}]"),
        ("[{expand_dims: 1}]", "[{squeeze: 1}]"),
        ("[{flip: 0}]", "[{flip: 0}]"),
        ("[{rearrange: 'a b c -> c (a b)'}]", "[{rearrange: {pattern: 'c (a b) -> a b c', sizes: {a: 2}}}]"),
        ("[{roll: {axis: 0, shift: 1}}]", "[{roll: {axis: 0, shift: -1}}]"),
    ],
)
def test_an_op_and_its_inverse_are_nothing(there, back):
    _, fused = both({"a": "2,3,4"}, f"- {{from: a, to: b, ops: {there}}}", f"- {{from: b, to: c, ops: {back}}}")

    assert {("a", "c"): []} == summary(fused)


def test_layers_that_are_stacked_and_unstacked_again_are_renamed():
    stack = '- {from: "l/{i}", to: s, ops: [{stack: {over: i}}]}'
    unstack = '- {from: s, to: "k/{i}", ops: [{unstack: {over: i}}]}'
    _, fused = both({"l/0": "4", "l/1": "4"}, stack, unstack)

    assert {("l/0", "k/0"): [], ("l/1", "k/1"): []} == summary(fused)


def test_transpositions_and_reshapes_become_one_op():
    turn = "ops: [{transpose: [1, 2, 0]}]"
    _, turned = both({"a": "2,3,4"}, f"- {{from: a, to: b, {turn}}}", f"- {{from: b, to: c, {turn}}}")
    _, reshaped = both(
        {"a": "2,3,4"}, "- {from: a, to: b, ops: [{reshape: [-1]}]}", "- {from: b, to: c, ops: [{reshape: [4, 6]}]}"
    )

    assert {("a", "c"): ["transpose"]} == summary(turned)
    assert {("a", "c"): ["reshape"]} == summary(reshaped)


def test_casts_are_not_merged():
    narrow = "- {from: a, to: b, ops: [{cast: {to: bfloat16, lossy: true}}]}"
    wide = "- {from: b, to: c, ops: [{cast: float32}]}"
    _, fused = both({"a": "2"}, narrow, wide)

    assert {("a", "c"): ["cast", "cast"]} == summary(fused)


def test_arrays_of_one_result_may_need_different_ops():
    _, fused = both(
        {"a": "2,3", "b": "3,2"},
        "- {from: a, to: c, ops: [transpose]}",
        "- {from: [c, b], to: d, ops: [concat]}",
    )

    assert {("a b", "d"): ["transpose", "keep", "concat"]} == summary(fused)
    (task,) = plan_data(fused)["tasks"]
    assert {"transpose": {"perm": None, "bound": [{"transpose": {"perm": None}}, {"keep": {}}]}} == task["ops"][0]
    (lost,) = {one.kind for one in invert(fused).lost}
    assert "not expressible" == lost


def test_a_leaf_that_is_created_and_dropped_vanishes():
    plans, fused = both({"a": "2"}, ("- {create: {to: n, init: zeros}}", {"a": "2", "n": "3"}), '- drop: n\n- "a -> b"')

    assert ((), ()) == (fused.created, fused.dropped)
    assert 1 == len(plans[0].created)


def test_a_leaf_that_is_created_and_renamed_is_created_under_its_last_name():
    _, fused = both({"a": "2"}, ("- {create: {to: n, init: ones}}", {"a": "2", "n": "3"}), '- "n -> m"')

    assert [("m",)] == [one.target for one in fused.created]


def test_a_created_leaf_that_is_joined_with_another_is_filled_in_the_plan():
    _, fused = both(
        {"a": "2"},
        ("- {create: {to: n, init: ones}}", {"a": "2", "n": "3"}),
        "- {from: [a, n], to: b, ops: [concat]}",
    )

    assert {("a", "b"): ["fill", "keep", "concat"]} == summary(fused)


def test_an_rng_stream_keeps_the_key_of_its_first_name():
    key = {"a": "2", "rngs/dropout/key": "key<fry>:", "rngs/dropout/count": "uint32:"}
    created = '- {create: {to: "rngs/**", init: {rng: {seed: 3}}}}'
    _, fused = both({"a": "2"}, (created, key), '- "rngs/** -> streams/**"')

    named = {"/".join(one.target): "/".join(one.named or ()) for one in fused.created}
    assert {"streams/dropout/key": "rngs/dropout/key", "streams/dropout/count": "rngs/dropout/count"} == named


def test_initial_values_of_an_earlier_model_cannot_be_fused():
    _, fused = both({"a": "2"}, ("- {create: {to: n, init: template}}", {"a": "2", "n": "3"}), '- "n -> m"')

    (problem,) = [d for d in fused.diagnostics if d.is_error]
    assert UnfusableSteps.number == problem.code
    assert "`m` needs `n`, which 2.yaml creates (template)" in problem.message
    assert "upgrade to version 2 (`--to 2`) first, and upgrade the result" == problem.help


def test_moments_follow_in_each_step():
    source = {"params/a/w": "2,3", "opt/mu/a/w": "2,3", "opt/nu/a/w": "2,3"}
    turn = '- {from: "params/a/w", to: "params/b/w", ops: [transpose]}'
    _, fused = both(source, turn, '- "params/b/** -> params/c/**"')

    moment = next(task for task in fused.tasks if task.targets == (("opt", "mu", "c", "w"),))
    assert (("opt", "mu", "a", "w"),) == moment.sources
    assert ("params", "a", "w") == moment.follows
    assert ["transpose"] == [step.op.name for step in moment.steps]


def test_an_assertion_about_a_renamed_leaf_is_one_about_its_source():
    _, fused = both({"a": "2", "b": "2"}, '- "a -> c"', "- {drop: {from: c, assert: zero}}")

    assert [(("a",), True)] == [(drop.source, drop.assert_zero) for drop in fused.dropped]


def test_an_assertion_about_a_part_cannot_be_fused():
    _, fused = both({"a": "2"}, "- {from: a, to: [b, c], ops: [split]}", "- {drop: {from: c, assert: zero}}")

    assert [UnfusableSteps.number] == [d.code for d in fused.diagnostics if d.is_error]


def test_a_chain_of_twenty_renames_has_the_tasks_of_one():
    source = {f"v1/{n}": "4" for n in range(50)}
    chain = [f'- "v{n}/** -> v{n + 1}/**"' for n in range(1, 21)]
    plans, fused = both(source, *chain)

    assert len(plans[0].tasks) == len(fused.tasks)
    assert all(not task.steps for task in fused.tasks)
    assert 20 == len(fused.chain)


def test_the_plan_of_one_file_is_itself():
    (plan,) = both({"a": "2"}, '- "a -> b"')[0]

    assert plan is fuse([plan])


def test_the_digest_of_a_fused_plan_depends_on_every_file():
    one = both({"a": "2"}, '- "a -> b"', '- "b -> c"')[1]
    other = both({"a": "2"}, '- "a -> d"', '- "d -> c"')[1]

    assert one.digest != other.digest
    assert 2 == len(files('- "a -> b"', '- "b -> c"'))
