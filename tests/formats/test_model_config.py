"""The `config.json` of a model, beside tensors of any arrangement."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from migrate.checkpoint import open_checkpoint
from migrate.formats.base import ModelConfig
from migrate.formats.model_config import config_beside, read_model_config


@pytest.fixture
def folder(tmp_path):
    save_file({"a": np.zeros(2, np.float32)}, tmp_path / "model.safetensors")
    return tmp_path


def of(path):
    with open_checkpoint(path) as checkpoint:
        return checkpoint.abstract.model_config


def test_a_folder_and_a_file_in_it_have_the_configuration_beside_the_tensors(folder):
    (folder / "config.json").write_text(json.dumps({"head_dim": 16}))
    expected = ModelConfig(folder / "config.json", {"head_dim": 16})
    assert [expected] * 3 == [of(folder), of(folder / "model.safetensors"), config_beside(folder / "config.json")]


def test_a_folder_without_one_has_none(folder):
    assert (None, None) == (of(folder), config_beside(folder / "missing"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ("", "not JSON"),
    ],
)
def test_one_that_cannot_be_read_is_no_error_until_rules_need_it(folder, content, problem):
    (folder / "config.json").write_text(content)
    found = of(folder)
    assert {} == found.content
    assert problem in found.problem
    assert "config.json" in found.problem


def test_a_file_that_is_not_there_is_a_problem(tmp_path):
    assert "there is no file" in read_model_config(tmp_path / "config.json").problem
