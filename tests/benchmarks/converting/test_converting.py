"""The model of the benchmark is one that the family's rule file converts, and its page judges what was measured."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors import safe_open

from migrate.cli.main import migrate
from tests.benchmarks.converting.model_folder import FULL, TINY, config_of, shapes, write_folder
from tests.benchmarks.converting.page import write
from tests.benchmarks.converting.ways import BACK, BY_KEY, WAYS

CONFIG = config_of(TINY)


def make():
    """The places of tunix' model for the tiny one."""
    width, inner, head = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["head_dim"]
    heads = {"q": CONFIG["num_attention_heads"], "k": CONFIG["num_key_value_heads"], "v": CONFIG["num_key_value_heads"]}
    attention = {f"{part}_proj": (width, count, head) for part, count in heads.items()}
    attention |= {"o_proj": (heads["q"], head, width), "q_norm": (head,), "k_norm": (head,)}
    layer = {
        "attn": {name: {"w": shape} for name, shape in attention.items()},
        "mlp": {f"{part}_proj": {"kernel": (width, inner)} for part in ("gate", "up")}
        | {"down_proj": {"kernel": (inner, width)}},
        "input_layernorm": {"w": (width,)},
        "post_attention_layernorm": {"w": (width,)},
    }
    vocabulary = CONFIG["vocab_size"]
    tree = {
        "embedder": {"input_embedding": (vocabulary, width)},
        "layers": {str(i): layer for i in range(CONFIG["num_hidden_layers"])},
        "final_norm": {"w": (width,)},
        "lm_head": {"w": (width, vocabulary)},
    }
    return jax.tree.map(lambda shape: jnp.zeros(shape, jnp.bfloat16), tree, is_leaf=lambda x: isinstance(x, tuple))


def run(*words):
    done = CliRunner().invoke(migrate, [str(word) for word in words])
    assert 0 == done.exit_code, done.output


def tensors(folder):
    found = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "flax") as opened:
            found |= {name: np.asarray(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
    return found


def test_the_model_goes_there_and_back(tmp_path):
    model, new, again = tmp_path / "model", tmp_path / "new", tmp_path / "again"
    write_folder(model, TINY)
    template = "tests.benchmarks.converting.test_converting:make"
    run("apply", "hf/qwen3", model, new, "--template", template, "--allow-code")
    run("apply", "hf/qwen3", "--reverse", new, again, "--layout", "huggingface", "--files-from", model)
    expected, found = tensors(model), tensors(again)
    assert set(shapes(CONFIG)) == set(expected) == set(found)
    assert all(np.array_equal(array, found[name]) for name, array in expected.items())
    assert CONFIG == json.loads((again / "config.json").read_text())


def test_the_full_model_has_the_published_sizes():
    config = config_of(FULL)
    assert (28, 2048, 151936) == (config["num_hidden_layers"], config["hidden_size"], config["vocab_size"])
    assert FULL == round(sum(2 * np.prod(shape) for shape in shapes(config).values()) / 1e9, 2)


def test_every_command_names_its_source_and_destination(tmp_path):
    for way in WAYS:
        words = way.command(tmp_path, "SRC", "DST")
        assert words.index("SRC") + 1 == words.index("DST")
        assert (way.direction == BACK) == (tmp_path / "model" in words), way.key


@pytest.fixture
def folder(tmp_path):
    """Raw figures: migrate takes 6 s and 200 MB, the scripts 10 s and 9 GB."""
    mine = {"seconds": 6.0, "cpu": 9.0, "system": 1.0, "peak": 2e8}
    script = {"seconds": 10.0, "cpu": 20.0, "system": 8.0, "peak": 9e9}
    found = {
        "machine": "2 cores",
        "date": "2026-11-27",
        "runs": 3,
        "model": {"gigabytes": FULL, "num_hidden_layers": 28, "hidden_size": 2048, "vocab_size": 151936},
        "base": {way.key: 1e8 for way in WAYS},
        "figures": {way.key: [mine if way.is_migrate else script] * 3 for way in WAYS},
    }
    (tmp_path / "families.json").write_text(json.dumps(found))
    return tmp_path


def altered(folder, key, **figures):
    """Replaces figures of all runs of a way; returns the page."""
    found = json.loads((folder / "families.json").read_text())
    found["figures"][key] = [run | figures for run in found["figures"][key]]
    (folder / "families.json").write_text(json.dumps(found))
    return write(folder)


def test_the_page_has_every_way_and_meets_its_requirements(folder):
    text = write(folder)
    assert text == (folder / "families.md").read_text()
    assert [] == [way.title for way in WAYS if f"| {way.title} |" not in text]
    assert "| 6.0 | 9.0 | 1.0 | 200.0 MB | 0.60 | 0.45 |" in text
    assert "**no**" not in text


@pytest.mark.parametrize(
    ("key", "figures"),
    [
        ("there", {"seconds": 7.1}),
        ("back", {"seconds": 7.1}),
        ("there-small", {"peak": 1.1e8 + BY_KEY["there-small"].budget}),
        ("back", {"peak": 1.1e8 + BY_KEY["back"].budget}),
    ],
)
def test_a_requirement_that_is_not_met_is_marked(folder, key, figures):
    assert 1 == altered(folder, key, **figures).count("**no**")
