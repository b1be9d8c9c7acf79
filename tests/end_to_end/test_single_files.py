"""What people leave JAX with, and come back from: single files, through the command line and foreign libraries."""

import json
from pathlib import Path

import flax.serialization
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.numpy import load_file

from migrate.cli.main import migrate
from migrate.formats.detect import open_reader
from migrate.template import restore_target
from migrate.testing.readers import check_reader, same_value
from tests.oracle.cases import CASES

ROOT = Path(__file__).parent.parent.parent
LM = ROOT / "fixtures/linen_2022/lm_flax_msgpack/ckpt/checkpoint_100"


def run(*arguments, code=0):
    result = CliRunner().invoke(migrate, list(map(str, arguments)))
    assert code == result.exit_code, result.output
    return result


def values(path):
    with open_reader(path) as reader:
        return {p: reader.read(p) for p, leaf in reader.abstract().tree.leaves.items() if leaf.has_data}


def assert_equal(expected, actual):
    assert expected.keys() == actual.keys()
    for path, value in expected.items():
        assert same_value(np.asarray(value), np.asarray(actual[path])), path


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("suffix", "verify"),
    [
        *(("safetensors", "digest"), ("msgpack", "digest")),
        *(("msgpack", "full"), ("safetensors", "full")),
        *(("safetensors", "none"), ("msgpack", "none")),
    ],
)
def test_a_file_holds_every_value_and_verifies(tmp_path, suffix, verify):
    out = tmp_path / f"out.{suffix}"
    result = run("apply", "portable", LM, out, "--verify", verify)
    assert f"({suffix}, " in result.stdout
    assert [out] == list(tmp_path.iterdir())
    assert_equal(values(LM), values(out))
    check_reader(lambda: open_reader(out))
    assert "Its structure matches the hash that it records" in run("verify", out).stdout
    run("verify", out, "--source", LM, "--rules", "portable")


def test_the_safetensors_library_loads_every_tensor_bit_for_bit(tmp_path):
    run("apply", "portable", LM, tmp_path / "out.safetensors")
    loaded = load_file(tmp_path / "out.safetensors")
    assert_equal({".".join(path): value for path, value in values(LM).items()}, loaded)
    with safe_open(tmp_path / "out.safetensors", framework="np") as file:
        metadata = file.metadata()
    assert "pt" == metadata["format"]
    assert "portable" == json.loads(metadata["migrate"])["history"][0]["rules"]


def test_flax_restores_every_leaf_of_a_msgpack_file_and_sees_no_more(tmp_path):
    run("apply", "portable", LM, tmp_path / "out.msgpack")
    original = flax.serialization.msgpack_restore(LM.read_bytes())
    content = (tmp_path / "out.msgpack").read_bytes()
    restored = flax.serialization.msgpack_restore(content)
    assert jax.tree.structure(original) == jax.tree.structure(restored)
    for one, other in zip(jax.tree.leaves(original), jax.tree.leaves(restored), strict=True):
        assert type(one) is type(other)
        assert same_value(np.asarray(one), np.asarray(other))
    again = flax.serialization.from_bytes(original, content)
    assert jax.tree.structure(original) == jax.tree.structure(again)


LM_CASES = [case for case in CASES if not case.real and case.name.startswith("lm_flax_msgpack")] or CASES[:1]


@pytest.mark.parametrize("suffix", ["safetensors", "msgpack"])
def test_there_and_back_again_through_the_template(tmp_path, suffix, monkeypatch):
    """The old file, the single file made of it, and what the rules make of either for Orbax."""
    monkeypatch.chdir(ROOT)
    case = LM_CASES[0]
    run("apply", "portable", case.checkpoint, tmp_path / f"out.{suffix}")
    run("apply", case.rules, tmp_path / f"out.{suffix}", tmp_path / "new")
    run("apply", case.rules, case.checkpoint, tmp_path / "directly")
    assert_equal(values(tmp_path / "directly"), values(tmp_path / "new"))
    check_orbax(case, tmp_path / "new")


def check_orbax(case, place):
    from migrate.rules.loader import load_rules

    target = load_rules(case.rules).target
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.restore(place, restore_target(target.template, target.args, target.layout or "state"))


def test_an_npz_file_becomes_a_checkpoint_of_an_nnx_model(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    case = LM_CASES[0]
    np.savez(tmp_path / "old.npz", **{"/".join(path): value for path, value in values(case.checkpoint).items()})
    rules = case.rules.read_text()
    (tmp_path / "rules.yaml").write_text(rules)
    run("apply", tmp_path / "rules.yaml", tmp_path / "old.npz", tmp_path / "new", "--allow-code")
    run("apply", case.rules, case.checkpoint, tmp_path / "directly")
    assert_equal(values(tmp_path / "directly"), values(tmp_path / "new"))
    check_orbax(case, tmp_path / "new")


def test_a_model_leaves_by_the_template_too(tmp_path, monkeypatch):
    """Names in the file are those of the model, without the level that Flax's Variables add in Orbax."""
    monkeypatch.chdir(ROOT)
    case = LM_CASES[0]
    run("apply", case.rules, case.checkpoint, tmp_path / "new")
    out = tmp_path / "out.safetensors"
    run("apply", case.rules, case.checkpoint, out)
    assert_equal({".".join(path): value for path, value in values(tmp_path / "new").items()}, load_file(out))
