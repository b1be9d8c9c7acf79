"""Every optimizer of the target belongs to the params that it mirrors, also where several models have one structure."""

import pytest

from tests.planning.moments.networks import adam, net
from tests.planning.trees import codes, moves, planned

RULES = '- "ab/params/d/** -> {0}g_y2x/fc/**"\n- "ba/params/d/** -> {0}g_x2y/fc/**"\n'


def twins():
    """Returns two networks of one structure, each with its own optimizer."""
    return {
        path: text
        for n in ("ab", "ba")
        for path, text in (net(f"{n}/params", "d") | adam(f"{n}/opt_state", "d")).items()
    }


def target(optimizers, models=""):
    nets = net(f"{models}g_y2x") | net(f"{models}g_x2y")
    return nets | {path: text for node in optimizers for path, text in adam(f"{node}/opt_state", "fc").items()}


@pytest.mark.parametrize("place", ["optimizers/{}", "{}_optimizer", "train/opt_{}"])
def test_optimizers_of_one_structure_are_told_apart_by_the_names_of_their_models(place):
    wanted = target([place.format("g_y2x"), place.format("g_x2y")], "models/")
    plan = planned(RULES.format("models/"), twins(), wanted)
    assert [] == codes(plan)
    for old, new in (("ab", "g_y2x"), ("ba", "g_x2y")):
        node = f"{place.format(new)}/opt_state/0"
        assert (f"{node}/count",) == moves(plan)[(f"{old}/opt_state/0/count",)]
        assert (f"{node}/nu/fc/bias",) == moves(plan)[(f"{old}/opt_state/0/nu/d/bias",)]


def test_optimizers_that_nothing_tells_apart_are_a_question_that_one_rule_answers():
    plan = planned(RULES.format(""), twins(), target(["opt0", "opt1"]))
    assert ["M210", "M210"] == codes(plan)
    answer = '- "ab/opt_state/0/count -> opt1/opt_state/0/count"\n'
    plan = planned(RULES.format("") + answer, twins(), target(["opt0", "opt1"]))
    assert [] == codes(plan)
    assert ("opt1/opt_state/0/mu/fc/bias",) == moves(plan)[("ab/opt_state/0/mu/d/bias",)]
    assert ("opt0/opt_state/0/mu/fc/bias",) == moves(plan)[("ba/opt_state/0/mu/d/bias",)]
    assert ("opt0/opt_state/0/count",) == moves(plan)[("ba/opt_state/0/count",)]


def test_shapes_tell_optimizers_apart():
    wide = {path: text.replace("6", "7") for path, text in twins().items() if path.startswith("ba")}
    wanted = target(["opt0", "opt1"])
    wanted |= {p: t.replace("6", "7") for p, t in wanted.items() if p.startswith(("g_x2y", "opt0"))}
    plan = planned(RULES.format(""), twins() | wide, wanted)
    assert [] == codes(plan)
    assert ("opt1/opt_state/0/mu/fc/bias",) == moves(plan)[("ab/opt_state/0/mu/d/bias",)]


def test_models_of_nnx_need_no_node_of_a_known_name():
    source = (
        net("generator") | net("critic") | adam("generator_opt/opt_state", "fc") | adam("critic_opt/opt_state", "fc")
    )
    wanted = {f"new/{path}": text for path, text in source.items()}
    plan = planned('- "{n:generator|critic}/** -> new/{n}/**"', source, wanted)
    assert [] == codes(plan)
    assert all(target == tuple(f"new/{path}" for path in source) for source, target in moves(plan).items())


def test_optimizers_that_nothing_tells_apart_stay_in_place():
    source = net("g") | net("d") | adam("first/opt_state", "fc") | adam("second/opt_state", "fc")
    plan = planned("", source, source)
    assert [] == codes(plan)
    assert all(task.sources == task.targets for task in plan.tasks)


def test_but_not_where_their_moments_would_go_through_ops():
    source = net("g") | net("d") | adam("first/opt_state", "fc") | adam("second/opt_state", "fc")
    rules = "- {from: g/fc/bias, to: g/fc/bias, ops: [{roll: {axis: 0, shift: 1}}]}"
    assert {"M210"} == {*codes(planned(rules, source, source))}
