"""Keys of every era end as typed keys that Orbax restores, with the words that they had."""

from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from flax import nnx

from migrate.cli.main import migrate
from migrate.template import restore_target
from tests.template.models import Small

ROOT = Path(__file__).parent.parent.parent
SPEC = "tests.template.models:Small"
WORDS = np.array([7, 11], np.uint32)
HEAD = f"migrate: 1\ntarget: {{template: {SPEC}}}\nrules:"
WRAP = '- {from: "drop/rngs/key", to: "drop/rngs/key", ops: [{wrap_key_data: threefry2x32}]}'


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def weights():
    return nnx.to_pure_dict(nnx.state(Small(nnx.Rngs(1)), nnx.Param))


def saved(tree, place):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(place, tree)
    return str(place)


def migrated(rules, source, work):
    (work / "rules.yaml").write_text(HEAD + (f"\n{rules}" if rules else " []"))
    return CliRunner().invoke(migrate, ["apply", str(work / "rules.yaml"), source, str(work / "new"), "--allow-code"])


def restored(work):
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(work / "new", restore_target(SPEC))
    return nnx.merge(nnx.graphdef(nnx.eval_shape(lambda: Small(nnx.Rngs(0)))), state)


def test_words_at_the_place_of_a_key_are_refused_and_the_rule_that_is_named_wraps_them(weights, tmp_path):
    source = saved(weights | {"drop": {"rngs": {"key": WORDS, "count": np.uint32(3)}}}, tmp_path / "old")
    refused = migrated("", source, tmp_path)
    assert 1 == refused.exit_code
    assert "M302" in refused.output
    assert WRAP in refused.output.replace("\n", " ")
    assert 0 == migrated(WRAP, source, tmp_path).exit_code
    stream = restored(tmp_path).drop.rngs
    assert WORDS.tolist() == jax.random.key_data(stream.key.get_value()).tolist()
    assert 3 == int(stream.count.get_value())


def test_a_typed_key_of_the_same_layout_is_kept(weights, tmp_path):
    key = jax.random.wrap_key_data(WORDS)
    source = saved(weights | {"drop": {"rngs": {"key": key, "count": np.uint32(3)}}}, tmp_path / "old")
    done = migrated("", source, tmp_path)
    assert 0 == done.exit_code, done.output
    assert WORDS.tolist() == jax.random.key_data(restored(tmp_path).drop.rngs.key.get_value()).tolist()


def test_the_shared_stream_of_old_nnx_goes_to_the_layers_that_a_rule_names(weights, tmp_path):
    shared = {"dropout": {"key": jax.random.wrap_key_data(WORDS), "count": np.uint32(5)}}
    source = saved(weights | {"drop": {"rngs": shared}}, tmp_path / "old")
    assert 1 == migrated("", source, tmp_path).exit_code
    done = migrated('- "drop/rngs/dropout/** -> drop/rngs/**"', source, tmp_path)
    assert 0 == done.exit_code, done.output
    stream = restored(tmp_path).drop.rngs
    assert WORDS.tolist() == jax.random.key_data(stream.key.get_value()).tolist()
    assert 5 == int(stream.count.get_value())


def test_a_checkpoint_without_streams_starts_them_by_the_rule_that_is_named(weights, tmp_path):
    source = saved(weights, tmp_path / "old")
    refused = migrated("", source, tmp_path)
    rule = '- create: {to: "**/rngs/**", init: {rng: {seed: 0}}}'
    assert rule in refused.output.replace("\n", " ")
    assert 0 == migrated(rule, source, tmp_path).exit_code
    stream = restored(tmp_path).drop.rngs
    assert jax.dtypes.issubdtype(stream.key.get_value().dtype, jax.dtypes.prng_key)
    assert 0 == int(stream.count.get_value())
    restored(tmp_path).drop(np.ones(4, np.float32))
