"""Ops on moments: the same as on their params, or refused with the reason; also covers `adafactor` and its algebra."""

import jax
import optax
import pytest

from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from tests.planning.optimizer_trees import state
from tests.planning.trees import Template, checkpoint, codes, moves, planned


def layers(count, path="l_{}/w", shape=(2,)):
    return {path.format(i): shape for i in range(count)}


STACK = '- {from: "params/l_{i}/w", to: model/w, ops: [{stack: {axis: 0, over: i}}]}\n'


def target(tx, shapes):
    return state(tx, shapes, params="model", opt_state="optimizer/opt_state")


def without(tree, *masked):
    """Returns the tree with `none` at these key paths, where a masked optimizer keeps no moments."""
    return {path: "none" if path in masked else text for path, text in tree.items()}


ADAM = optax.adam(1e-3)


def test_a_group_of_which_some_members_are_masked_is_refused_and_names_them():
    source = without(state(ADAM, layers(3)), "opt_state/0/mu/l_2/w")
    plan = planned(STACK, source, target(ADAM, {"w": (3, 2)}))
    assert ["M210"] == codes(plan)
    message = plan.diagnostics[0].message
    assert "`model/w` combines 3 params, but the slot has no moment of `params/l_2/w`" in message


def test_a_group_that_is_masked_as_a_whole_follows_nowhere():
    masked = optax.masked(ADAM, lambda params: jax.tree.map(lambda leaf: leaf.ndim > 2, params))
    plan = planned(STACK, state(masked, layers(3)), target(masked, {"w": (3, 2)}))
    assert [] == codes(plan)


def test_a_moment_for_which_the_masked_target_has_no_place_is_refused():
    wanted = without(target(ADAM, {"fc/a": (2,), "fc/b": (2,)}), "optimizer/opt_state/0/mu/fc/b")
    plan = planned('- "params/dense/** -> model/fc/**"\n', state(ADAM, {"dense/a": (2,), "dense/b": (2,)}), wanted)
    assert ["M210"] == codes(plan)
    (finding,) = plan.diagnostics
    assert "`opt_state/0/mu/dense/b` has no place in the target" in finding.message
    assert '`- drop: "opt_state/0/mu/dense/b"` leaves it behind' == finding.help


def test_a_place_for_which_the_masked_source_has_no_moment_is_missing():
    source = without(state(ADAM, {"dense/a": (2,), "dense/b": (2,)}), "opt_state/0/mu/dense/b")
    plan = planned('- "params/dense/** -> model/fc/**"\n', source, target(ADAM, {"fc/a": (2,), "fc/b": (2,)}))
    assert ["M204"] == codes(plan)
    assert (("optimizer", "opt_state", "0", "mu", "fc", "b"),) == plan.missing


def test_what_is_wrong_with_a_param_is_not_said_again_for_each_of_its_moments():
    rules = "- {from: params/w, to: model/w, ops: [{transpose: [0, 1, 2]}]}\n"
    plan = planned(rules, state(ADAM, {"w": (2, 3)}), target(ADAM, {"w": (2, 3)}))
    assert ["M303"] == codes(plan)


def test_a_param_without_a_place_is_not_said_again_for_each_of_its_moments():
    plan = planned('- "params/v -> model/u"\n', state(ADAM, {"v": (2,), "w": (2,)}), target(ADAM, {"w": (2,)}))
    assert 1 == codes(plan).count("M206")
    assert "M210" not in codes(plan)


@pytest.mark.parametrize("op", ["scale: 2.0", "call: 'a:b'"])
def test_ops_that_make_new_numbers_are_refused_unless_reset(op):
    shapes = {"w": (2, 3)}
    rules = f"- {{from: params/w, to: model/w, ops: [{{{op}}}]}}\n"
    refused = planned(rules, state(ADAM, {"w": (2, 3)}), target(ADAM, shapes))
    assert {"M210"} == {*codes(refused)}
    reason = "multiplies the gradients by 0.5" if "scale" in op else "has no exact equivalent for moments"
    assert reason in refused.diagnostics[0].message
    anew = planned(rules.replace("]}\n", "], moments: reset}\n"), state(ADAM, {"w": (2, 3)}), target(ADAM, shapes))
    assert [] == codes(anew)
    assert ["template"] * 3 == [c.init.kind for c in anew.created if c.init]


def computed(op, tx, fields="", params=None):
    """The values of `scale` and `add` by the first segments of the targets, of an applicable plan."""
    rules = f"- {{from: params/w, to: model/w, ops: [{op}]{fields}}}\n"
    plan = planned(rules, state(tx, {"w": (2, 3)}) | (params or {}), target(tx, {"w": (2, 3)}) | (params or {}))
    assert [] == codes(plan)
    ops = {"/".join(task.targets[0]): [op for step in task.steps for op in step.ops] for task in plan.tasks}
    return {path: [getattr(op, "by", None) or op.value for op in found] for path, found in ops.items() if found}


@pytest.mark.parametrize("tx", [optax.adam(1e-3), optax.sgd(1e-3, momentum=0.9), optax.adagrad(1e-3)])
def test_moments_do_not_change_where_a_number_is_added(tx):
    assert {"model/w": [1]} == computed("{add: 1}", tx)


def test_moments_are_scaled_as_their_power_of_the_gradients_where_the_rule_wants_it():
    found = computed('{scale: "1/sqrt(16)"}', optax.adam(1e-3), ", moments: follow")

    assert {"1/sqrt(16)"} == {*found.pop("model/w")}
    assert {"mu": [4.0], "nu": [16.0]} == {path.split("/")[3]: values for path, values in found.items()}


def test_a_copy_of_the_params_is_computed_as_they_are():
    assert {"model/w": [0.3, 1], "ema_params/w": [0.3, 1]} == computed(
        "{scale: 0.3}, {add: 1}", optax.identity(), "", {"ema_params/w": "2,3"}
    )


def test_moments_of_an_unknown_power_are_not_scaled():
    rules = "- {from: params/w, to: model/w, ops: [{scale: 0.25}], moments: follow}\n"
    plan = planned(rules, state(optax.ema(0.9), {"w": (2, 3)}), target(optax.ema(0.9), {"w": (2, 3)}))

    assert {"M210"} == {*codes(plan)}
    assert "multiplies the gradients by 4, so that updates have another effect" in plan.diagnostics[0].message


PAD = "- {from: params/w, to: model/w, ops: [{pad: {widths: [[0, 1], [0, 0]], value: 7}}]}\n"
TILE = "- {from: params/w, to: model/w, ops: [{tile: [2, 1]}]}\n"


def padded(tx, rules=PAD):
    return planned(rules, state(tx, {"w": (2, 3)}), target(tx, {"w": (3, 3)}))


@pytest.mark.parametrize("name", ["adam", "sgd", "lion", "amsgrad", "rmsprop"])
def test_moments_of_padded_params_are_padded_with_zeros(name):
    tx = optax.sgd(1e-3, momentum=0.9) if name == "sgd" else getattr(optax, name)(1e-3)
    plan = padded(tx)
    assert [] == codes(plan)
    values = {task.targets[0][0]: task.steps[0].op.value for task in plan.tasks if task.steps}
    assert {"model": 7, "optimizer": 0} == values


@pytest.mark.parametrize(("name", "reason"), [("adagrad", "0.1 by default"), ("lamb", "by the tensor's own norm")])
def test_a_pad_without_an_exact_equivalent_is_refused_with_the_reason(name, reason):
    tx = getattr(optax, name)(1e-3)
    template = Template(target(tx, {"w": (3, 3)}))
    template.transforms = frozenset({name})
    text = f"migrate: 1\nrules:\n{PAD}"
    plan = make_plan(checkpoint(state(tx, {"w": (2, 3)})), parse_rules(text, "rules.yaml"), template)
    assert {"M210"} == {*codes(plan)}
    assert reason in plan.diagnostics[0].message


def test_an_ema_of_padded_params_is_padded_like_the_params():
    source = {"params/w": "2,3", "ema_params/w": "2,3"}
    plan = planned(PAD, source, {"model/w": "3,3", "ema_params/w": "3,3"})
    assert [] == codes(plan)
    assert {7} == {task.steps[0].op.value for task in plan.tasks}


def test_copies_get_the_moments_of_their_original_only_where_the_rule_says_so():
    def tiled(rules):
        return planned(rules, state(ADAM, {"w": (2, 3)}), target(ADAM, {"w": (4, 3)}))

    refused = tiled(TILE)
    assert {"M210"} == {*codes(refused)}
    assert "with the moments of its original (`moments: follow`)" in refused.diagnostics[0].message
    plan = tiled(TILE.replace("]}]}", "]}], moments: follow}"))
    assert [] == codes(plan)
    assert 3 == sum(step.op.name == "tile" for task in plan.tasks for step in task.steps)


def test_a_slice_of_a_param_is_a_slice_of_its_moments():
    rules = "- {from: params/w, to: model/w, ops: [{slice: {axis: 0, stop: 1}}]}\n"
    plan = planned(rules, state(ADAM, {"w": (2, 3)}), target(ADAM, {"w": (1, 3)}))
    assert [] == codes(plan)
    assert 3 == sum(step.op.name == "slice" for task in plan.tasks for step in task.steps)


def dtypes(plan):
    return {"/".join(t.targets[0]): t.out_avals[0].dtype for t in plan.tasks if t.targets[0][-1] == "w"}


def test_a_cast_of_a_param_is_a_cast_of_its_moments_only_where_the_template_says_so():
    rules = "- {from: params/w, to: model/w, ops: [{cast: bfloat16}]}\n"
    wanted = target(ADAM, {"w": (2,)})
    kept = planned(rules, state(ADAM, {"w": (2,)}), wanted | {"model/w": "bfloat16:2"})
    assert [] == codes(kept)
    slots = [f"optimizer/opt_state/0/{name}/w" for name in ("mu", "nu")]
    assert {"model/w": "bfloat16"} | dict.fromkeys(slots, "float32") == dtypes(kept)
    assert ["cast"] == [step.op.name for task in kept.tasks for step in task.steps]
    half = planned(rules, state(ADAM, {"w": (2,)}), wanted | dict.fromkeys(["model/w", slots[0]], "bfloat16:2"))
    assert [] == codes(half)
    assert {"model/w": "bfloat16", slots[0]: "bfloat16", slots[1]: "float32"} == dtypes(half)


def test_without_a_template_moments_keep_their_dtype():
    plan = planned("- {from: params/w, to: params/w, ops: [{cast: bfloat16}]}\n", state(ADAM, {"w": (2,)}))
    assert [] == codes(plan)
    assert {"float32"} == {dtype for path, dtype in dtypes(plan).items() if path.startswith("opt_state")}


def test_a_moment_of_another_dtype_than_its_param_follows_ops():
    mixed = optax.adam(1e-3, mu_dtype="bfloat16")
    plan = planned(STACK, state(mixed, layers(2)), target(mixed, {"w": (2, 2)}))
    assert [] == codes(plan)
    assert "bfloat16" == dtypes(plan)["optimizer/opt_state/0/mu/w"]


def test_another_dtype_of_a_moment_is_an_error_until_a_rule_says_cast():
    mixed = target(optax.adam(1e-3, mu_dtype="bfloat16"), {"w": (2,)})
    plain = planned('- "params/v -> model/w"\n', state(ADAM, {"v": (2,)}), mixed)
    assert ["M302"] == codes(plain)
    cast = planned("- {from: params/v, to: model/w, ops: [{cast: template}]}\n", state(ADAM, {"v": (2,)}), mixed)
    assert [] == codes(cast)
    assert {"float32"} == {c.dtype for t in cast.tasks if t.targets == (("model", "w"),) for c in t.out_avals}


FACTORED = optax.adafactor(1e-3, min_dim_size_to_factor=2)


def transposed(source, wanted, perm="transpose"):
    rules = f"- {{from: params/w, to: model/w, ops: [{perm}]}}\n"
    return planned(rules, state(FACTORED, {"w": source}), target(FACTORED, {"w": wanted}))


def slots_of(plan):
    return {
        t.sources[0][2]: (t.targets[0][3], [s.op.name for s in t.steps]) for t in plan.tasks if t.state and t.follows
    }


@pytest.mark.parametrize(
    ("source", "wanted", "expected"),
    [
        ((4, 6), (6, 4), {"v_row": ("v_row", []), "v_col": ("v_col", [])}),
        ((5, 5), (5, 5), {"v_row": ("v_col", []), "v_col": ("v_row", [])}),
        ((2, 4, 6), (6, 4, 2), {"v_row": ("v_row", ["transpose"]), "v_col": ("v_col", ["transpose"])}),
        ((4, 2, 4), (4, 2, 4), {"v_row": ("v_col", ["transpose"]), "v_col": ("v_row", ["transpose"])}),
    ],
)
def test_rows_and_columns_follow_a_transpose(source, wanted, expected):
    plan = transposed(source, wanted)
    assert [] == codes(plan)
    assert expected == slots_of(plan)
    assert ["zeros"] == [c.init.kind for c in plan.created if c.init]
    (placeholder,) = [d for d in plan.dropped if d.leaf.has_data]
    assert placeholder.assert_zero


def test_axes_that_are_too_alike_to_tell_rows_from_columns_are_refused():
    plan = transposed((4, 4, 4), (4, 4, 4), "{transpose: [1, 2, 0]}")
    assert ["M210"] == codes(plan)


def test_a_rearrangement_that_only_permutes_is_a_transpose():
    plan = transposed((2, 4, 6), (4, 6, 2), '{rearrange: "a b c -> b c a"}')
    assert [] == codes(plan)


def test_a_rearrangement_that_mixes_an_axis_has_no_meaning_for_rows_and_columns():
    plan = transposed((4, 6), (4, 6), '{rearrange: {pattern: "(a b) c -> (b a) c", sizes: {a: 2}}}')
    assert ["M210"] == codes(plan)
    assert "follow only a transpose" in plan.diagnostics[0].message


@pytest.mark.parametrize("op", ["{reshape: [2, 2, 6]}", "flip: {axis: 0}", "expand_dims: {axis: 0}"])
def test_nothing_else_has_a_meaning_for_rows_and_columns(op):
    op = op if op.startswith("{") else f"{{{op}}}"
    wanted = {"{r": (2, 2, 6), "{f": (4, 6), "{e": (1, 4, 6)}[op[:2]]
    plan = transposed((4, 6), wanted, op)
    assert ["M210"] == codes(plan)
    assert "follow only a transpose" in plan.diagnostics[0].message


def test_of_a_short_param_adafactor_keeps_the_whole_moment_which_follows():
    rules = "- {from: params/w, to: model/w, ops: [{expand_dims: {axis: 0}}]}\n"
    plan = planned(rules, state(FACTORED, {"w": (6,)}), target(FACTORED, {"w": (1, 6)}))
    assert [] == codes(plan)
    assert {"v": ("v", ["expand_dims"])} == slots_of(plan)
    assert 2 == sum(1 for c in plan.created if c.init and c.init.kind == "zeros")


def test_a_whole_moment_does_not_become_rows_and_columns():
    plan = transposed((6,), (2, 3), "{reshape: [2, 3]}")
    assert ["M210"] == codes(plan)
    assert "the new shape is factored" in plan.diagnostics[0].message


def test_reset_starts_rows_and_columns_anew():
    rules = "- {from: params/w, to: model/w, ops: [{reshape: [2, 2, 6]}], moments: reset}\n"
    plan = planned(rules, state(FACTORED, {"w": (4, 6)}), target(FACTORED, {"w": (2, 2, 6)}))
    assert [] == codes(plan)
    assert {"count", "v", "v_row", "v_col"} == {c.target[3] for c in plan.created if c.init}


def knowing(transforms, rules, source, wanted):
    template = Template(wanted)
    template.transforms = transforms
    return make_plan(checkpoint(source), parse_rules("migrate: 1\nrules:\n" + rules, "rules.yaml"), template)


@pytest.mark.parametrize("op", ["{reshape: [2, -1]}", "{squeeze: {axis: 2}}"])
def test_an_op_that_leaves_every_axis_in_its_place_is_no_transpose_of_another_shape(op):
    """The sizes by which axes are told apart are not the array's own."""
    source, wanted = ((4, 6), (2, 12)) if "reshape" in op else ((4, 6, 1), (4, 6))
    plan = transposed(source, wanted, op)
    assert ["M210"] == codes(plan)


LAMB = frozenset({"chain", "scale_by_adam", "scale_by_trust_ratio"})
FOLLOWED = STACK.replace("}]}\n", "}], moments: follow}\n")


def stacked(transforms, rules=STACK):
    return knowing(transforms, rules, state(ADAM, layers(2)), target(ADAM, {"w": (2, 2)}))


def test_an_optimizer_that_scales_by_norms_refuses_to_join_tensors():
    plan = stacked(LAMB)
    assert ["M210", "M210"] == codes(plan)
    assert "lamb and lars scale the update of each tensor by the tensor's own norm" in plan.diagnostics[0].message


RECUTS = {
    "slice: {axis: 0, stop: 2}": (["w"], {"w": (2, 4)}),
    "crop: [[0, 2], [1, 3]]": (["w"], {"w": (2, 2)}),
    "split: {axis: 1}": (["w", "v"], {"w": (3, 2), "v": (3, 2)}),
    "unstack: {axis: 0}": (["w", "v", "u"], {"w": (4,), "v": (4,), "u": (4,)}),
    "concat: {axis: 0}": (["w"], {"w": (3, 4)}),
    "stack: {axis: 0}": (["w"], {"w": (1, 3, 4)}),
}


@pytest.mark.parametrize("op", RECUTS)
def test_an_optimizer_that_scales_by_norms_refuses_every_op_that_makes_other_tensors(op):
    names, wanted = RECUTS[op]
    targets = ", ".join(f"model/{name}" for name in names)
    rules = f"- {{from: params/w, to: [{targets}], ops: [{{{op}}}]}}\n"
    plan = knowing(LAMB, rules, state(ADAM, {"w": (3, 4)}), target(ADAM, wanted))
    assert {"M210"} == {*codes(plan)}
    assert f"after `{op.split(':')[0]}` they would train differently" in plan.diagnostics[0].message
    assert [] == codes(knowing(frozenset({"scale_by_adam"}), rules, state(ADAM, {"w": (3, 4)}), target(ADAM, wanted)))


def test_follow_said_outright_carries_moments_over_all_the_same():
    plan = stacked(LAMB, FOLLOWED)
    assert [] == codes(plan)
    assert ("optimizer/opt_state/0/mu/w",) == moves(plan)[("opt_state/0/mu/l_0/w", "opt_state/0/mu/l_1/w")]


def test_reset_needs_no_exact_answer():
    assert [] == codes(stacked(LAMB, STACK.replace("}]}\n", "}], moments: reset}\n")))


def test_it_allows_what_leaves_tensors_whole():
    rules = "- {from: params/w, to: model/w, ops: [transpose]}\n"
    assert [] == codes(knowing(LAMB, rules, state(ADAM, {"w": (2, 3)}), target(ADAM, {"w": (3, 2)})))


def test_where_nothing_tells_adam_from_lamb_a_note_says_so_once():
    plan = stacked(None)
    assert plan.applicable
    assert ["M212"] == codes(plan)
    assert [] == codes(stacked(None, FOLLOWED))
    assert [] == codes(stacked(frozenset({"scale_by_adam"})))


def test_rules_that_cut_nothing_need_no_note():
    plan = knowing(None, '- "params/v -> model/w"\n', state(ADAM, {"v": (2,)}), target(ADAM, {"w": (2,)}))
    assert [] == codes(plan)


def test_one_number_for_a_tensor_moves_along_where_the_tensor_stays_whole():
    novograd = optax.novograd(1e-3)
    rules = "- {from: params/w, to: model/w, ops: [transpose]}\n"
    plan = planned(rules, state(novograd, {"w": (2, 3)}), target(novograd, {"w": (3, 2)}))
    assert [] == codes(plan)
    assert {"mu": ("mu", ["transpose"]), "nu": ("nu", [])} == slots_of(plan)


def test_a_stack_of_moments_that_are_no_tensors_is_refused():
    lbfgs = optax.lbfgs()
    plan = planned(STACK, state(lbfgs, layers(2)), target(lbfgs, {"w": (2, 2)}))
    assert {"M210"} == {*codes(plan)}
    assert "has another shape, so that ops cannot apply to it" in plan.diagnostics[0].message


def test_muon_follows_names_alone():
    muon = optax.contrib.muon(1e-3)
    rename = planned('- "params/v -> model/w"\n', state(muon, {"v": (2, 3)}), target(muon, {"w": (2, 3)}))
    assert [] == codes(rename)
    rules = "- {from: params/w, to: model/w, ops: [transpose]}\n"
    turned = planned(rules, state(muon, {"w": (2, 3)}), target(muon, {"w": (3, 2)}))
    assert ["M210"] == codes(turned)
    assert "muon orthogonalizes each tensor as one matrix" in turned.diagnostics[0].message


def test_created_params_get_the_moments_of_a_new_optimizer_in_every_slot():
    factored = optax.adafactor(1e-3, min_dim_size_to_factor=2, momentum=0.9)
    rules = '- "params/v -> model/w"\n- create: {to: model/head, init: zeros}\n'
    plan = planned(rules, state(factored, {"v": (2, 3)}), target(factored, {"w": (2, 3), "head": (2, 3)}))
    assert [] == codes(plan)
    made = {"/".join(c.target[2:]): c.init.kind for c in plan.created if c.init and c.target[0] == "optimizer"}
    assert {f"{slot}/head": "template" for slot in ("0/v", "0/v_row", "0/v_col", "4/ema")} == made


def test_a_task_names_the_transform_that_it_belongs_to():
    plan = planned('- "params/v -> model/w"\n', state(ADAM, {"v": (2,)}), target(ADAM, {"w": (2,)}))
    named = {t.sources[0][2]: t.state for t in plan.tasks if t.sources[0][0] == "opt_state"}
    assert dict.fromkeys(("count", "mu", "nu"), "scale_by_adam") == named


TIE = "- {from: params/emb, to: [model/emb, model/head]}\n"


def test_params_that_were_one_do_not_know_their_own_moments():
    tied = state(ADAM, {"emb": (2, 3)}), target(ADAM, {"emb": (2, 3), "head": (2, 3)})
    plan = planned(TIE, *tied)
    assert ["M210", "M210"] == codes(plan)
    assert "`model/emb` and `model/head` were one param" in plan.diagnostics[0].message
    both = planned(TIE.replace("}\n", ", moments: follow}\n"), *tied)
    assert [] == codes(both)
    paths = tuple(f"optimizer/opt_state/0/mu/{name}" for name in ("emb", "head"))
    assert paths == moves(both)[("opt_state/0/mu/emb",)]
    assert [] == codes(planned(TIE.replace("}\n", ", moments: reset}\n"), *tied))


def test_a_copy_of_the_params_beside_the_optimizer_is_no_business_of_lambs():
    source = state(ADAM, layers(2)) | {f"ema_params/l_{i}/w": "2" for i in range(2)}
    wanted = target(ADAM, {"w": (2, 2)}) | {"ema_params/w": "2,2"}
    plan = knowing(LAMB, STACK, source, wanted)
    assert 2 == codes(plan).count("M210")
    assert ("ema_params/w",) == moves(plan)[("ema_params/l_0/w", "ema_params/l_1/w")]


def l_names(count):
    return dict.fromkeys([f"l_{i}/w" for i in range(count)], (2,))


def test_moments_without_a_place_are_one_finding_for_each_slot():
    masked = [f"optimizer/opt_state/0/mu/l_{i}/w" for i in range(1, 4)]
    plan = planned(
        '- "params/l_{i}/w -> model/l_{i}/w"', state(ADAM, l_names(4)), without(target(ADAM, l_names(4)), *masked)
    )
    assert ["M210"] == codes(plan)
    (finding,) = plan.diagnostics
    assert "`opt_state/0/mu/l_1/w` and 2 more have no place in the target" in finding.message
    assert 3 == len(finding.paths)


def test_a_slot_that_the_target_does_not_have_is_one_finding():
    masked = [f"optimizer/opt_state/0/mu/l_{i}/w" for i in range(3)]
    plan = planned(
        '- "params/l_{i}/w -> model/l_{i}/w"', state(ADAM, l_names(3)), without(target(ADAM, l_names(3)), *masked)
    )
    assert ["M210"] == codes(plan)
    (finding,) = plan.diagnostics
    assert "`scale_by_adam` in `optimizer/opt_state/0` has no `mu`" in finding.message
    assert '`- drop: "opt_state/0/mu/**"` leaves them behind' == finding.help
