"""Optimizer states are found by their properties: a shifted index loses no moment."""

import jax
import optax
import pytest

from migrate.planning.moments.slots import source_slots
from migrate.planning.moments.states import find_states
from tests.planning.optimizer_trees import state
from tests.planning.trees import codes, moves, planned, tree

SHAPES = {"dense/kernel": (4, 6), "dense/bias": (6,)}
NEW = {"fc/kernel": (4, 6), "fc/bias": (6,)}
RENAME = '- "params/dense/** -> model/fc/**"\n'
SCHEDULE = optax.linear_schedule(1.0, 0.0, 9)


def kernels(params):
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def labelled(**transforms):
    return optax.multi_transform(
        transforms, lambda params: jax.tree.map(lambda leaf: "a" if leaf.ndim > 1 else "b", params)
    )


def target(tx, shapes=NEW):
    return state(tx, shapes, params="model", opt_state="optimizer/opt_state")


def plan_of(old, new, rules=RENAME, source=SHAPES, shapes=NEW):
    return planned(rules, state(old, source), target(new, shapes))


def pairs(plan):
    return {one[0]: other[0] for one, other in moves(plan).items() if one[0].startswith("opt_state")}


ADAMW = optax.adamw(SCHEDULE)
SHIFTED = {
    "nothing": (ADAMW, ADAMW, "0", "0"),
    "a clip in front": (ADAMW, optax.chain(optax.clip_by_global_norm(1.0), ADAMW), "0", "1/0"),
    "a clip gone": (optax.chain(optax.clip(1.0), ADAMW), ADAMW, "1/0", "0"),
    "a chain in a chain": (ADAMW, optax.chain(optax.chain(optax.clip(1.0), ADAMW)), "0", "0/1/0"),
    "a wrapper around it": (ADAMW, optax.masked(ADAMW, True), "0", "inner_state/0"),
    "names for indices": (ADAMW, optax.named_chain(("clip", optax.clip(1.0)), ("adamw", ADAMW)), "0", "adamw/0"),
    "a finite-check around it": (
        optax.apply_if_finite(ADAMW, 3),
        optax.apply_if_finite(optax.chain(optax.clip(1.0), ADAMW), 3),
        "inner_state/0",
        "inner_state/1/0",
    ),
}


@pytest.mark.parametrize("name", SHIFTED)
def test_a_chain_that_changed_around_a_state_is_a_shift(name):
    old, new, one, other = SHIFTED[name]
    plan = plan_of(old, new)
    assert [] == codes(plan)
    found = pairs(plan)
    for field in ("count", "mu", "nu"):
        end = "" if field == "count" else "/dense/kernel"
        renamed = end.replace("dense", "fc")
        assert f"optimizer/opt_state/{other}/{field}{renamed}" == found[f"opt_state/{one}/{field}{end}"]


def test_every_leaf_of_a_shifted_chain_has_one_place():
    source, wanted = state(ADAMW, SHAPES), target(optax.chain(optax.clip(1.0), ADAMW))
    plan = planned(RENAME, source, wanted)
    data = [path for path, text in source.items() if text not in ("none", "{}")]
    assert sorted(data) == sorted(one for sources in moves(plan) for one in sources)
    written = [path for path, text in wanted.items() if text not in ("none", "{}")]
    assert sorted(written) == sorted(path for paths in moves(plan).values() for path in paths)


def test_a_shift_needs_no_rule_at_all():
    chained = optax.chain(optax.clip(1.0), ADAMW)
    plan = planned("", state(ADAMW, SHAPES), state(chained, SHAPES))
    assert [] == codes(plan)
    assert ("opt_state/1/0/mu/dense/kernel",) == moves(plan)[("opt_state/0/mu/dense/kernel",)]
    assert ("opt_state/1/2/count",) == moves(plan)[("opt_state/2/count",)]


def test_counts_go_with_their_transform_and_not_with_their_index():
    old = optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(SCHEDULE))
    new = optax.chain(optax.scale_by_schedule(SCHEDULE), optax.scale_by_adam())
    plan = planned("", state(old, SHAPES), state(new, SHAPES))
    assert [] == codes(plan)
    assert ("opt_state/1/count",) == moves(plan)[("opt_state/0/count",)]
    assert ("opt_state/0/count",) == moves(plan)[("opt_state/1/count",)]


def test_two_of_a_kind_keep_their_order():
    twice = optax.chain(optax.ema(0.9), optax.clip(1.0), optax.ema(0.5))
    plan = plan_of(twice, optax.chain(optax.clip(1.0), twice))
    assert [] == codes(plan)
    assert "optimizer/opt_state/1/0/ema/fc/bias" == pairs(plan)["opt_state/0/ema/dense/bias"]
    assert "optimizer/opt_state/1/2/count" == pairs(plan)["opt_state/2/count"]


def test_two_of_a_kind_are_told_apart_by_what_stands_between_them():
    old = optax.chain(optax.ema(0.9), optax.scale_by_adam(), optax.ema(0.5))
    plan = plan_of(old, optax.chain(optax.scale_by_adam(), optax.ema(0.5)), RENAME + '- drop: "opt_state/0/**"\n')
    assert [] == codes(plan)
    assert "optimizer/opt_state/1/ema/fc/bias" == pairs(plan)["opt_state/2/ema/dense/bias"]


def test_one_that_might_be_two_is_refused_with_both_places_and_a_rule():
    twice = optax.chain(optax.ema(0.9), optax.ema(0.5))
    plan = plan_of(optax.chain(optax.ema(0.9)), twice)
    assert ["M210"] == codes(plan)
    (finding,) = plan.diagnostics
    assert "`ema` in `opt_state/0` has several possible places" in finding.message
    assert "`optimizer/opt_state/0`, `optimizer/opt_state/1`" in finding.message
    assert '`- "opt_state/0/ema/dense/bias -> optimizer/opt_state/0/ema/fc/bias"`' in finding.help


def test_a_rule_for_one_leaf_decides_for_the_state():
    twice = optax.chain(optax.ema(0.9), optax.ema(0.5))
    rules = RENAME + (
        '- "opt_state/0/count -> optimizer/opt_state/1/count"\n'
        '- create: {to: "optimizer/opt_state/0/**", init: template}\n'
    )
    plan = plan_of(optax.chain(optax.ema(0.9)), twice, rules)
    assert [] == codes(plan)
    assert "optimizer/opt_state/1/ema/fc/bias" == pairs(plan)["opt_state/0/ema/dense/bias"]


def test_labels_decide_between_states_of_a_kind():
    both = labelled(a=optax.adam(1e-3), b=optax.adam(1e-4))
    plan = plan_of(both, both)
    assert [] == codes(plan)
    inner = "inner_states/{0}/inner_state/0/count"
    for label in "ab":
        assert f"optimizer/opt_state/{inner.format(label)}" == pairs(plan)[f"opt_state/{inner.format(label)}"]


def test_a_group_without_params_is_still_the_same_transform():
    both = labelled(a=optax.adam(1e-3), b=optax.adamw(1e-4))
    plan = plan_of(both, both, source={"dense/kernel": (4, 6)}, shapes={"fc/kernel": (4, 6)})
    assert [] == codes(plan)
    path = "inner_states/b/inner_state/0/count"
    assert f"optimizer/opt_state/{path}" == pairs(plan)[f"opt_state/{path}"]


def test_a_transform_that_is_new_is_missing_and_the_rule_that_creates_it_is_named():
    plan = plan_of(optax.adam(1e-3), optax.chain(optax.adam(SCHEDULE), optax.ema(0.9)))
    assert ["M204", "M204"] == codes(plan)
    assert [
        '`- create: {to: "optimizer/opt_state/0/1/**", init: template}` starts it as the optimizer does',
        '`- create: {to: "optimizer/opt_state/1/**", init: template}` starts it as the optimizer does',
    ] == [finding.help for finding in plan.diagnostics]
    assert "`scale_by_schedule` in `optimizer/opt_state/0/1`" in plan.diagnostics[0].message
    assert 4 == len(plan.missing)


def test_the_rule_that_is_named_works():
    rules = RENAME + '- create: {to: ["optimizer/opt_state/0/1/**", "optimizer/opt_state/1/**"], init: template}\n'
    assert [] == codes(plan_of(optax.adam(1e-3), optax.chain(optax.adam(SCHEDULE), optax.ema(0.9)), rules))


def test_a_new_wrapper_is_created_without_what_it_wraps():
    plan = plan_of(optax.adam(1e-3), optax.inject_hyperparams(optax.adam)(learning_rate=1e-3))
    assert ["M204"] == codes(plan)
    (finding,) = plan.diagnostics
    rule = '- create: {to: ["optimizer/opt_state/count", "optimizer/opt_state/hyperparams/**"], init: template}'
    assert f"`{rule}` starts it as the optimizer does" == finding.help
    assert [] == codes(plan_of(optax.adam(1e-3), optax.inject_hyperparams(optax.adam)(1e-3), RENAME + rule + "\n"))


def test_a_transform_that_is_gone_is_left_over_and_the_rule_that_drops_it_is_named():
    plan = plan_of(optax.chain(optax.adam(1e-3), optax.ema(0.9)), optax.adam(1e-3))
    assert ["M205"] == codes(plan)
    (finding,) = plan.diagnostics
    assert "the target has no counterpart of `ema` in `opt_state/1`" in finding.message
    assert '`- drop: "opt_state/1/**"` leaves it behind' == finding.help


def test_an_optimizer_that_is_gone_is_one_finding():
    rules = RENAME
    plan = planned(rules, state(ADAMW, SHAPES), {path: text for path, text in target(ADAMW).items() if "model" in path})
    assert ["M205"] == codes(plan)
    assert '`- drop: "opt_state/**"` leaves it behind' == plan.diagnostics[0].help


def test_another_optimizer_never_takes_what_lies_at_its_key_paths():
    plan = planned("", state(optax.adam(1e-3), SHAPES), state(optax.lion(1e-3), SHAPES))
    assert {"M204", "M205"} == {*codes(plan)}
    assert [] == [task for task in plan.tasks if task.sources[0][0] == "opt_state" and task.in_avals[0]]


def test_an_optimizer_without_moments_keeps_its_count():
    plan = plan_of(optax.sgd(SCHEDULE), optax.chain(optax.clip(1.0), optax.sgd(SCHEDULE)))
    assert [] == codes(plan)
    assert {"opt_state/1/count": "optimizer/opt_state/1/1/count"} == pairs(plan)


WRAPPERS = {
    "MultiSteps": optax.MultiSteps(optax.adam(SCHEDULE), 2),
    "masked": optax.masked(optax.adam(SCHEDULE), kernels),
    "multi_transform": labelled(a=optax.adam(1e-3), b=optax.sgd(0.1, momentum=0.9)),
    "inject_hyperparams": optax.inject_hyperparams(optax.adamw)(learning_rate=SCHEDULE),
    "named_chain": optax.named_chain(("x", optax.adam(1e-3)), ("y", optax.ema(0.9))),
    "apply_if_finite": optax.apply_if_finite(optax.adam(1e-3), 3),
    "schedule_free": optax.contrib.schedule_free_adamw(1e-3),
    "prodigy": optax.contrib.prodigy(),
    "amsgrad": optax.amsgrad(1e-3),
    "adadelta": optax.adadelta(1e-3),
    "adan": optax.adan(1e-3),
    "adafactor": optax.adafactor(1e-3, momentum=0.9, min_dim_size_to_factor=2),
    "lbfgs": optax.lbfgs(),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_everything_of_an_optimizer_moves_with_its_renamed_params(name):
    plan = plan_of(WRAPPERS[name], WRAPPERS[name])
    assert [] == codes(plan)
    renamed = {path.replace("/dense/", "/fc/"): path for path in state(WRAPPERS[name], SHAPES)}
    for path, text in target(WRAPPERS[name]).items():
        if path.startswith("optimizer") and text not in ("none", "{}"):
            assert path == pairs(plan)[renamed[path.removeprefix("optimizer/")]]


def test_the_optimizer_of_old_nnx_with_its_model_inside_becomes_one_without():
    source = state(optax.adam(1e-3), SHAPES, params="model")
    wanted = state(optax.adam(1e-3), NEW, params="model", opt_state="optimizer/opt_state")
    plan = planned('- "model/dense/** -> model/fc/**"\n', source, wanted)
    assert [] == codes(plan)
    assert "optimizer/opt_state/0/nu/fc/bias" == pairs(plan)["opt_state/0/nu/dense/bias"]


def test_params_below_params_are_the_params():
    source = state(optax.adam(1e-3), {f"params/{path}": shape for path, shape in SHAPES.items()})
    plan = planned('- "params/params/dense/** -> model/fc/**"\n', source, target(optax.adam(1e-3)))
    assert [] == codes(plan)
    assert "optimizer/opt_state/0/mu/fc/bias" == pairs(plan)["opt_state/0/mu/params/dense/bias"]


def test_an_ema_of_the_params_beside_the_optimizer_follows():
    source = state(optax.adam(1e-3), SHAPES)
    copy = {path.replace("params", "ema_params", 1): text for path, text in source.items() if path[0] == "p"}
    wanted = target(optax.adam(1e-3))
    ema = {path.replace("model", "ema_params", 1): text for path, text in wanted.items() if path[0] == "m"}
    plan = planned(RENAME, source | copy, wanted | ema)
    assert [] == codes(plan)
    assert ("ema_params/fc/bias",) == moves(plan)[("ema_params/dense/bias",)]


def test_two_optimizers_follow_their_own_params():
    source, wanted = {}, {}
    for name, tx in (("g", optax.adam(1e-3)), ("d", optax.adam(1e-4))):
        source |= {f"{name}/{path}": text for path, text in state(tx, SHAPES).items()}
        wanted |= {f"{name}/{path}": text for path, text in state(tx, NEW).items()}
    plan = planned('- "{n:g|d}/params/dense/** -> {n}/params/fc/**"\n', source, wanted)
    assert [] == codes(plan)
    for name in "gd":
        assert (f"{name}/opt_state/0/mu/fc/bias",) == moves(plan)[(f"{name}/opt_state/0/mu/dense/bias",)]


def test_a_rule_for_one_of_two_optimizers_leaves_the_other_alone():
    source = {f"{n}/{path}": text for n in "gd" for path, text in state(optax.adam(1e-3), SHAPES).items()}
    wanted = {path.replace("g/params/dense", "g/params/fc"): text for path, text in source.items()}
    wanted = {
        path.replace("/dense", "/fc") if path.startswith("g/opt_state") else path: t for path, t in wanted.items()
    }
    plan = planned('- "g/params/dense/** -> g/params/fc/**"\n', source, wanted)
    assert [] == codes(plan)
    assert ("d/opt_state/0/mu/dense/bias",) == moves(plan)[("d/opt_state/0/mu/dense/bias",)]
    assert ("g/opt_state/0/mu/fc/bias",) == moves(plan)[("g/opt_state/0/mu/dense/bias",)]


def test_leaves_that_mirror_params_in_an_unknown_way_are_refused_once_the_params_change():
    sm3 = optax.sm3(1e-3)
    rules = "- {from: params/d/w, to: model/d/w, ops: [transpose]}\n"
    plan = planned(rules, state(sm3, {"d/w": (3, 3)}), target(sm3, {"d/w": (3, 3)}))
    assert ["M210"] == codes(plan)
    assert "`opt_state/0/mu/d/w/0` belongs to a param that goes through ops" in plan.diagnostics[0].message


def test_and_stay_where_they_are_as_long_as_the_params_do():
    sm3 = optax.sm3(1e-3)
    plan = plan_of(sm3, optax.chain(optax.clip(1.0), sm3), '- "params/dense/** -> model/dense/**"', shapes=SHAPES)
    assert [] == codes(plan)
    assert "optimizer/opt_state/1/0/mu/dense/kernel/1" == pairs(plan)["opt_state/0/mu/dense/kernel/1"]


def test_a_slot_with_a_leaf_too_many_is_no_slot_and_takes_no_time():
    many = {f"block_{i}/kernel": (2,) for i in range(1000)}
    source = state(optax.sgd(0.1, momentum=0.9), many) | {"opt_state/0/trace/gone": "2"}
    wanted = state(optax.sgd(0.1, momentum=0.9), many, params="model", opt_state="optimizer/opt_state")
    plan = planned('- "params/** -> model/**"', source, wanted)
    assert {"M204", "M205"} == {*codes(plan)}


def test_a_model_that_holds_its_optimizer_keeps_what_stays():
    wanted = state(ADAMW, NEW, params="model")
    plan = planned(RENAME, state(ADAMW, SHAPES), wanted)
    assert [] == codes(plan)
    assert "opt_state/0/mu/fc/bias" == pairs(plan)["opt_state/0/mu/dense/bias"]
    assert "opt_state/2/count" == pairs(plan)["opt_state/2/count"]


def test_following_twice_the_same_way_back_is_where_it_began():
    there = plan_of(ADAMW, optax.chain(optax.clip(1.0), ADAMW))
    back = '- "model/fc/** -> params/dense/**"\n'
    again = planned(back, target(optax.chain(optax.clip(1.0), ADAMW)), state(ADAMW, SHAPES))
    assert [] == codes(again)
    forward = {one[0]: other[0] for one, other in moves(there).items()}
    backward = {one[0]: other[0] for one, other in moves(again).items()}
    data = [path for path, text in state(ADAMW, SHAPES).items() if text != "none"]
    assert data == [backward[forward[path]] for path in data]


def test_a_bare_transform_with_a_count_is_no_copy_of_the_params():
    leaves = {"params/w": "2", "opt_state/count": "int32:", "opt_state/mu/w": "2", "ema_params/w": "2"}
    checkpoint = tree(leaves)
    states = find_states(checkpoint, source_slots(checkpoint)[("params",)])
    assert [("the state in `ema_params`", True), ("`scale_by_lion` in `opt_state`", False)] == [
        (each.title, each.is_params_copy) for each in states
    ]


def test_a_part_of_the_model_that_nothing_fills_is_not_called_state_of_an_optimizer():
    shapes = {"a/kernel": (4, 4), "b/kernel": (4, 4)}
    plan = planned(
        '- "model/a/** -> model/c/**"', state(ADAMW, shapes, params="model"), state(ADAMW, shapes, params="model")
    )
    (finding,) = (one for one in plan.diagnostics if one.code == "M204" and "model/a/kernel" in one.paths)
    assert "the optimizer" not in f"{finding.message} {finding.help}"
