"""Tests of `pipeline`, and through whole files those of `rule_inverter`, `path_rules`, `task_inverse`, `notes`, `text`,
`readback`, `indices` and `model`.
"""

from dataclasses import replace

import optax
import pytest

from migrate.errors import PlanError
from migrate.planning.invert.pipeline import invert
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from tests.planning.invert.cases import back_and_forth, inverted, left, lost, rules_of, same_bits, values_for
from tests.planning.optimizer_trees import state
from tests.planning.trees import Template, planned, tree

CONVS = {f"params/Conv_{i}/{name}": "3" for i in range(3) for name in ("kernel", "bias")}


def goes_back(rules, source, target=None, **fields):
    """The rules of the inverse, once it was seen to give back every bit."""
    plan = planned(rules, source, target, **fields)
    assert plan.applicable, [d.message for d in plan.diagnostics]
    values = values_for(plan.source.tree)
    inversion, back = back_and_forth(plan, values)
    assert {} == lost(inversion)
    same_bits(values, back)
    return rules_of(inversion)


# Renames


def test_a_pattern_goes_back_as_a_pattern():
    assert ['- "model/convs/{i}/** -> params/Conv_{i}/**"'] == goes_back(
        '- "params/Conv_{i}/** -> model/convs/{i}/**"', CONVS
    )


def test_what_a_capture_may_be_is_said_where_it_is_captured():
    source = {"a/kernel": "3", "b/bias": "2", "c/7": "1"}
    assert [
        '- "{p:kernel|bias}/{m} -> {m}/{p}"',
        '- "d/{n:int} -> c/{n}"',
    ] == goes_back('- "{m}/{p:kernel|bias} -> {p}/{m}"\n- "c/{n:int} -> d/{n}"', source)


def test_wildcards_without_names_stay_wildcards():
    source = {"params/a/x/kernel": "3", "params/b/y/z/kernel": "3"}
    assert ['- "model/**/k/* -> params/*/**/kernel"'] == goes_back('- "params/*/**/kernel -> model/**/k/*"', source)


def test_shifted_numbers_are_shifted_back():
    assert ['- "convs/{i}/** -> params/Conv_{i-1}/**"'] == goes_back('- "params/Conv_{i}/** -> convs/{i+1}/**"', CONVS)


def test_numbers_that_count_down_count_up_again():
    assert ['- "convs/{i}/** -> params/Conv_{2-i}/**"'] == goes_back('- "params/Conv_{i}/** -> convs/{2-i}/**"', CONVS)


def test_numbers_that_were_divided_are_put_together():
    source = {f"params/Block_{k}/w": "3" for k in range(6)}
    assert ['- "stages/{k:int}/{j:int where j<2}/** -> params/Block_{2*k+j}/**"'] == goes_back(
        '- "params/Block_{k}/** -> stages/{k//2}/{k%2}/**"', source
    )


def test_alternating_layers_go_back_as_two_rules_and_forth_again():
    source = {f"layers/{i}/{name}": "3" for i in range(6) for name in ("q", "k")}
    there = [
        '- "layers/{i:int where i%2==0}/** -> blocks/{i//2}/local/**"',
        '- "layers/{i:int where i%2==1}/** -> blocks/{i//2}/global/**"',
    ]
    back = [
        '- "blocks/{i:int}/local/** -> layers/{2*i}/**"',
        '- "blocks/{i:int}/global/** -> layers/{2*i+1}/**"',
    ]
    assert back == goes_back("\n".join(there), source)
    blocks = {f"blocks/{j}/{part}/{name}": "3" for j in range(3) for part in ("local", "global") for name in ("q", "k")}
    assert there == goes_back("\n".join(back), blocks)


def test_every_second_layer_is_stacked_and_unstacked():
    source = {f"layers/{i}/w": "3,2" for i in range(6)}
    rules = "\n".join(
        f'- {{from: "layers/{{i:int where i%2=={at}}}/w", to: "{name}/w", ops: [{{stack: {{axis: 1, over: i}}}}]}}'
        for at, name in enumerate(("local", "global"))
    )
    assert [
        '- {from: "local/w", to: "layers/{2*i}/w", ops: [{unstack: {axis: 1, over: i}}]}',
        '- {from: "global/w", to: "layers/{2*i+1}/w", ops: [{unstack: {axis: 1, over: i}}]}',
    ] == goes_back(rules, source)


def test_a_capture_that_is_gone_on_the_right_is_spelled_out():
    source = {"params/a_3/kernel": "3", "params/b_4/bias": "3"}
    rules = '- "params/{name}_{n}/** -> model/{name}/**"'
    assert ['- "model/a/kernel -> params/a_3/kernel"', '- "model/b/bias -> params/b_4/bias"'] == goes_back(
        rules, source
    )


def test_leaves_that_another_rule_takes_are_excepted():
    source = {**CONVS, "params/Conv_0/odd": "3"}
    rules = goes_back(
        '- {from: "params/Conv_{i}/**", to: "convs/{i}/**", except: ["**/odd"]}\n'
        '- "params/Conv_0/odd -> convs/0/strange"',
        source,
    )
    assert '- {from: "convs/{i}/**", to: "params/Conv_{i}/**", except: ["convs/0/strange"]}' in rules


def test_leaves_that_keep_their_key_path_need_no_rule():
    assert [] == goes_back("", CONVS)


def test_characters_that_mean_something_in_patterns_are_escaped():
    assert [r'- "y -> a\\{b\\}"'] == goes_back(r"- 'a\{b\} -> y'", {r"a\{b\}": "3"})


# Ops


@pytest.mark.parametrize(
    ("ops", "shape", "back"),
    [
        ("{transpose: [1, 0]}", "2,3", "{transpose: {perm: [1, 0]}}"),
        ("transpose", "2,3", "{transpose: {}}"),
        ('{rearrange: "a b c -> a (b c)"}', "2,3,4", '{rearrange: {pattern: "a (b c) -> a b c", sizes: {c: 4}}}'),
        ("{reshape: [6]}", "2,3", "{reshape: {shape: [2, 3]}}"),
        ("{flip: 0}", "2,3", "{flip: {axis: 0}}"),
        ("{pad: [[1, 1]]}", "3", "{crop: {ranges: [[1, 4]]}}"),
        ("{tile: [2]}", "3", "{crop: {ranges: [[0, 3]]}}"),
        ("{expand_dims: 0}", "3", "{squeeze: {axis: 0}}"),
        ("{squeeze: 0}", "1,3", "{expand_dims: {axis: 0}}"),
        ("{scale: 4}", "3", "{scale: {by: 0.25}}"),
        ("{cast: float32}", "bfloat16:3", "{cast: {to: bfloat16}}"),
        ("{wrap_key_data: threefry2x32}", "uint32:2", "{key_data: {}}"),
    ],
)
def test_an_op_goes_back(ops, shape, back):
    inversion = inverted(f"- {{from: a, to: b, ops: [{ops}]}}", {"a": shape})
    assert {} == lost(inversion)
    assert [f'- {{from: "b", to: "a", ops: [{back}]}}'] == rules_of(inversion)


def test_arrays_of_two_shapes_that_go_through_one_rule():
    source = {"a/x": "2,3", "a/y": "4,3"}
    assert ['- {from: "b/**", to: "a/**", ops: [{reshape: {shape: [-1, 3]}}]}'] == goes_back(
        '- {from: "a/**", to: "b/**", ops: [{reshape: [-1]}]}', source
    )


def test_arrays_that_need_different_ops_on_the_way_back_get_rules_of_their_own():
    source = {"a/x": "2,3", "a/y": "3,2"}
    rules = goes_back('- {from: "a/**", to: "b/**", ops: [{reshape: [-1]}]}', source)
    assert 2 == len(rules)


def test_stacked_layers_are_taken_apart():
    source = {f"params/Block_{i}/w": "3" for i in range(3)}
    assert ['- {from: "blocks/w", to: "params/Block_{i}/w", ops: [{unstack: {axis: 0, over: i}}]}'] == goes_back(
        '- {from: "params/Block_{i}/w", to: blocks/w, ops: [{stack: {axis: 0, over: i}}]}', source
    )


def test_layers_that_count_from_one_are_taken_apart():
    source = {f"params/Block_{i}/w": "3" for i in (1, 2)}
    assert ['- {from: "blocks/w", to: "params/Block_{i+1}/w", ops: [{unstack: {axis: 0, over: i}}]}'] == goes_back(
        '- {from: "params/Block_{i}/w", to: blocks/w, ops: [{stack: {axis: 0, over: i}}]}', source
    )


def test_layers_with_other_names_are_listed():
    source = {f"params/{name}/w": "3" for name in ("a", "b", "c")}
    assert [
        '- {from: "blocks/w", to: ["params/a/w", "params/b/w", "params/c/w"], ops: [{unstack: {axis: 0}}]}'
    ] == goes_back('- {from: "params/{n}/w", to: blocks/w, ops: [{stack: {axis: 0, over: n}}]}', source)


def test_numbers_keep_their_leading_zeros():
    source = {f"params/Block_0{i}/w": "3" for i in range(3)}
    assert ['- {from: "blocks/w", to: "params/Block_0{i}/w", ops: [{unstack: {axis: 0, over: i}}]}'] == goes_back(
        '- {from: "params/Block_{i}/w", to: blocks/w, ops: [{stack: {axis: 0, over: i}}]}', source
    )


def test_layers_that_were_taken_apart_are_stacked():
    assert ['- {from: "b_{i}/w", to: "blocks/w", ops: [{stack: {axis: 0, over: i}}]}'] == goes_back(
        '- {from: blocks/w, to: "b_{i}/w", ops: [{unstack: {axis: 0, over: i}}]}', {"blocks/w": "3,2"}
    )


FUSED = """
- from: ["layer_{i}/query/kernel", "layer_{i}/key/kernel", "layer_{i}/value/kernel"]
  to: blocks/qkv/kernel
  ops: [{rearrange: "d h k -> d (h k)"}, {concat: {axis: 1}}, {stack: {axis: 0, over: i}}]
"""


def test_a_fused_rule_goes_back():
    source = {f"layer_{i}/{name}/kernel": "4,2,3" for i in range(2) for name in ("query", "key", "value")}
    assert [
        '- from: "blocks/qkv/kernel"',
        'to: ["layer_{i}/query/kernel", "layer_{i}/key/kernel", "layer_{i}/value/kernel"]',
        "ops: [{unstack: {axis: 0, over: i}}, {split: {axis: 1}}, "
        '{rearrange: {pattern: "d (h k) -> d h k", sizes: {k: 3}}}]',
    ] == goes_back(FUSED, source)


def test_parts_of_different_sizes_are_cut_where_they_were_joined():
    source = {
        f"layer_{i}/{name}/kernel": shape
        for i in range(2)
        for name, shape in {"query": "4,4,3", "key": "4,2,3", "value": "4,2,3"}.items()
    }
    rules = goes_back(FUSED, source)
    assert "{split: {axis: 1, sizes: [12, 6, 6]}}" in rules[-1]


def test_what_was_split_and_unstacked_comes_together():
    source = {"blocks/qkv": "2,4,9"}
    rules = """
- from: blocks/qkv
  to: ["l_{i}/q", "l_{i}/k", "l_{i}/v"]
  ops: [{unstack: {axis: 0, over: i}}, {split: {axis: 1}}]
"""
    assert [
        '- {from: ["l_{i}/q", "l_{i}/k", "l_{i}/v"], to: "blocks/qkv", ops: [{concat: {axis: 1}}, '
        "{stack: {axis: 0, over: i}}]}"
    ] == goes_back(rules, source)


def test_joined_first_and_unstacked_then():
    source = {f"scan/{name}": "2,4" for name in "qkv"}
    rules = '- {from: [scan/q, scan/k, scan/v], to: "l/{i}/qkv", ops: [{concat: 1}, {unstack: {axis: 0, over: i}}]}'
    assert [
        '- {from: "l/{i}/qkv", to: ["scan/q", "scan/k", "scan/v"], ops: [{stack: {axis: 0, over: i}}, '
        "{split: {axis: 1}}]}"
    ] == goes_back(rules, source)


def test_an_axis_counted_from_the_end_serves_arrays_of_different_ranks():
    source = {f"{part}/{leaf}": shape for part in "qkv" for leaf, shape in {"kernel": "4,6", "bias": "6"}.items()}
    rules = '- {from: ["q/{l}", "k/{l}", "v/{l}"], to: "qkv/{l}", ops: [{concat: {axis: -1}}]}'
    assert ['- {from: "qkv/{l}", to: ["q/{l}", "k/{l}", "v/{l}"], ops: [{split: {axis: -1}}]}'] == goes_back(
        rules, source
    )


# What does not go back


def test_dropped_leaves_are_lost_and_not_invented():
    inversion = inverted('- drop: "head/**"', {"head/w": "3", "body/w": "3"})
    assert {"head/w": "dropped"} == lost(inversion)
    assert [] == rules_of(inversion)
    assert "# lost: head/**" in inversion.text
    assert 2 == inversion.lost[0].rule.line - 1


def test_a_cast_that_lost_is_named_and_goes_back_all_the_same():
    inversion = inverted("- {from: a, to: b, ops: [{cast: {to: bfloat16, lossy: true}}]}", {"a": "3"})
    assert {"a": "rounded"} == lost(inversion)
    assert ['- {from: "b", to: "a", ops: [{cast: {to: float32, lossy: true}}]}'] == rules_of(inversion)


@pytest.mark.parametrize("by", [0.1, 0.5, 3])
def test_a_factor_that_rounds_is_named(by):
    assert {"a": "rounded"} == lost(inverted(f"- {{from: a, to: b, ops: [{{scale: {by}}}]}}", {"a": "3"}))


def test_an_op_without_inverse_is_named_with_its_reason():
    inversion = inverted("- {from: a, to: b, ops: [{slice: {axis: 0, stop: 2}}]}", {"a": "3"})
    assert {"a": "no inverse"} == lost(inversion)
    assert "`slice` left behind" in inversion.lost[0].reason
    assert ['- drop: "b"'] == rules_of(inversion)


def test_arrays_that_one_rule_cannot_tell_apart_are_named():
    rules = "- {from: [a, b], to: c, ops: [{cast: float32}, {concat: 0}]}"
    inversion = inverted(rules, {"a": "3", "b": "bfloat16:3"})
    assert {"a": "not expressible", "b": "not expressible"} == lost(inversion)
    assert ['- drop: "c"'] == rules_of(inversion)


def test_created_leaves_are_left_behind():
    inversion = inverted('- create: {to: "new/**", init: zeros}', {"a": "3"}, {"a": "3", "new/x": "2", "new/y": "2"})
    assert {} == lost(inversion)
    assert {"new/x": "created", "new/y": "created"} == left(inversion)
    assert ['- drop: "new/**"'] == rules_of(inversion)


def test_of_tied_leaves_one_goes_back():
    inversion = inverted("- {from: emb, to: [in, out]}", {"emb": "3"})
    assert {} == lost(inversion)
    assert {"out": "tied"} == left(inversion)
    assert ['- "in -> emb"', '- drop: {from: "out", assert: {equal: "in"}}'] == rules_of(inversion)


def test_leaves_without_data_are_notes():
    inversion = inverted("- a -> b", {"a": "3", "gone": "none"}, {"b": "3", "new": "{}"})
    assert {} == lost(inversion)
    assert ["empty"] == [note.kind for note in inversion.notes]
    assert ['- "b -> a"', '- drop: "new"'] == rules_of(inversion)


def test_leaves_without_data_go_along():
    assert ['- "b/** -> a/**"'] == goes_back('- "a/** -> b/**"', {"a/x": "3", "a/y": "none", "a/z": "string"})


def test_lists_that_get_holes_are_notes():
    containers = {"layers": "list"}
    inversion = inverted("- drop: layers/0", {"layers/0": "3", "layers/1": "3"}, containers=containers)
    assert ["containers"] == [note.kind for note in inversion.notes]
    assert ("layers",) in inversion.notes[0].paths


def test_lists_stay_lists_where_their_content_moves_as_a_whole():
    plan = planned('- "layers/** -> blocks/**"', {"layers/0": "3", "layers/1": "3"}, containers={"layers": "list"})
    inversion = invert(plan)
    assert () == inversion.notes
    assert "list" == inversion.plan.target.container(("layers",))


def test_a_plan_that_does_not_apply_has_no_inverse():
    with pytest.raises(PlanError):
        invert(planned("- nothing -> b", {"a": "3"}))


# Moments

SHAPES = {f"Dense_{i}/{name}": shape for i in range(2) for name, shape in {"kernel": (3, 4), "bias": (4,)}.items()}


def test_moments_follow_on_the_way_back_as_they_did():
    source = state(optax.adam(1e-3), SHAPES)
    rules = goes_back('- {from: "params/Dense_{i}/kernel", to: "params/d/{i}/kernel", ops: [transpose]}', source)
    assert ['- {from: "params/d/{i}/kernel", to: "params/Dense_{i}/kernel", ops: [{transpose: {}}]}'] == rules


def test_moments_whose_slot_moved_are_listed():
    source = state(optax.adam(1e-3), SHAPES)
    target = state(
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)),
        {name.replace("Dense_", "layers/"): shape for name, shape in SHAPES.items()},
        params="model",
        opt_state="optimizer/opt_state",
    )
    plan = planned('- "params/Dense_{i}/** -> model/layers/{i}/**"', source, target)
    inversion, back = back_and_forth(plan, values := values_for(plan.source.tree))
    same_bits(values, back)
    assert {} == lost(inversion)
    assert "follow: off" in inversion.text
    assert [
        '- "model/layers/{i}/** -> params/Dense_{i}/**"',
        '- "optimizer/opt_state/1/0/count -> opt_state/0/count"',
        '- "optimizer/opt_state/1/0/{p:mu|nu}/layers/{i}/** -> opt_state/0/{p}/Dense_{i}/**"',
    ] == sorted(rules_of(inversion)[:3])


def test_moments_that_begin_again_are_lost():
    source = state(optax.sgd(1e-3, momentum=0.9), {"a/kernel": (3, 4)})
    target = state(optax.sgd(1e-3, momentum=0.9), {"b/kernel": (3, 4)}, params="model")
    rules = "- {from: params/a/kernel, to: model/b/kernel, moments: reset}"
    inversion = inverted(rules, source, target)
    assert {"opt_state/0/trace/a/kernel": "dropped"} == lost(inversion)
    assert {"opt_state/0/trace/b/kernel": "created"} == left(inversion)


# The file


def test_guards_and_names_change_sides():
    text = "name: lm\nsource: {model: lm, version: 1}\ntarget: {model: lm, version: 2}\nrules: [a -> b]"
    inversion = inverted(text, {"a": "3"})
    assert 'source: {model: "lm", version: 2}' in inversion.text
    assert 'target: {model: "lm", version: 1}' in inversion.text
    assert 'name: "lm-inverse"' in inversion.text


def test_the_comment_about_lost_leaves_is_a_rule_that_works_with_a_template():
    source = {"head/w": "3", "body/w": "3", "body/none": "none"}
    inversion = inverted('- drop: "head/**"\n- "body/w -> b"', source, {"b": "3"})
    text = inversion.text.replace("#   - create", "  - create")
    plan = make_plan(inversion.plan.source, parse_rules(text, "back.yaml"), Template(source))
    assert plan.applicable
    assert {("head", "w"), ("body", "none")} == {creation.target for creation in plan.created}


def test_leaves_that_no_rule_names_may_be_lost_as_well():
    text = "unmatched: {source: drop}\nrules: [a -> b]"
    inversion = inverted(text, {"a": "3", "rest": "3"}, {"b": "3"})
    assert {"rest": "dropped"} == lost(inversion)
    assert "unmatched" in inversion.lost[0].reason


def test_moments_that_did_not_follow_do_not_follow_back():
    source = state(optax.adam(1e-3), {"a/kernel": (3, 4)})
    goes_back("follow: off\nrules: [params/a/kernel -> params/b/kernel]", source)


def test_moments_stay_where_they_are_although_params_exchange_places():
    source = state(optax.adam(1e-3), {"a/kernel": (3, 4), "b/kernel": (3, 4)})
    rules = "follow: off\nrules:\n- params/a/kernel -> params/b/kernel\n- params/b/kernel -> params/a/kernel"
    assert ['- "params/b/kernel -> params/a/kernel"', '- "params/a/kernel -> params/b/kernel"'] == goes_back(
        rules, source
    )


def test_a_module_named_value_is_found_under_the_key_path_that_a_reader_gives_it():
    plan = planned("- w -> a/value", {"w": "3"}, {"a/value": "3"})
    inversion, back = back_and_forth(plan, values := values_for(plan.source.tree))
    assert ['- "a -> w"'] == rules_of(inversion)
    assert 'layout: "pure_dict"' in inversion.text
    same_bits(values, back)


def test_items_of_a_step_come_back_as_items():
    plan = planned('- "params/** -> params/model/**"', {})
    trees = {"params": tree({"a": "3"}), "opt": tree({"b": "3"})}
    source = replace(plan.source, items=trees)
    inversion = invert(make_plan(source, plan.rules, None))
    assert 'target: {layout: "items"}' in inversion.text
    assert () == inversion.notes


def test_json_items_that_are_dropped_are_lost():
    plan = planned("- drop: metrics\n- a -> b", {"a": "3"}, extras={"metrics": {}, "kept": {}})
    assert {"metrics": "dropped"} == lost(invert(plan))
