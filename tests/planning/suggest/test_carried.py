"""Copies of the model follow it, and the random streams of stacked layers are stacked."""

import pytest

from tests.planning.suggest.laws import faults
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


SHAPES = {"up/kernel": (5, 6), "up/bias": (6,), "down/kernel": (6, 2)}


def trained_together(count):
    """The training state of models under `vmap`: every leaf has a leading axis."""
    return {
        **{f"params/{path}": (count, *shape) for path, shape in SHAPES.items()},
        **{f"opt_state/0/{slot}/{path}": (count, *shape) for path, shape in SHAPES.items() for slot in ("mu", "nu")},
        "opt_state/0/count": f"int32[{count}]",
        "step": f"int32[{count}]",
    }


def trained_apart(count, model, optimizer):
    """The same models with an optimizer each; `model` and `optimizer` are their key paths."""
    new = {}
    for i in range(count):
        one, other = model.format(i), optimizer.format(i)
        new |= {f"{one}/{path}": shape for path, shape in SHAPES.items()}
        new |= {f"{other}/opt_state/0/{slot}/{path}": SHAPES[path] for path in SHAPES for slot in ("mu", "nu")}
        new |= {f"{other}/opt_state/0/count": "int32[]", f"{other}/step": "uint32[]"}
    return new


@pytest.mark.parametrize(
    "places", [("{}/model", "{}/optimizer"), ("{}/0", "{}/1/optimizer"), ("models/{}", "optimizer/{}")]
)
def test_seeds_become_models_with_their_optimizers_steps_and_counts(places):
    suggestion = suggested(trained_together(3), trained_apart(3, *places))
    assert suggestion.plan.applicable, suggestion.text
    assert [] == list(faults(suggestion))
    origin = {"/".join(target): "/".join(task.sources[0]) for task in suggestion.plan.tasks for target in task.targets}
    for i in range(3):
        assert "opt_state/0/count" == origin[f"{places[1].format(i)}/opt_state/0/count"]
        assert "step" == origin[f"{places[1].format(i)}/step"]
    assert not suggestion.doubts


def test_two_counts_of_one_chain_are_not_those_of_two_models():
    old = {"params/up/kernel": (2, 5, 6), "opt_state/0/count": "int32[2]"}
    new = {"layers/0/kernel": (5, 6), "layers/1/kernel": (5, 6), "opt_state/0/count": "int32[]"}
    new |= {"opt_state/1/count": "int32[]"}
    assert "opt_state/{i}/count" not in suggested(old, new).text
