"""Every format that can be read is migrated by the command line to an NNX template, and plain Orbax restores it.

The checkpoints are those that the old versions wrote, and what is restored has the digests that the writing process
recorded.
"""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import yaml
from click.testing import CliRunner
from flax import nnx

import migrate
from migrate.cli.main import migrate as command
from migrate.template import restore_target
from migrate.tree import format_path, parse_path
from tests.fixtures.eras import digest, manifest, unpack

FORMATS = {
    "flax msgpack": ("e0", "ts_msgpack"),
    "flax msgpack in pieces": ("e1a", "chunked_msgpack"),
    "flax msgpack with arrays beside it": ("e2a", "gda_hybrid_msgpack"),
    "the same by two processes": ("e8", "mp2_flax_gda"),
    "orbax aggregate": ("e4a", "pytree_agg_all"),
    "orbax aggregate with placeholders": ("e4a", "pytree_agg_some"),
    "plain zarr without _METADATA": ("e3a", "pytree_ts"),
    "plain zarr with _METADATA": ("e5b", "pytree_ts_noocdbt"),
    "zarr3 folders": ("e7b", "pytree_zarr3_noocdbt"),
    "zarr3 in ocdbt": ("e8", "pytree_zarr3_ocdbt"),
    "the first ocdbt": ("e3b", "pytree_ts_ocdbt"),
    "ocdbt that was never merged": ("e4c", "hybrid_handlers_ts"),
    "ocdbt": ("e7c", "pytree_ts"),
    "ocdbt by two processes": ("e8", "mp2_standard"),
    "a manager's root": ("e6b", "mgr_single"),
    "v1": ("e8", "v1_pytree_ts"),
    "v1 root": ("e8", "v1_training"),
    "t5x": ("e4a", "t5x_bfloat16"),
    "safetensors": ("e8", "safetensors"),
}
DTYPES = ("float32", "bfloat16", "float16", "int32", "uint32", "bool")
"""What JAX holds without being told to use 64 bits."""


class Node(nnx.Module):
    """A module that is nothing but its parameters."""


def make_net(leaves):
    """The module with these parameters: key path, shape and dtype of each."""
    net = Node()
    for path, shape, dtype in leaves:
        *above, last = parse_path(path)
        node = net
        for name in above:
            if not hasattr(node, name):
                setattr(node, name, Node())
            node = getattr(node, name)
        setattr(node, last, nnx.Param(jnp.zeros(tuple(shape), dtype)))
    return {"net": net}


@pytest.fixture(scope="module")
def eras(tmp_path_factory):
    return tmp_path_factory.mktemp("eras")


def run(*arguments):
    result = CliRunner().invoke(command, list(map(str, arguments)))
    assert 0 == result.exit_code, result.output


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", FORMATS)
def test_it_becomes_an_nnx_model_that_plain_orbax_restores(name, eras, tmp_path):
    era, case = FORMATS[name]
    reading = manifest(unpack(era, eras) / case)["readings"][-1]
    source = eras / era / case / reading["open"]
    arrays = {path_of(leaf, reading): leaf for leaf in reading["leaves"] if leaf.get("dtype") in DTYPES}
    chosen = [f"--{key}={reading[key]}" for key in ("step", "item") if reading[key] is not None]
    with migrate.open_checkpoint(source, step=reading["step"], item=reading["item"]) as checkpoint:
        assert arrays.keys() <= checkpoint.tree.leaves.keys()
    assert_restores(source, {path: digest_of(leaf) for path, leaf in arrays.items()}, chosen, tmp_path)


def test_npz_becomes_an_nnx_model_that_plain_orbax_restores(tmp_path):
    values = {"a/kernel": np.arange(6, dtype="float32").reshape(2, 3), "a/bias": np.ones(3, "float16")}
    np.savez_compressed(tmp_path / "old.npz", **values)
    expected = {tuple(name.split("/")): digest(value) for name, value in values.items()}
    assert_restores(tmp_path / "old.npz", expected, [], tmp_path)


def path_of(leaf, reading):
    """A leaf's key path; names in flat files are read as one."""
    return tuple(leaf["path"][0].split(".")) if reading.get("flat") else tuple(leaf["path"])


def digest_of(leaf):
    return {key: leaf[key] for key in ("dtype", "shape", "sha256")}


def assert_restores(source, expected, chosen, work):
    """Migrates these leaves below `net`, and compares what plain Orbax restores into the template."""
    assert expected
    args = {"leaves": [[format_path(path), leaf["shape"], leaf["dtype"]] for path, leaf in expected.items()]}
    target = {"template": f"{__name__}:make_net", "args": args}
    moves = [f"{format_path(path)} -> net/{format_path(path)}" for path in expected]
    content = {"migrate": 1, "target": target, "rules": moves, "unmatched": {"source": "drop"}}
    rules = work / "rules.yaml"
    rules.write_text(yaml.safe_dump(content), encoding="utf-8")
    run("check", rules, source, *chosen, "--allow-code")
    run("apply", rules, source, work / "new", *chosen, "--allow-code")
    run("verify", work / "new", "--source", source, "--rules", rules, *chosen, "--allow-code")
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(work / "new", restore_target(target["template"], args, "state"))
    assert expected == {path[1:]: digest(value) for path, value in flat(state).items()}


def flat(state):
    """Values by key path, without the level of the Variables."""
    pairs, _ = jax.tree.flatten_with_path(state, is_leaf=lambda node: isinstance(node, nnx.Variable))
    return {
        parse_path(jax.tree_util.keystr(path, simple=True, separator="/")): node.get_value() for path, node in pairs
    }
