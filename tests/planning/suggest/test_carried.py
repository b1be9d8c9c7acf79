"""Copies of the model follow it, and the random streams of stacked layers are stacked."""

import pytest

from tests.planning.suggest.trees import suggested

STREAMS = {"key": "key<fry>", "count": "uint32"}


def layers(*nodes, shape=""):
    return {
        f"{node}/{name}": text
        for node in nodes
        for name, text in {
            "fc/kernel": (4, 4),
            **{f"drop/rngs/{n}": f"{d}[{shape}]" for n, d in STREAMS.items()},
        }.items()
    }


def stacked(node):
    return {f"{node}/fc/kernel": (3, 4, 4), **{f"{node}/drop/rngs/{n}": f"{d}[3]" for n, d in STREAMS.items()}}


@pytest.mark.parametrize("node", ["layers/{}", "block_{}"])
def test_streams_of_layers_that_the_template_stacks_are_stacked(node):
    many, one = layers(*(node.format(i) for i in range(3))), stacked("blocks")
    for old, new, op in ((many, one, "stack"), (one, many, "unstack")):
        plan = suggested(old, new).plan
        assert plan.applicable
        assert [] == [*plan.created, *plan.dropped]
        assert {op} == {task.verb for task in plan.tasks if "rngs" in task.sources[0]}


def test_names_decide_between_two_runs_and_else_the_streams_start_from_a_seed():
    old = layers(*(f"enc_{i}" for i in range(3)), *(f"dec_{i}" for i in range(3)))
    plan = suggested(old, stacked("enc") | stacked("dec")).plan
    assert [] == [*plan.created]
    (sources,) = [task.sources for task in plan.tasks if task.targets == (("dec", "drop", "rngs", "key"),)]
    assert ["dec_0", "dec_1", "dec_2"] == [path[0] for path in sources]
    assert 4 == len(suggested(old, stacked("x") | stacked("y")).plan.created)


def test_a_copy_of_the_model_in_the_template_follows_the_copy_in_the_source():
    params = {"d/kernel": (4, 6), "d/bias": (6,)}
    source = {f"{node}/{path}": shape for node in ("params", "ema_params") for path, shape in params.items()}
    wanted = {f"{node}/{path}": shape for node in ("ema", "model") for path, shape in params.items()}
    plan = suggested(source, wanted).plan
    assert plan.applicable
    assert {("params", "model"), ("ema_params", "ema")} == {(t.sources[0][0], t.targets[0][0]) for t in plan.tasks}
