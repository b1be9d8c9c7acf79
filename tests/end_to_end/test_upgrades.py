"""Upgrades of Orbax checkpoints in one pass and step by step: equal bits, and no more work than one step."""

import importlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from flax import nnx

import migrate
from migrate.cli.main import migrate as migrate_command

HEAD = "migrate: 1\nsource: {{model: m, version: {0}}}\ntarget: {{model: m, version: {1}}}\nrules:\n{2}\n"
CHAIN = (
    '  - "params/Dense_{i}/** -> params/layers/{i}/**"',
    '  - {from: "params/layers/{i}/kernel", to: "params/layers/kernel", ops: [transpose, {stack: {over: i}}]}\n'
    '  - {from: "params/layers/{i}/bias", to: "params/layers/bias", ops: [{stack: {over: i}}]}',
    '  - {from: "params/big", to: ["params/first", "params/second"], ops: [{split: {axis: 0}}]}',
    '  - {from: "params/second", to: "params/second", ops: [transpose]}\n'
    '  - {from: "params/layers/bias", to: "params/layers/{i}/bias", ops: [{unstack: {over: i}}]}',
    '  - {from: "params/layers/kernel", to: "params/layers/kernel", ops: [{cast: {to: bfloat16, lossy: true}}]}',
)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """Params and the state of adam; one array has four chunks."""
    rng = np.random.default_rng(0)

    def array(*shape):
        return jnp.asarray(rng.normal(size=shape).astype("float32"))

    params = {f"Dense_{i}": {"kernel": array(4, 6), "bias": array(6)} for i in range(3)} | {"big": array(64, 32)}
    adam = optax.adam(1e-3)
    _, state = adam.update(params, adam.init(params), params)
    tree = {"params": params, "opt_state": state, "step": 7}
    path = tmp_path_factory.mktemp("old") / "old"
    save = jax.tree.map(lambda _: ocp.SaveArgs(), tree)
    save["params"]["big"] = ocp.SaveArgs(chunk_byte_size=64 * 32)
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        checkpointer.save(path, args=ocp.args.PyTreeSave(tree, save_args=save))
    return path


def write(folder, chain):
    folder.mkdir()
    for version, rules in enumerate(chain, start=1):
        (folder / f"{version + 1:04}.yaml").write_text(HEAD.format(version, version + 1, rules))
    return folder


def upgraded(source, folder, destination, **options):
    with migrate.open_checkpoint(source) as checkpoint:
        plan = migrate.plan_upgrade(checkpoint, folder, start=1)
        assert plan.applicable, [d.message for d in plan.diagnostics]
        return plan, migrate.apply(plan, checkpoint, destination, **options)


def values(path):
    with migrate.open_checkpoint(path) as checkpoint:
        return {path: np.asarray(value) for path, value in checkpoint.reader.read_all().items()}


def test_an_upgrade_of_params_and_moments_writes_the_bits_of_its_steps(old, tmp_path):
    folder = write(tmp_path / "rules", CHAIN)
    plan, receipt = upgraded(old, folder, tmp_path / "new", verify="full")
    source, read = old, []
    for version in range(2, len(CHAIN) + 2):
        with migrate.open_checkpoint(source) as checkpoint:
            one = migrate.plan(checkpoint, folder / f"{version:04}.yaml")
            assert one.applicable, [d.message for d in one.diagnostics]
            migrate.apply(one, checkpoint, tmp_path / f"v{version}")
        read.append(one.bytes_read)
        source = tmp_path / f"v{version}"

    expected, actual = values(source), values(tmp_path / "new")
    assert expected.keys() == actual.keys()
    for path, value in expected.items():
        assert (value.dtype, value.shape, value.tobytes()) == (
            actual[path].dtype,
            actual[path].shape,
            actual[path].tobytes(),
        ), path
    assert receipt.bytes_read <= sum(read)
    assert ("opt_state", "0", "mu", "layers", "kernel") in actual
    modes = {target: task.mode for task in plan.tasks for target in task.targets}
    assert ("relink", "stream") == (modes["params", "first"], modes["params", "second"])


def test_twenty_renames_decode_no_array(old, tmp_path):
    chain = ['  - "params/** -> v1/**"', *(f'  - "v{n}/** -> v{n + 1}/**"' for n in range(1, 20))]
    chain[0] = f"{chain[0]}\n  - drop: opt_state/**"
    plan, receipt = upgraded(old, write(tmp_path / "rules", chain), tmp_path / "new")

    assert (8, 7) == (plan.bytes_read, sum(task.mode == "relink" for task in plan.tasks))
    # The moments, which are dropped, are most of their file: the chunks of the params are copied as they are encoded.
    assert (7, {"linked"}) == (
        receipt.linked,
        {receipt.leaf_digests[path] for path in plan.target.leaves if path[0] == "v20"},
    )
    assert 20 == len(plan.chain)
    found = values(tmp_path / "new")
    np.testing.assert_array_equal(values(old)["params", "big"], found["v20", "big"])


def test_an_upgrade_that_was_killed_is_resumed(old, tmp_path):
    folder = write(tmp_path / "rules", CHAIN)
    asked = iter([False] * 3)
    with migrate.open_checkpoint(old) as checkpoint:
        plan = migrate.plan_upgrade(checkpoint, folder, start=1)
        with pytest.raises(migrate.StoppedError):
            migrate.apply(plan, checkpoint, tmp_path / "new", jobs=1, stopped=lambda: next(asked, True))
    with migrate.open_checkpoint(old) as checkpoint:
        again = migrate.plan_upgrade(checkpoint, folder, start=1)
        migrate.apply(again, checkpoint, tmp_path / "new", resume="only")

    assert plan.digest == again.digest
    assert (tmp_path / "new").exists()


MODELS = """
import optax
from flax import nnx


class Old(nnx.Module):
    def __init__(self, rngs):
        self.dense_in = nnx.Linear(3, 5, rngs=rngs)
        self.dense_out = nnx.Linear(5, 2, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)


class Renamed(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(3, 5, rngs=rngs)
        self.second = nnx.Linear(5, 2, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)


class Listed(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(3, 5, rngs=rngs), nnx.Linear(5, 2, rngs=rngs)])
        self.drop = nnx.Dropout(0.5, rngs=rngs)


def trained(model):
    return {"model": model, "optimizer": nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)}


def v1():
    return trained(Old(nnx.Rngs(0)))


def v2():
    return trained(Renamed(nnx.Rngs(0)))


def v3():
    return trained(Listed(nnx.Rngs(0)))
"""


@pytest.fixture
def models(tmp_path, monkeypatch):
    """`chain_models.py` in the current directory, and a checkpoint of its first version."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "chain_models.py").write_text(MODELS)
    importlib.invalidate_caches()
    sys.modules.pop("chain_models", None)
    parts = importlib.import_module("chain_models").v1()
    state = {name: nnx.state(part) for name, part in parts.items()}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "v1", state)
    yield tmp_path
    sys.modules.pop("chain_models", None)


def run(*arguments):
    result = CliRunner().invoke(migrate_command, list(arguments))
    assert result.exit_code in (0, 1), (arguments, result.output, result.stderr)
    return result


def test_versions_of_an_nnx_model_whose_code_is_gone(models):
    run("new", "rules", "--from", "v1", "--template", "chain_models:v2", "--model", "lm", "-m", "rename")
    run("new", "rules", "--template", "chain_models:v3", "-m", "list")
    assert 0 == run("apply", "rules/0002_rename.yaml", "v1", "v2").exit_code
    assert 0 == run("apply", "rules/0003_list.yaml", "v2", "v3").exit_code
    (models / "chain_models.py").write_text(MODELS.replace("def v2()", "def gone()"))
    sys.modules.pop("chain_models")
    importlib.invalidate_caches()
    upgrade = run("upgrade", "rules", "v1", "new", "--from", "1", "--verify", "full")

    assert 0 == upgrade.exit_code, upgrade.stderr
    expected, actual = values("v3"), values("new")
    assert expected.keys() == actual.keys()
    assert all(value.tobytes() == actual[path].tobytes() for path, value in expected.items())
    assert any("mu" in path for path in actual)
    squashed = run("squash", "rules", "--from", "1", "-o", "one.yaml")
    assert 0 == squashed.exit_code, squashed.stderr
    assert 0 == run("apply", "one.yaml", "v1", "again").exit_code
    assert all(value.tobytes() == actual[path].tobytes() for path, value in values("again").items())
