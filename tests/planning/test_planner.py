"""Plans account for every leaf and report all mistakes at once."""

import time
from pathlib import Path

import pytest

from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from tests.planning.trees import codes, moves, planned

QKV = {f"l_{i}/{n}/kernel": "8,2,4" for i in range(12) for n in "qkv"}


def test_an_empty_rule_list_keeps_every_leaf():
    plan = planned("", {"a/b": "2", "c": "int32:scalar", "d": "none"}, {})
    assert {("a/b",): ("a/b",), ("c",): ("c",), ("d",): ("d",)} == moves(plan)
    assert plan.applicable


def test_a_source_without_a_pytree_is_refused_before_its_json_is_lost():
    source = AbstractCheckpoint(Path("old"), "orbax json", {}, extras={"config": {}})
    plan = make_plan(source, parse_rules("migrate: 1\nrules: []", "rules.yaml"), None)
    assert ["M401"] == codes(plan)
    assert "`config`" in plan.diagnostics[0].message


def test_a_leaf_that_no_rule_names_keeps_its_path_onto_the_template():
    plan = planned('- "a -> b"', {"a": "2", "same": "3"}, {"b": "2", "same": "3"})
    assert {("a",): ("b",), ("same",): ("same",)} == moves(plan)
    assert ["none", "name"] == [{"a": "none"}.get(t.sources[0][0], t.proved) for t in plan.tasks]


def test_a_source_leaf_that_the_template_lacks_is_an_error_that_names_the_nearest_path():
    plan = planned('- "a -> b"', {"a": "2", "head/kernel": "3"}, {"b": "2", "heads/kernel": "3"})
    assert ["M204", "M205"] == codes(plan)
    assert (("head", "kernel"),) == plan.unexpected
    assert (("heads", "kernel"),) == plan.missing
    assert "`heads/kernel`" in plan.diagnostics[1].help


def test_unmatched_source_drop_leaves_behind_what_the_template_lacks():
    plan = planned("unmatched: {source: drop}\nrules: []", {"a": "2", "old": "3"}, {"a": "2"})
    assert plan.applicable
    assert [("old",)] == [drop.source for drop in plan.dropped]


def test_unmatched_target_template_fills_what_nothing_writes():
    plan = planned("unmatched: {target: template}\nrules: []", {"a": "2"}, {"a": "2", "new": "3"})
    assert plan.applicable
    assert [(("new",), "template")] == [(c.target, c.init.kind) for c in plan.created]


def test_two_rules_that_claim_one_leaf_are_an_error_at_the_second_rule():
    plan = planned('- "a/* -> b/*"\n- "a/x -> c"', {"a/x": "2", "a/y": "2"})
    assert ["M202"] == codes(plan)
    assert 4 == plan.diagnostics[0].span.line


def test_except_narrows_a_rule():
    rules = '- {from: "a/*", to: "b/*", except: ["a/x"]}\n- "a/x -> c"'
    plan = planned(rules, {"a/x": "2", "a/y": "2"})
    assert {("a/x",): ("c",), ("a/y",): ("b/y",)} == moves(plan)


def test_a_rule_that_matches_nothing_is_an_error_with_the_nearest_path():
    plan = planned('- "parms/w -> w"', {"params/w": "2"})
    assert ["M201"] == codes(plan)
    assert "did you mean `params/w`?" == plan.diagnostics[0].label


def test_optional_allows_a_rule_to_match_nothing():
    assert planned('- {from: "x", to: "y", optional: true}', {"a": "2"}).applicable


def test_a_target_written_twice_is_an_error():
    plan = planned('- "a -> c"\n- "b -> c"', {"a": "2", "b": "2"})
    assert ["M203"] == codes(plan)


def test_a_rename_onto_a_leaf_that_keeps_its_path_is_an_error():
    plan = planned('- "a -> b"', {"a": "2", "b": "2"})
    assert ["M203"] == codes(plan)


def test_two_renames_may_exchange_two_leaves():
    plan = planned('- "a -> b"\n- "b -> a"', {"a": "2", "b": "2"})
    assert plan.applicable
    assert {("a",): ("b",), ("b",): ("a",)} == moves(plan)


def test_a_rule_to_a_path_that_the_template_lacks_names_the_nearest():
    plan = planned('- "a -> w/kernal"', {"a": "2"}, {"w/kernel": "2"})
    assert ["M206", "M204"] == sorted(codes(plan), reverse=True)
    assert "did you mean `w/kernel`?" in [d.label for d in plan.diagnostics]


def test_a_shape_that_differs_from_the_template_is_an_error_with_both_shapes():
    plan = planned('- "a -> b"', {"a": "2,3"}, {"b": "3,2"})
    assert ["M301"] == codes(plan)
    assert "float32[2,3]" in plan.diagnostics[0].message
    assert "float32[3,2]" in plan.diagnostics[0].message
    assert (("b",),) == plan.shape_mismatch


def test_a_dtype_that_differs_from_the_template_is_never_cast_in_silence():
    plan = planned("", {"step": "int64:scalar"}, {"step": "uint32:"})
    assert ["M302"] == codes(plan)
    assert (("step",),) == plan.dtype_mismatch


def test_cast_template_takes_the_templates_dtype():
    plan = planned("- {from: step, to: step, ops: [{cast: template}]}", {"step": "int64:scalar"}, {"step": "uint32:"})
    assert plan.applicable
    assert "uint32" == plan.tasks[0].out_avals[0].dtype


def test_reshape_template_takes_the_templates_shape():
    plan = planned("- {from: a, to: b, ops: [{reshape: template}]}", {"a": "4,3"}, {"b": "2,2,3"})
    assert plan.applicable


def test_an_op_that_does_not_fit_is_an_error_at_the_op_and_nothing_else():
    plan = planned("- from: a\n  to: b\n  ops: [{transpose: [0, 1, 2]}]", {"a": "4,3"}, {"b": "3,4"})
    assert ["M303"] == codes(plan)
    assert 5 == plan.diagnostics[0].span.line
    assert "float32[4,3]" in plan.diagnostics[0].message


def test_all_errors_are_found_at_once():
    rules = '- "nope -> x"\n- "a -> b"\n- "c -> b"\n- "d -> typo"'
    plan = planned(rules, {"a": "2", "c": "2", "d": "2", "e": "2"}, {"b": "3", "typing": "2"})
    assert {"M201", "M203", "M206", "M204", "M205", "M301"} == set(codes(plan))


def test_q_k_and_v_of_every_layer_become_one_stacked_fused_kernel_in_one_rule():
    rules = """
- from: ["l_{i}/q/kernel", "l_{i}/k/kernel", "l_{i}/v/kernel"]
  to: blocks/qkv/kernel
  ops: [{rearrange: {pattern: "d h k -> d (h k)"}}, {concat: {axis: 1}}, {stack: {axis: 0, over: i}}]
"""
    plan = planned(rules, QKV)
    (task,) = plan.tasks
    assert (12, 8, 24) == task.out_avals[0].shape
    concat = task.steps[1]
    fused = [[task.sources[i] for i in group] for group in concat.groups]
    assert [[(f"l_{i}", n, "kernel") for n in "qkv"] for i in range(12)] == fused
    assert (tuple(range(12)),) == task.steps[2].groups


def test_layers_are_stacked_in_the_order_of_their_numbers():
    plan = planned('- {from: "l_{i}/q/kernel", to: q, ops: [{stack: {axis: 0, over: i}}]}', QKV)
    (task,) = [task for task in plan.tasks if task.targets == (("q",),)]
    assert [f"l_{i}" for i in range(12)] == [task.sources[i][0] for i in task.steps[0].groups[0]]


def test_a_gap_in_a_stacked_index_is_an_error():
    source = {f"l_{i}/w": "2" for i in (0, 1, 3)}
    plan = planned('- {from: "l_{i}/w", to: w, ops: [{stack: {axis: 0, over: i}}]}', source)
    assert ["M208"] == codes(plan)
    assert "2 of 0..3" in plan.diagnostics[0].message


@pytest.mark.parametrize(("first", "missing"), [(0, None), (1, None), (2, "1 of 0..4"), (3, "1, 2 of 0..5")])
def test_a_stacked_index_begins_at_zero_or_one(first, missing):
    source = {f"l_{i}/w": "2" for i in range(first, first + 3)}
    plan = planned('- {from: "l_{i}/w", to: w, ops: [{stack: {axis: 0, over: i}}]}', source)
    assert ([] if missing is None else ["M208"]) == codes(plan)
    assert missing is None or missing in plan.diagnostics[0].message


def test_a_list_that_no_op_reduces_is_an_error():
    plan = planned('- "l_{i}/w -> w"', {"l_0/w": "2", "l_1/w": "2"})
    assert ["M207"] == codes(plan)


def test_unstack_over_a_new_capture_gives_one_target_for_each_index():
    rules = '- {from: "scan/{n:**}", to: "blocks/{i}/{n}", ops: [{unstack: {axis: 0, over: i}}]}'
    plan = planned(rules, {"scan/w": "3,2", "scan/a/b": "3,4"})
    assert {
        ("scan/w",): ("blocks/0/w", "blocks/1/w", "blocks/2/w"),
        ("scan/a/b",): ("blocks/0/a/b", "blocks/1/a/b", "blocks/2/a/b"),
    } == moves(plan)


def test_split_extends_over_the_list_of_targets():
    plan = planned("- {from: qkv, to: [q, k, v], ops: [{split: {axis: 1}}]}", {"qkv": "4,6"})
    (task,) = plan.tasks
    assert (("q",), ("k",), ("v",)) == task.targets
    assert {(4, 2)} == {aval.shape for aval in task.out_avals}


def test_one_source_may_go_to_two_targets():
    plan = planned("- {from: emb, to: [embed, head]}", {"emb": "4,6"})
    assert {("emb",): ("embed", "head")} == moves(plan)
    assert "tie" == plan.tasks[0].verb


def test_arithmetic_nests_a_flat_index():
    plan = planned('- "b_{k}/w -> stages/{k//2}/{k%2}/w"', {f"b_{k}/w": "2" for k in range(4)})
    assert ("stages/1/0/w",) == moves(plan)[("b_2/w",)]


def test_lists_stay_lists_where_their_whole_content_moved_along():
    plan = planned('- "opt/** -> state/opt/**"', {"opt/0/mu": "2", "opt/1": "none"}, containers={"opt": "list"})
    assert "list" == plan.target.container(("state", "opt"))


def test_a_list_that_lost_an_element_becomes_a_dict_with_the_indices_as_keys():
    plan = planned('- drop: "opt/0"', {"opt/0": "2", "opt/1": "2"}, containers={"opt": "list"})
    assert "dict" == plan.target.container(("opt",))


def test_leaves_without_data_need_no_rule():
    plan = planned("", {"a": "2", "opt/1": "none", "e": "{}"}, {"a": "2", "f": "none"})
    assert plan.applicable
    assert {("opt", "1"), ("e",)} == {drop.source for drop in plan.dropped}


def test_key_paths_that_share_a_stored_name_are_refused():
    plan = planned('- "x -> a.b"', {"x": "2", "a/b": "2"})
    assert ["M211"] == codes(plan)


def test_a_unique_shape_proves_a_rename_and_a_square_matrix_does_not():
    plan = planned('- "a -> b"\n- "c -> d"', {"a": "2,3", "c": "4,4"}, {"b": "2,3", "d": "4,4"})
    assert ["shape", "none"] == [task.proved for task in plan.tasks]


def test_equal_shapes_prove_nothing():
    plan = planned('- "a -> b"\n- "c -> d"', {"a": "2", "c": "2"}, {"b": "2", "d": "2"})
    assert {"none"} == {task.proved for task in plan.tasks}


def test_the_digest_is_that_of_the_decisions():
    one, other = (planned(f'- "a -> {name}"', {"a": "2"}) for name in "bc")
    assert one.digest == planned('- "a -> b"', {"a": "2"}).digest
    assert one.digest != other.digest


def test_a_pinned_source_structure_is_checked_before_planning():
    plan = planned(f'source: {{structure: "sha256:{"0" * 64}"}}\nrules: []', {"a": "2"})
    assert ["M304"] == codes(plan)


def test_a_plan_of_ten_thousand_leaves_is_made_in_linear_time():
    source = {f"l_{i}/{n}/w": "8,4" for i in range(1000) for n in "abcdefghij"}
    start = time.process_time()
    plan = planned('- "l_{i}/{n:a|b|c}/w -> x/{i}/{n}"\n- "l_{i}/{n:d|e|f|g|h|i|j}/w -> y/{i}/{n}"', source)
    assert 10_000 == len(plan.tasks)
    assert time.process_time() - start < 10  # two seconds on a quiet machine; quadratic planning takes minutes


def test_items_that_are_not_pytrees_are_carried_over_unless_dropped():
    extras = {"metrics": {"loss": 1}, "notes": {}}
    assert ("metrics", "notes") == planned("", {"a": "2"}, extras=extras).extras
    plan = planned('- drop: "metrics/**"', {"a": "2"}, extras=extras)
    assert ("notes",) == plan.extras
    assert plan.applicable


@pytest.mark.parametrize(
    ("leaf", "init"),
    [
        ("int32:2", "{constant: 1.5}"),
        ("uint8:2", "{constant: 300}"),
        ("uint32:2", "{constant: -1}"),
        ("2,3", "{rng: {seed: 0}}"),
        ("key<fry>:2", "zeros"),
        ("string", "ones"),
    ],
)
def test_a_leaf_that_cannot_begin_as_the_rule_says_is_refused_and_never_truncated(leaf, init):
    plan = planned(f"- create: {{to: new, init: {init}}}", {"a": "2"}, {"a": "2", "new": leaf})
    assert ["M302"] == codes(plan)
    assert 3 == plan.diagnostics[0].span.line
    assert ("new",) == plan.diagnostics[0].paths


@pytest.mark.parametrize(
    ("leaf", "init"),
    [
        ("int32:2", "{constant: 3}"),
        ("float32:2", "{constant: 1.5}"),
        ("bool:2", "ones"),
        ("key<fry>:2", "{rng: {seed: 0}}"),
        ("key<fry>:2", "template"),
    ],
)
def test_a_leaf_may_begin_as_what_it_can_hold(leaf, init):
    assert planned(f"- create: {{to: new, init: {init}}}", {"a": "2"}, {"a": "2", "new": leaf}).applicable


def test_a_leaf_without_data_keeps_its_path_only_onto_one_of_its_kind():
    plan = planned("", {"a": "none", "b": "none"}, {"a": "none", "b": "{}"})
    assert plan.applicable
    assert {("a",): ("a",)} == moves(plan)
    assert ([("b",)], [("b",)]) == ([drop.source for drop in plan.dropped], [c.target for c in plan.created])


@pytest.mark.parametrize(
    ("leaves", "expected"),
    [
        ({"a/b": "2", "a.b": "2"}, ["M211"]),
        ({"a/b": "string", "a.b": "2"}, ["M211"]),
        ({"a/b": "none", "a.b": "none"}, []),
        ({"a/b": "{}", "a.b": "none"}, []),
        ({"a/b": "2", "a.b": "none"}, []),
    ],
)
def test_names_collide_only_where_something_is_stored_under_them(leaves, expected):
    assert expected == codes(planned("", leaves))
