"""Every bundled and every real checkpoint, migrated by the command line into its NNX twin and restored by plain Orbax.

What comes out is compared with oracles that share no code with the package, and the twin computes what the original
did.
"""

import os
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from flax import nnx

from migrate.cli.main import migrate
from migrate.formats.detect import open_reader
from migrate.rules.loader import load_rules
from migrate.template import restore_target
from migrate.template.user_code import load
from tests.oracle.cases import CASES, Case

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def highest_precision():
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """Migrates a case once, through the command line, and gives the place."""
    places: dict[str, Path] = {}
    work = tmp_path_factory.mktemp("migrated")

    def place(case: Case) -> Path:
        if case.real and not case.checkpoint.exists():
            pytest.skip("the real checkpoints are not on this machine")
        if case.name not in places:
            places[case.name] = work / case.name
            run(["apply", str(case.rules), str(case.checkpoint), str(places[case.name])])
        return places[case.name]

    return place


def run(arguments):
    result = CliRunner().invoke(migrate, arguments)
    assert 0 == result.exit_code, result.output
    return result


@pytest.mark.sample(5)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_leaf_is_what_the_oracle_says(case, migrated, monkeypatch):
    monkeypatch.chdir(ROOT)
    with open_reader(migrated(case)) as reader:
        found = {path for path in reader.abstract().tree.leaves if "rngs" not in path}
        expected = case.expected()
        assert set(expected) == found
        for path, value in expected.items():
            read = np.asarray(reader.read(path))
            assert (value.dtype, value.shape, value.tobytes()) == (read.dtype, read.shape, read.tobytes()), path


@pytest.mark.sample(5)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_restores_into_the_template_and_computes_what_the_original_did(case, migrated, monkeypatch):
    monkeypatch.chdir(ROOT)
    target = load_rules(case.rules).target
    with ocp.StandardCheckpointer() as checkpointer:
        abstract = restore_target(target.template, target.args, target.layout or "state")
        state = checkpointer.restore(migrated(case), abstract)
    with np.load(case.golden) as golden:
        names = [name for name in golden.files if name.startswith("out_") and name != "out_logits_after_step"]
        assert names
        for expected, actual in outputs(model_of(target.template, state), golden, names):
            np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-5, atol=1e-5)


def model_of(spec, state):
    """The model, merged from the restored state."""
    made = nnx.eval_shape(lambda: call(load(spec)))
    module = made["model"] if isinstance(made, dict) else made
    restored = state["model"] if isinstance(made, dict) else state
    model = nnx.merge(nnx.graphdef(module), restored)
    model.eval()
    return model


def call(make):
    return make(nnx.Rngs(0)) if make.__code__.co_argcount else make()


def outputs(model, golden, names):
    """Pairs of the original's output and the twin's for the golden input; the agent has three outputs, the rest one."""
    (source,) = (golden[name] for name in golden.files if name.startswith("in_") and "train" not in name)
    if hasattr(model, "normalizer"):
        policy, value = model(source)
        computed = {"out_normalised": model.normalizer(source), "out_policy_swish": policy, "out_value_swish": value}
    else:
        computed = dict.fromkeys(names, model(source))
    return [(golden[name], computed[name]) for name in names]


def test_a_migration_by_relative_paths_works(migrated, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    case = CASES[0]
    run(["apply", str(case.rules), os.path.relpath(case.checkpoint), os.path.relpath(tmp_path / "new")])
    run(["verify", os.path.relpath(tmp_path / "new"), "--source", str(case.checkpoint), "--rules", str(case.rules)])
