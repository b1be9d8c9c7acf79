"""The search for the assignment on which outputs agree: order of likelihood, several groups, ops, and casts."""

import sys

import numpy as np
import pytest

import migrate
from migrate.engine.probing.settle import DEFAULT_BUDGET
from migrate.events import ProbeRun

MODELS = """
import numpy as np

NAMES = ("rho", "sigma", "tau", "chi")


def layer(size):
    return {"kernel": np.zeros((size, size), "float32")}


def groups():
    return {"first": {"p": layer(3), "q": layer(3)}, "second": {"p": layer(5), "q": layer(5)}}


def blocks():
    return {"blocks": {str(i): {"mlp": {"up": layer(4), "down": layer(4)}} for i in range(3)}}


def half():
    return {"p": {"kernel": np.zeros((3, 3), "float16")}, "q": {"kernel": np.zeros((2, 2), "float16")}}


def square():
    return {"p": layer(3)}


def gemma():
    norms = {name: {"scale": np.zeros(4, "float32")} for name in ("input_norm", "q_norm")}
    blocks = {str(i): {**norms, "mlp": layer(4)} for i in range(2)}
    return {"layers": blocks, "final_norm": {"scale": np.zeros(4, "float32")}}


def x(size):
    return np.linspace(-1, 2, 2 * size, dtype="float32").reshape(2, size)


def probe_groups(old, model):
    for side, new, size in (("a", "first", 3), ("b", "second", 5)):
        kernels = old["params"][side]
        yield np.tanh(x(size) @ kernels["one"]["kernel"]) @ kernels["two"]["kernel"], (
            np.tanh(x(size) @ model[new]["q"]["kernel"]) @ model[new]["p"]["kernel"])


def probe_groups_at_once(old, model):
    (one, new_one), (two, new_two) = probe_groups(old, model)
    yield one.sum() + two.sum(), new_one.sum() + new_two.sum()


def probe_blocks(old, model):
    a, b = x(4), x(4)
    for i in range(3):
        mlp, new = old["params"][f"block_{i}"]["mlp"], model["blocks"][str(i)]["mlp"]
        a = np.tanh(np.tanh(a @ mlp["Dense_1"]["kernel"]) @ mlp["Dense_0"]["kernel"])
        b = np.tanh(np.tanh(b @ new["up"]["kernel"]) @ new["down"]["kernel"])
        yield f"blocks.{i}", a, b


def probe_half(old, model):
    yield old["params"]["one"]["kernel"], model["p"]["kernel"]


def scaled(x, offset, norm, leaf):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * (offset + norm[leaf])


def gemma_outputs(model, offset, leaf, norms, final):
    a = x(4)
    for i in range(2):
        block = model["layers"][str(i)]
        a = scaled(a, offset, block[norms[0]], leaf) @ block["mlp"]["kernel"]
        yield scaled(a, offset, block[norms[1]], leaf)
    yield scaled(a, offset, model[final], leaf)


def probe_gemma(old, model, there=1, here=0):
    names = ("input_norm", "q_norm")
    new = gemma_outputs(model, here, "scale", names, "final_norm")
    for one, other in zip(gemma_outputs(old, there, "scale", names, "final_norm"), new):
        yield one, other


def probe_gemma_back(old, model):
    yield from probe_gemma(old, model, 0, 1)


def probe_gemma_same(old, model):
    yield from probe_gemma(old, model, 1, 1)


def probe_square(old, model):
    yield x(3) @ old["params"]["one"]["matrix"].T, x(3) @ model["p"]["kernel"]
"""


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "probed_models", raising=False)
    (tmp_path / "probed_models.py").write_text(MODELS)


def kernels(sizes, name="kernel"):
    rng = np.random.default_rng(0)
    return {f"params/{path}/{name}": rng.normal(size=(size, size)).astype("float32") for path, size in sizes.items()}


def settled(arrays, template, probe, budget=DEFAULT_BUDGET, events=None):
    np.savez("old.npz", **arrays)
    with migrate.open_checkpoint("old.npz") as checkpoint:
        return migrate.suggest(
            checkpoint,
            f"probed_models:{template}",
            probe=f"probed_models:{probe}",
            probe_budget=budget,
            listener=(events if events is not None else []).append,
        )


def moves(suggestion):
    return {"/".join(task.sources[0]): "/".join(task.targets[0]) for task in suggestion.plan.tasks}


GROUPS = {"a/one": 3, "a/two": 3, "b/one": 5, "b/two": 5}


@pytest.mark.parametrize("probe", ["probe_groups", "probe_groups_at_once"])
def test_several_groups_are_settled_by_one_pair_each_or_by_one_for_all(probe):
    found = settled(kernels(GROUPS), "groups", probe)
    assert (True, 2) == (found.findings.agrees, found.findings.changed)
    expected = {
        "params/a/one/kernel": "first/q/kernel",
        "params/a/two/kernel": "first/p/kernel",
        "params/b/one/kernel": "second/q/kernel",
        "params/b/two/kernel": "second/p/kernel",
    }
    assert expected == moves(found)
    assert not found.doubts


def test_all_blocks_of_a_list_change_together_before_single_ones():
    events = []
    sizes = {f"block_{i}/mlp/Dense_{j}": 4 for i in range(3) for j in range(2)}
    found = settled(kernels(sizes), "blocks", "probe_blocks", events=events)
    assert (True, 1) == (found.findings.agrees, found.findings.changed)
    runs = [event for event in events if isinstance(event, ProbeRun)]
    assert 2 == next(event.run for event in runs if event.agrees)
    assert "params/block_{i}/mlp/Dense_0/kernel -> blocks/{i}/mlp/down/kernel" in found.text


def test_a_square_matrix_is_transposed_if_outputs_say_so():
    found = settled(kernels({"one": 3}, "matrix"), "square", "probe_square")
    assert (True, 1) == (found.findings.agrees, found.findings.changed)
    assert 'ops: [{rearrange: "a b -> b a"}]}  # proved by value' in found.text


@pytest.mark.parametrize(
    ("probe", "ops", "changed"),
    [
        ("probe_gemma", ["add: {value: 1}"], 1),
        ("probe_gemma_back", ["add: {value: -1}"], 1),
        ("probe_gemma_same", [], 0),
    ],
)
def test_scales_of_norms_get_the_1_that_outputs_need(probe, ops, changed):
    rng = np.random.default_rng(1)
    names = [f"layers/{i}/{norm}/scale" for i in range(2) for norm in ("input_norm", "q_norm")]
    arrays = {name: rng.normal(size=4).astype("float32") for name in [*names, "final_norm/scale"]}
    arrays |= {f"layers/{i}/mlp/kernel": rng.normal(size=(4, 4)).astype("float32") for i in range(2)}
    found = settled(arrays, "gemma", probe)
    assert (True, changed) == (found.findings.agrees, found.findings.changed)
    rules = found.text.partition("rules:")[2]
    for number in (1, -1):
        assert (f"add: {{value: {number}}}" in rules) is (ops == [f"add: {{value: {number}}}"])
    assert "add" not in str([step.op for task in found.plan.tasks if "mlp" in task.targets[0] for step in task.steps])
    assert not changed or "outputs agree only with this sum" in rules


def test_a_value_that_a_cast_refuses_is_the_reason_why_the_probe_did_not_run():
    found = settled(kernels({"one": 3, "two": 2}), "half", "probe_half")
    assert (False, 0) == (found.findings.agrees, found.findings.runs)
    assert "it did not run: `cast` on `params/" in found.findings.reason
