"""`suggest --probe`: doubts that outputs settle, what a probe cannot tell, and the budget of runs."""

import json
import sys
from pathlib import Path

import msgpack
import numpy as np
import pytest

import migrate
from migrate.events import ProbeRun
from tests.cli.conftest import pack

MODEL = """
import numpy as np


def make():
    return {"rho": layer(), "sigma": layer(), "head": {"kernel": np.zeros((4, 2), "float32")}}


def layer():
    return {"kernel": np.zeros((4, 4), "float32"), "bias": np.zeros(4, "float32")}


def tower():
    return {f"part{name}": layer() for name in "xyz"}
"""

PROBE = """
import numpy as np

X = np.linspace(-1, 1, 8, dtype="float32").reshape(2, 4)


def dense(layer, x):
    return np.tanh(x @ np.asarray(layer["kernel"]) + np.asarray(layer.get("bias", 0)))


def outputs(old, model):
    # `alpha` came first, and `sigma` comes first.
    p = old["params"]
    yield dense(p["out"], dense(p["beta"], dense(p["alpha"], X))), dense(
        model["head"], dense(model["rho"], dense(model["sigma"], X)))


def symmetric(old, model):
    p = old["params"]
    yield dense(p["out"], dense(p["beta"], X) + dense(p["alpha"], X)), dense(
        model["head"], dense(model["rho"], X) + dense(model["sigma"], X))


def kernels(old, model):
    p = old["params"]
    yield X @ p["alpha"]["kernel"] @ p["beta"]["kernel"] @ p["out"]["kernel"], (
        X @ model["sigma"]["kernel"] @ model["rho"]["kernel"] @ model["head"]["kernel"])


def never(old, model):
    yield np.ones(3), np.zeros(3) + 0 * np.asarray(model["head"]["kernel"]).sum()


def blind(old, model):
    return np.ones(3), np.ones(3)


def raising(old, model):
    raise ValueError("no such model")


def layers(old, model):
    p, x, y = old["params"], X, X
    for before, after in zip(("c", "a", "b"), ("x", "y", "z"), strict=True):
        x, y = dense(p[f"old_{before}"], x), dense(model[f"part{after}"], y)
        yield f"part{after}", x, y
"""


def dense(rng):
    return {"kernel": rng.normal(size=(4, 4)).astype("float32"), "bias": rng.normal(size=4).astype("float32")}


def write(name, params):
    Path(name).write_bytes(msgpack.packb(pack({"params": params}), use_bin_type=True, strict_types=True))


@pytest.fixture(autouse=True)
def files(here, monkeypatch):
    for name in ("probes", "two_layers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (here / "probes.py").write_text(PROBE)
    (here / "two_layers.py").write_text(MODEL)
    rng = np.random.default_rng(0)
    head = {"kernel": rng.normal(size=(4, 2)).astype("float32")}
    write("two.msgpack", {"alpha": dense(rng), "beta": dense(rng), "out": head})
    write("three.msgpack", {f"old_{name}": dense(rng) for name in "abc"})


SUGGEST = ("suggest", "two.msgpack", "--template", "two_layers:make", "-o", "found.yaml")


def test_two_layers_of_one_shape_that_are_exchanged_get_their_places_by_their_outputs(run, golden):
    before = run(*SUGGEST[:-2])
    assert "params/alpha/** -> rho/**" in before.stdout
    result = run(*SUGGEST, "--probe", "probes:outputs")
    assert 0 == result.exit_code, result.output
    golden("cli/suggest_probe.yaml", Path("found.yaml").read_text())
    golden("cli/suggest_probe.txt", result.stdout)
    assert 0 == run("apply", "found.yaml", "two.msgpack", "new", "--probe", "probes:outputs").exit_code


def test_what_a_probe_cannot_tell_apart_stays_in_doubt_and_says_so(run):
    result = run(*SUGGEST, "--probe", "probes:symmetric")
    assert 0 == result.exit_code, result.output
    text = Path("found.yaml").read_text()
    assert "; the probe `probes:symmetric` passes either way" in text
    assert "#   or: params/alpha/** -> sigma/**" in text
    assert "it cannot tell apart" in result.stdout.replace("\n", " ")


def test_leaves_on_which_no_output_depends_stay_in_doubt(run):
    probe = json.loads(run(*SUGGEST, "--probe", "probes:kernels", "--json").stdout)["probe"]
    assert (["rho/kernel", "sigma/kernel"], ["rho/bias", "sigma/bias"]) == (probe["proved"], probe["alike"])
    assert "; the probe `probes:kernels` does not depend on `bias`" in Path("found.yaml").read_text()


def test_layers_are_settled_one_after_the_other_where_the_probe_yields_their_outputs(run):
    template = ("--template", "two_layers:tower", "--json")
    payload = json.loads(run("suggest", "three.msgpack", *template, "--probe", "probes:layers").stdout)
    moved = {task["sources"][0]: task["targets"][0] for task in payload["tasks"]}
    expected = {f"params/old_{old}/{leaf}": f"part{new}/{leaf}" for old, new in ("cx", "ay", "bz") for leaf in LEAVES}
    assert expected == moved
    assert {"value"} == {task["proved"] for task in payload["tasks"]}
    assert [] == [task["unproved"] for task in payload["tasks"] if task["unproved"]]


LEAVES = ("kernel", "bias")


def test_the_budget_is_kept_and_what_was_not_tried_says_so(run):
    for budget in (1, 2, 3):
        result = run(*SUGGEST, "--overwrite", "--probe", "probes:outputs", "--probe-budget", str(budget), "--json")
        probe = json.loads(result.stdout)["probe"]
        assert probe["runs"] <= budget == probe["budget"]
        assert (budget > 1, int(budget < 2)) == (probe["agrees"], result.exit_code)
        assert bool(probe["untried"]) == (budget > 1)
    assert 2 == run(*SUGGEST, "--probe", "probes:outputs", "--probe-budget", "0").exit_code


def test_a_probe_that_no_assignment_passes_keeps_the_suggestion_and_every_doubt(run):
    before = run(*SUGGEST[:-2]).stdout
    result = run(*SUGGEST, "--probe", "probes:never")
    assert 1 == result.exit_code
    text = Path("found.yaml").read_text()
    assert before == "".join(line for line in text.splitlines(keepends=True) if not line.startswith("# Probe: "))
    assert "no assignment that was tried agrees" in text


@pytest.mark.parametrize("name", ["blind", "raising", "absent"])
def test_a_probe_that_proves_nothing_or_fails_is_refused(run, name):
    result = run(*SUGGEST, "--probe", f"probes:{name}")
    assert 1 != result.exit_code != 0
    assert "M514" in result.stderr
    assert not Path("found.yaml").exists()


def test_a_probe_does_not_run_while_leaves_of_the_target_have_no_source(run):
    result = run("suggest", "two.msgpack", "--template", "two_layers:tower", "--probe", "probes:raising")
    assert 1 == result.exit_code
    assert "it did not run, because 2 leaves of the target have no source" in result.stdout


def test_a_leaf_of_the_source_without_a_target_does_not_keep_the_probe_from_running(run):
    rng = np.random.default_rng(0)
    head = {"kernel": rng.normal(size=(4, 2)).astype("float32")}
    write("more.msgpack", {"alpha": dense(rng), "beta": dense(rng), "out": head, "old": np.ones((9, 9), "float32")})
    result = run("suggest", "more.msgpack", *SUGGEST[2:], "--probe", "probes:outputs", "--json")
    payload = json.loads(result.stdout)
    assert (1, True, ["params/old"]) == (
        result.exit_code,
        payload["probe"]["agrees"],
        payload["unplaced"]["source"],
    )
    assert 5 == len(payload["probe"]["proved"])


def test_every_run_is_an_event(here):
    events = []
    with migrate.open_checkpoint("two.msgpack") as checkpoint:
        found = migrate.suggest(
            checkpoint, "two_layers:make", probe="probes:outputs", probe_budget=9, listener=events.append
        )
    runs = [event for event in events if isinstance(event, ProbeRun)]
    assert [(n, 9) for n in range(1, found.findings.runs + 1)] == [(event.run, event.budget) for event in runs]
    assert [False, True] == [event.agrees for event in runs[:2]]
