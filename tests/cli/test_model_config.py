"""The model's `config.json` in commands: beside the tensors, by `--config`, and in the folder of `--files-from`."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

RULES = """
migrate: 1
args: {head: {config: head_dim, default: 4}}
requires: [{config: kind, is: [null, plain], because: "`other.yaml` is the file for other kinds"}]
rules:
  - {from: "model/{i:int}/q", to: "blocks/{i}/query", ops: [{scale: {by: "1/sqrt(${head})"}}]}
"""


@pytest.fixture
def rules(run):
    Path("rules.yaml").write_text(RULES)
    Path("model").mkdir()
    save_file({"model.0.q": np.ones((2, 3), np.float32)}, "model/model.safetensors")
    Path("model/config.json").write_text(json.dumps({"head_dim": 16, "kind": "plain"}))
    Path("other.json").write_text(json.dumps({"head_dim": 64, "kind": "other"}))
    return run


def value(path):
    (array,) = load_file(path).values()
    return array[0, 0]


@pytest.mark.parametrize("source", ["model", "model/model.safetensors"])
def test_the_file_beside_the_tensors_gives_values_and_the_plan_names_their_origin(rules, source):
    result = rules("apply", "rules.yaml", source, "new.safetensors")
    assert (0, 0.25) == (result.exit_code, value("new.safetensors")), result.output
    assert "16 (`head_dim` in config.json)" in result.stdout


def test_a_given_value_comes_first(rules):
    assert 0 == rules("apply", "rules.yaml", "model", "new.safetensors", "--arg", "head=4").exit_code
    assert 0.5 == value("new.safetensors")


def test_a_model_of_another_kind_is_refused_by_every_command(rules):
    for command in (("apply", "rules.yaml", "model", "new"), ("check", "rules.yaml", "model")):
        result = rules(*command, "--config", "other.json")
        assert (1, True) == (result.exit_code, "`other.yaml` is the file for other kinds" in result.output)
        assert '`other.json` has `kind`: "other", and `rules.yaml` requires null or "plain"' in result.output
    assert not Path("new").exists()


def test_a_file_that_includes_the_rules_can_leave_out_their_requirements(rules):
    Path("mine.yaml").write_text("migrate: 1\ninclude: {file: rules.yaml, requires: false}\nrules: []\n")
    result = rules("apply", "mine.yaml", "model", "new.safetensors", "--config", "other.json")
    assert (0, 0.125) == (result.exit_code, value("new.safetensors")), result.output


def test_the_way_back_takes_the_file_from_the_folder_whose_files_it_copies(rules):
    assert 0 == rules("apply", "rules.yaml", "model", "new").exit_code
    back = ("apply", "rules.yaml", "--reverse", "new", "back", "--layout", "huggingface", "--files-from", "model")
    result = rules(*back)
    assert (0, 1.0) == (result.exit_code, value("back/model.safetensors")), result.output
    verified = rules("verify", "back", "--source", "new", "--rules", "rules.yaml", "--reverse", "--config", "model")
    assert 0 == verified.exit_code, verified.output


def test_the_way_back_names_the_default_where_nothing_states_a_value(rules):
    assert 0 == rules("apply", "rules.yaml", "model", "new").exit_code
    result = rules("apply", "rules.yaml", "--reverse", "new", "back.safetensors")
    assert (0, 0.5) == (result.exit_code, value("back.safetensors")), result.output
    assert "`head` = 4 is the default of `rules.yaml`, as there is no `config.json`" in result.stderr


def test_a_plan_file_has_the_values(rules):
    assert 0 == rules("plan", "rules.yaml", "model", "-o", "plan.json").exit_code
    Path("model/config.json").unlink()
    assert 0 == rules("apply", "plan.json", "model", "new.safetensors").exit_code
    assert 0.25 == value("new.safetensors")
    refused = rules("apply", "plan.json", "model", "other", "--config", "other.json")
    assert (2, True) == (refused.exit_code, "give `--config` to `migrate plan`" in refused.stderr)


@pytest.mark.parametrize("name", ["missing", "missing.json", "."])
def test_a_place_without_such_a_file_is_refused(rules, name):
    result = rules("apply", "rules.yaml", "model", "new", "--config", name)
    assert (2, True) == (
        result.exit_code,
        f"`{name}` is neither a `config.json` nor a folder with one" in result.stderr,
    )
