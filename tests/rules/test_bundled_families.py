"""The bundled rule files of families, as `suggest` recognizes them."""

import pytest

from migrate.rules.bundled_families import bundled_families

FAMILIES = {one.name: one for one in bundled_families()}


@pytest.mark.parametrize(
    ("name", "model", "library"),
    [
        ("hf/qwen3", "Qwen 3", "Hugging Face"),
        ("hf/qwen2", "Qwen 2 and 2.5", "Hugging Face"),
        ("maxtext/llama3-1", "Llama 3.1 to 3.3", "Hugging Face"),
        ("maxtext-tunix/qwen3", "Qwen 3 with scanned layers", "MaxText"),
    ],
)
def test_the_comment_of_a_file_names_its_model_and_library(name, model, library):
    assert (model, library) == (FAMILIES[name].model, FAMILIES[name].library)


def test_every_file_that_is_no_part_of_another_names_its_model():
    unnamed = [one.name for one in bundled_families() if not one.library and not one.name.endswith("-to-nnx")]
    assert [] == [name for name in unnamed if not any(part in name for part in ("half", "group", "rest", "lora"))]


def test_a_file_with_sources_of_its_own_is_no_family():
    assert "hf/lora-merge" not in FAMILIES


def test_files_for_nnx_that_others_supersede_come_last():
    assert ["hf/gpt2-to-nnx", "hf/llama-to-nnx"] == [one.name for one in bundled_families()][-2:]


def test_the_arguments_have_the_defaults_of_the_file():
    llama = FAMILIES["maxtext/llama"]
    assert {"root": "params/params", "axis": 1, "head": 128} == {name: llama.default(name) for name in llama.args}
    assert {} == FAMILIES["hf/qwen3"].args


@pytest.mark.parametrize(
    ("name", "config", "told"),
    [
        ("hf/mistral", {"model_type": "mistral"}, True),
        ("hf/mistral", {"model_type": "llama"}, False),
        ("hf/llama", {"model_type": "mistral"}, None),
        ("maxtext/llama3-1", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, True),
        ("maxtext/llama3-1-unscanned", {"rope_parameters": {"rope_type": "llama3"}}, True),
        ("maxtext/llama3-1", {"rope_scaling": {"type": "llama3"}}, True),
        ("maxtext/llama3-1", {"rope_scaling": None}, False),
    ],
)
def test_the_config_tells_models_of_one_tree_apart(name, config, told):
    assert told is FAMILIES[name].is_for(config)
