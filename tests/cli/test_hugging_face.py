"""`layout: huggingface` on the command line."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

RULES = "migrate: 1\ntarget: {layout: huggingface}\nrules:\n- '{a:**} -> {a}'\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file({f"model.layers.{n}.w": np.full((4, 4), n, "float32") for n in range(3)}, "old.safetensors")
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "original").mkdir()
    (tmp_path / "original/config.json").write_text("{}")
    return tmp_path


def test_a_run_writes_the_folder_and_states_what_it_is(run, here):
    result = run("apply", "rules.yaml", "old.safetensors", "new", "--max-shard-size", "64", "--files-from", "original")
    assert 0 == result.exit_code, result.output
    assert "new (huggingface, 3 leaves)" in result.output
    names = [file.name for file in sorted((here / "new").iterdir())]
    parts = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    assert ["config.json", *parts, "model.safetensors.index.json"] == names
    assert 0 == run("verify", "new").exit_code


def test_a_dry_run_writes_nothing(run, here):
    result = run("apply", "rules.yaml", "old.safetensors", "new", "--dry-run", "--json")
    assert (0, False) == (result.exit_code, (here / "new").exists())
    assert json.loads(result.stdout)["ok"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("new", "--mesh", "data=2"), "`new` becomes a folder of Hugging Face, which records no mesh"),
        (("new", "--compression", "zstd:3"), "safetensors files are not compressed"),
        (("new.safetensors", "--max-shard-size", "1GB"), "`--max-shard-size` is for a folder of Hugging Face"),
    ],
)
def test_what_the_folder_cannot_have_is_refused(run, here, arguments, message):
    result = run("apply", "rules.yaml", "old.safetensors", *arguments)
    assert 2 == result.exit_code
    assert message in " ".join(result.stderr.split())
    assert not (here / arguments[0]).exists()


def test_the_option_chooses_the_layout_without_a_change_of_the_rule_file(run, here):
    (here / "rules.yaml").write_text(RULES.replace("target: {layout: huggingface}\n", ""))
    assert 0 == run("apply", "rules.yaml", "old.safetensors", "orbax").exit_code
    assert 0 == run("apply", "rules.yaml", "old.safetensors", "new", "--layout", "huggingface", "-q").exit_code
    assert ["model.safetensors"] == [file.name for file in (here / "new").iterdir()]
    again = run("apply", "rules.yaml", "old.safetensors", "new")
    assert (1, True) == (again.exit_code, "error[M501]: `new` exists" in again.output)
    assert 0 == run("apply", "rules.yaml", "old.safetensors", "plain", "--layout", "zarr", "-q").exit_code
    assert (here / "plain/model.layers.0.w/.zarray").exists()


def test_processes_carry_out_the_layout_of_the_option(run, here):
    (here / "rules.yaml").write_text("migrate: 1\nrules:\n- {from: '{a:**}', to: '{a}', ops: [{transpose: [1, 0]}]}\n")
    for layout, name in (("zarr", "plain"), ("huggingface", "folder")):
        result = run("apply", "rules.yaml", "old.safetensors", name, "--layout", layout, "--processes", "2", "-q")
        assert 0 == result.exit_code, result.output
    assert (here / "plain/model.layers.0.w/.zarray").exists()
    assert 3 == len(load_file("folder/model.safetensors"))


def test_in_reverse_the_option_writes_the_folder_that_transformers_reads(run, here):
    (here / "rules.yaml").write_text("migrate: 1\nrules:\n- 'model/layers/{i:int}/w -> blocks/{i}/kernel'\n")
    assert 0 == run("apply", "rules.yaml", "old.safetensors", "new").exit_code
    back = run("apply", "rules.yaml", "--reverse", "new", "back", "--layout", "huggingface", "--files-from", "original")
    assert 0 == back.exit_code, back.output
    old, new = load_file("old.safetensors"), load_file("back/model.safetensors")
    assert {name: array.tobytes() for name, array in old.items()} == {n: a.tobytes() for n, a in new.items()}
    assert (here / "back/config.json").exists()


def test_a_plan_file_has_decided_on_the_layout(run, here):
    assert 0 == run("plan", "rules.yaml", "old.safetensors", "-o", "plan.json").exit_code
    result = run("apply", "plan.json", "old.safetensors", "new", "--layout", "zarr")
    assert (2, True) == (result.exit_code, "which has decided on the layout" in result.stderr)
    assert "give `--layout` to `migrate plan`" in result.stderr


@pytest.mark.parametrize(
    ("layout", "file"), [("huggingface", "model.safetensors"), ("zarr", "model.layers.0.w/.zarray")]
)
def test_a_plan_file_carries_out_the_layout_for_which_it_was_planned(run, here, layout, file):
    (here / "rules.yaml").write_text(RULES.replace("target: {layout: huggingface}\n", ""))
    assert 0 == run("plan", "rules.yaml", "old.safetensors", "--layout", layout, "-o", "plan.json").exit_code
    assert layout in json.loads((here / "plan.json").read_text())["target"]["layout"]
    result = run("apply", "plan.json", "old.safetensors", "new", "-q")
    assert 0 == result.exit_code, result.output
    assert (here / "new" / file).exists()
    again = run("apply", "rules.yaml", "old.safetensors", "new", "--layout", layout)
    assert (0, True) == (again.exit_code, "Already done" in again.output), again.output
