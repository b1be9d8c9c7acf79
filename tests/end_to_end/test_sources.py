"""Several sources in one migration, from adapters and towers to a verified checkpoint."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

import migrate
from migrate.cli.main import migrate as command
from migrate.errors import PlanError, RefusedError, UsageError
from migrate.events import PhaseDone
from tests.bundled.migrating import leaves, save

ROOT = Path(__file__).parents[2]
LORA = ROOT / "fixtures/lora"
ADAPTERS = ROOT / "fixtures/unlike/adapter"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words, code=0):
    result = CliRunner().invoke(command, [str(word) for word in words])
    assert code == result.exit_code, result.output
    return result


def close(expected, actual):
    assert expected.keys() == actual.keys()
    for name, value in expected.items():
        largest = max(float(np.abs(value).max()), 1e-30)
        assert float(np.abs(value - actual[name]).max()) <= 1e-6 * largest, name


@pytest.mark.parametrize("adapter", ["adapter", "adapter/adapter_model.safetensors"])
def test_an_adapter_of_peft_is_merged_as_peft_merges_it(here, adapter):
    given = ("--source", f"lora={LORA / adapter}")
    shown = run("apply", "hf/lora-merge", LORA / "base", "merged", *given, "--dry-run").output
    assert "(safetensors, 21 leaves): 21 used." in shown
    assert "(safetensors, 12 leaves): 12 used." in shown
    assert not (here / "merged").exists()
    run("apply", "hf/lora-merge", LORA / "base", "merged", *given, "--verify", "full")
    close(load_file(LORA / "merged.safetensors"), load_file(here / "merged/model.safetensors"))
    assert (here / "merged/config.json").read_bytes() == (LORA / "base/config.json").read_bytes()
    run("verify", "merged", "--rules", "hf/lora-merge", "--source", LORA / "base", *given)


def test_more_than_an_adapter_of_linear_layers_is_refused(here):
    (here / "dora").mkdir()
    tensors = load_file(LORA / "adapter/adapter_model.safetensors")
    name = "base_model.model.model.layers.0.mlp.down_proj.lora_magnitude_vector"
    save_file(tensors | {name: np.ones(16, np.float32)}, here / "dora/adapter_model.safetensors")
    (here / "dora/adapter_config.json").write_bytes((LORA / "adapter/adapter_config.json").read_bytes())
    refused = run("apply", "hf/lora-merge", LORA / "base", "merged", "--source", "lora=dora", code=1).output
    assert "1 leaf of the source `lora` is neither used nor dropped" in refused


def test_another_config_is_another_source(here):
    shutil.copytree(LORA / "adapter", "adapter")
    run("apply", "hf/lora-merge", LORA / "base", "merged", "--source", "lora=adapter")
    config = json.loads((here / "adapter/adapter_config.json").read_text())
    (here / "adapter/adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 20}))
    assert "M501" in run("apply", "hf/lora-merge", LORA / "base", "merged", "--source", "lora=adapter", code=1).output


TWO = """migrate: 1
sources: {{q: {folder}/q_proj, c: {folder}/c_attn}}
rules:
  - from:
      base: q_proj/weight
      a: "q:base_model/model/q_proj/lora_A/weight"
      b: "q:base_model/model/q_proj/lora_B/weight"
    to: q_proj/weight
    ops: [lora]
  - from:
      base: c_attn/weight
      a: "c:base_model/model/c_attn/lora_A/weight"
      b: "c:base_model/model/c_attn/lora_B/weight"
    to: c_attn/weight
    ops: [{{transpose: {{of: base}}}}, lora, transpose]    # fan_in_fan_out
"""


def test_adapters_in_two_files_are_merged_at_once(here):
    (here / "rules.yaml").write_text(TWO.format(folder=ADAPTERS))
    run("apply", "rules.yaml", ADAPTERS / "base.safetensors", "new.safetensors")
    close(load_file(ADAPTERS / "merged.safetensors"), load_file(here / "new.safetensors"))


RANDOM = np.random.default_rng(3)


def arrays(*shapes):
    return [RANDOM.standard_normal(shape).astype(np.float32) for shape in shapes]


def towers():
    """A language model with Adam's moments in an Orbax checkpoint, and a tower in another."""
    text, vision = arrays((16, 8), (8, 8)), arrays((12, 8), (5, 6), (4,))
    state = {"mu": {"block": {"w": text[1] * 2}, "embed": text[0] * 2}, "count": np.int32(7)}
    main = {"params": {"embed": text[0], "block": {"w": text[1]}}, "opt_state": [state]}
    tower = {"params": {"patch": vision[0], "blocks": {"0": {"w": vision[1]}}, "head": vision[2]}}
    return main, tower


STITCH = """migrate: 1
sources: {vision: vision}
rules:
  - "vision:params/blocks/{i}/w -> params/vision/layers/{i}/kernel"
  - {from: "vision:params/patch", to: params/vision/patch, ops: [{transpose: [1, 0]}]}
  - drop: "vision:params/head"
"""


@pytest.fixture
def stitched(here):
    main, tower = towers()
    save(here / "text", main)
    save(here / "vision", tower)
    (here / "stitch.yaml").write_text(STITCH)
    return main, tower


def check(main, tower, found):
    params = tower["params"]
    assert found["params/vision/layers/0/kernel"].tobytes() == params["blocks"]["0"]["w"].tobytes()
    assert np.array_equal(found["params/vision/patch"], params["patch"].T)
    assert found["params/embed"].tobytes() == main["params"]["embed"].tobytes()
    assert np.array_equal(found["opt_state/0/mu/block/w"], main["opt_state"][0]["mu"]["block"]["w"])
    assert 7 == len(found)


def test_two_towers_are_stitched_and_every_leaf_of_both_is_accounted_for(here, stitched):
    payload = json.loads(run("apply", "stitch.yaml", "text", "new", "--dry-run", "--json").output)
    assert [("", 5, 5, 0), ("vision", 3, 2, 1)] == [
        (one["name"], one["leaves"], one["used"], one["dropped"]) for one in payload["sources"]
    ]
    modes = {task["sources"][0]: task["mode"] for task in payload["tasks"]}
    assert ("relink", "relink", "stream") == tuple(
        modes[path] for path in ("params/embed", "vision:/params/blocks/0/w", "vision:/params/patch")
    )
    done = json.loads(run("apply", "stitch.yaml", "text", "new", "--json").output)
    check(*stitched, leaves(here / "new"))
    used = done["receipt"]["sources"]
    assert [("", "text"), ("vision", "vision")] == [(one["name"], one["path"]) for one in used]
    assert 2 == len({one["files"] for one in used}) == len({one["structure_hash"] for one in used})
    run("verify", "new", "--rules", "stitch.yaml", "--source", "text")
    run("verify", "new")


@pytest.mark.parametrize("more", [["--link", "never"], ["--processes", "2"], ["--compression", "none"]], ids=str)
def test_every_way_of_running_reads_the_right_source(here, stitched, more):
    run("apply", "stitch.yaml", "text", "new", "--verify", "full", *more)
    check(*stitched, leaves(here / "new"))


@pytest.mark.parametrize("name", ["new.safetensors", "new.msgpack"])
def test_the_result_may_be_one_file(here, stitched, name):
    run("apply", "stitch.yaml", "text", name)
    check(*stitched, leaves(here / name))


def test_shares_are_staged_from_the_same_sources(here, stitched):
    os.rename("vision", "tower")
    given = ("--source", "vision=tower")
    for share in ("0/2", "1/2"):
        run("stage", "stitch.yaml", "text", "new", "--share", share, *given)
    run("commit", "stitch.yaml", "text", "new", *given)
    check(*stitched, leaves(here / "new"))


def test_a_reviewed_plan_needs_the_paths_again(here, stitched):
    shown = run("plan", "stitch.yaml", "text", "-o", "plan.json").output
    assert "migrate apply plan.json SRC DST --source vision=PATH" in shown
    assert "vision (3 leaves): 2 used, 1 dropped." in run("show", "plan.json").output
    assert "M631" in run("apply", "plan.json", "text", "new", code=2).output
    run("apply", "plan.json", "text", "new", "--source", "vision=vision")
    check(*stitched, leaves(here / "new"))


def test_the_same_command_finds_its_result_and_notices_another_source(here, stitched):
    run("apply", "stitch.yaml", "text", "new")
    assert "Already done" in run("apply", "stitch.yaml", "text", "new").output
    _, tower = stitched
    tower["params"]["patch"] = tower["params"]["patch"] + 1
    save(here / "other", tower)
    assert "M501" in run("apply", "stitch.yaml", "text", "new", "--source", "vision=other", code=1).output
    run("verify", "new", "--rules", "stitch.yaml", "--source", "text", "--source", "vision=other", code=1)


def test_a_source_that_changes_during_the_run_is_refused(here, stitched):
    def change(event):
        if isinstance(event, PhaseDone) and event.phase == "stage":
            file = next(path for path in (here / "vision").rglob("*") if path.name == "_METADATA")
            file.write_text(file.read_text() + " ")

    with migrate.open_checkpoint("text") as source:
        plan = migrate.plan(source, "stitch.yaml")
        with pytest.raises(RefusedError, match="a source changed during this run: `vision:/_METADATA`"):
            migrate.apply(plan, source, "new", listener=change)
    assert not (here / "new").exists()


def test_no_source_is_written_over(here, stitched):
    refused = run("apply", "stitch.yaml", "text", "vision/inside", code=1).output
    assert "`vision/inside` and the source `vision` overlap" in refused


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--source", "vison=vision"], "M630"),
        (["--source", "vision=nowhere"], "M401"),
        (["--source", "vision"], "is not NAME=VALUE"),
    ],
)
def test_a_mistaken_source_is_refused(stitched, words, code):
    assert code in run("apply", "stitch.yaml", "text", "new", *words, code=2).output


def test_verify_tells_the_sources_apart(stitched):
    run("apply", "stitch.yaml", "text", "new")
    both = ("--rules", "stitch.yaml", "--source", "vision=vision")
    assert "give SRC once" in run("verify", "new", *both, code=2).output
    assert "give SRC once" in run("verify", "new", *both, "--source", "text", "--source", "vision", code=2).output
    run("verify", "new", *both, "--source", "text")


def test_check_invert_and_diff_take_the_sources(here, stitched):
    os.rename("vision", "tower")
    given = ("--source", "vision=tower")
    assert "M401" in run("check", "stitch.yaml", "text", code=2).output
    run("check", "stitch.yaml", "text", *given)
    run("apply", "stitch.yaml", "text", "new", *given)
    run("diff", "text", "new", "--rules", "stitch.yaml", "--values", *given)
    run("invert", "stitch.yaml", "text", *given, "-o", "back.yaml", code=1)
    assert "leaves of the source `vision` are in it" in (here / "back.yaml").read_text()
    run("apply", "back.yaml", "new", "back")
    assert leaves(here / "text").keys() == leaves(here / "back").keys()
    assert "M633" in run("apply", "stitch.yaml", "new", "old", "--reverse", code=1).output


def test_in_python_sources_are_named_once(here, stitched):
    os.rename("vision", "tower")
    with migrate.open_checkpoint("text") as source:
        with pytest.raises(UsageError):
            migrate.plan(source, "stitch.yaml", sources={"lora": "tower"})
        plan = migrate.plan(source, "stitch.yaml", sources={"vision": "tower"})
        receipt = migrate.apply(plan, source, "new")
        assert ["", "vision"] == [one.name for one in receipt.sources]
        assert 7 == migrate.verify("new", plan=plan, source=source).compared
        with migrate.open_checkpoint("tower") as tower:
            migrate.apply(plan, source, "again", sources={"vision": tower})
            assert tower.read("params/head").shape == (4,)
        save(here / "less", {"params": {"patch": np.ones((2, 2))}})
        with pytest.raises(PlanError):
            migrate.apply(plan, source, "other", sources={"vision": "less"})
    check(*stitched, leaves(here / "again"))


MODEL = """import numpy as np
def make():
    f = "float32"
    vision = {"layers": [{"kernel": np.zeros((5, 6), f)}], "patch": np.zeros((8, 12), f)}
    return {"params": {"embed": np.zeros((16, 8), f), "block": {"w": np.zeros((8, 8), f)}, "vision": vision}}
"""


def test_a_model_is_loaded_from_several_sources(here, stitched, monkeypatch):
    (here / "stitched_model.py").write_text(MODEL)
    monkeypatch.delitem(sys.modules, "stitched_model", raising=False)
    monkeypatch.syspath_prepend(str(here))
    rules = (
        STITCH.replace("sources:", "target: {template: 'stitched_model:make'}\nsources:") + '  - drop: "opt_state/**"\n'
    )
    (here / "load.yaml").write_text(rules)
    for sources in (None, {"vision": "vision"}):
        model = migrate.load("text", "load.yaml", sources=sources)
        patch = np.asarray(model["params"]["vision"]["patch"])
        assert np.array_equal(stitched[1]["params"]["patch"].T, patch)


def test_the_steps_of_a_root_share_the_other_sources(here, stitched):
    for step in (1, 2):
        save(here / f"root/{step}/default", stitched[0])
    run("apply", "stitch.yaml", "root", "new", "--step", "all")
    for step in (1, 2):
        check(*stitched, leaves(here / f"new/{step}"))


def test_a_source_may_be_in_a_bucket(here, stitched, bucket):
    far = bucket.upload(here / "vision", "towers/vision")
    run("apply", "stitch.yaml", "text", "new", "--source", f"vision={far}")
    check(*stitched, leaves(here / "new"))


UPCYCLE = """migrate: 1
rules:
  - from: "params/layers_{i}/mlp/{w}/kernel"
    to: "params/layers_{i}/experts/{w}/kernel"
    ops: [{expand_dims: {axis: 0}}, {tile: {reps: [3, 1, 1]}}]
    moments: follow
    copy: true
  - "params/layers_{i}/mlp/** -> params/layers_{i}/shared/**"
"""


def test_experts_begin_as_copies_of_a_dense_layer_with_its_moments(here):
    def layers(first):
        return {f"layers_{i}": {"mlp": {"up": {"kernel": np.full((4, 6), first + i, np.float32)}}} for i in range(2)}

    state = {"mu": layers(10), "nu": layers(20), "count": np.int32(9)}
    save(here / "dense", {"params": layers(0), "opt_state": [state]})
    (here / "upcycle.yaml").write_text(UPCYCLE)
    run("apply", "upcycle.yaml", "dense", "experts", "--verify", "full")
    found = leaves(here / "experts")
    for place, first in (("params", 0), ("opt_state/0/mu", 10), ("opt_state/0/nu", 20)):
        for i in range(2):
            layer = np.full((4, 6), first + i, np.float32)
            assert np.array_equal(np.stack([layer] * 3), found[f"{place}/layers_{i}/experts/up/kernel"])
            assert np.array_equal(layer, found[f"{place}/layers_{i}/shared/up/kernel"])
    assert 13 == len(found)
