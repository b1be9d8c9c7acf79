"""Checkpoints that Orbax and Flax write, once per test run, and trees to write."""

import warnings

import pytest


def typical_tree():
    """A tree with every kind of leaf that Orbax stores."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    return {
        "params": {
            "Dense_0": {"kernel": jnp.arange(12.0).reshape(4, 3), "bias": jnp.ones(3, jnp.bfloat16)},
            "layers": [jnp.full((2, 2), 7, jnp.int32), {"scale": jnp.zeros(5)}],
        },
        "host": np.arange(6, dtype=np.int64).reshape(2, 3) * 2**40,
        "step": 3,
        "rate": 1.5,
        "flag": True,
        "none": None,
        "empty": {"dict": {}, "list": [], "tuple": ()},
        "keys": {
            "one": jax.random.key(0),
            "many": jax.random.split(jax.random.key(1), 3),
            "rbg": jax.random.key(2, impl="rbg"),
        },
    }


def odd_names_tree():
    """Keys that would be syntax somewhere."""
    import jax.numpy as jnp

    names = ["a/b", "c.d", "('kernel',)", "5", "ü x", "{i}", "*", "d", "default"]
    return {name: jnp.full((2,), index, jnp.float32) for index, name in enumerate(names)}


def dtype_tree():
    """Every dtype, as a matrix and without dimensions."""
    import ml_dtypes
    import numpy as np

    names = [
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "float32", "float64", "bfloat16", "complex64", "complex128",
        "int4", "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz",
    ]  # fmt: skip
    tree = {}
    for name in names:
        dtype = np.dtype(getattr(ml_dtypes, name, None) or name)
        tree[name] = {"matrix": np.arange(6).reshape(2, 3).astype(dtype), "zero_d": np.ones((), dtype)}
    return tree


def host_tree():
    """What only the pytree writers take: strings, NumPy scalars, and a key with a backslash."""
    import numpy as np

    return {
        "name": "héllo",
        "deep": {"text": ""},
        "narrow": np.float32(2.5),
        "small": np.int8(-3),
        "back\\slash": np.ones(2, np.float32),
    }


TREES = {"host": host_tree, "typical": typical_tree, "odd_names": odd_names_tree, "dtypes": dtype_tree}


def _pytree(**options):
    def write(path, tree):
        import orbax.checkpoint as ocp

        with ocp.PyTreeCheckpointer(**options) as checkpointer:
            checkpointer.save(path, tree)
        return path

    return write


def _standard(path, tree):
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree)
    return path


def _manager(path, tree):
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager(path) as manager:
        manager.save(7, args=ocp.args.PyTreeSave(tree))
    return path / "7" / "default"


def _version_1(path, tree):
    import orbax.checkpoint.experimental.v1 as ocp1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ocp1.save_pytree(path, tree)
    return path / "state"


WRITERS = {
    "ocdbt_zarr2": _pytree(),
    "plain_zarr2": _pytree(use_ocdbt=False),
    "ocdbt_zarr3": _pytree(use_zarr3=True),
    "plain_zarr3": _pytree(use_ocdbt=False, use_zarr3=True),
    "standard": _standard,
    "manager": _manager,
    "version_1": _version_1,
}
"""Each writes a tree below a path and returns the item's directory."""


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """`written(writer, tree)`: the item directory of a named tree that a named writer wrote; do not change it."""
    done = {}

    def write(writer, tree):
        if (writer, tree) not in done:
            folder = tmp_path_factory.mktemp("written") / f"{writer}_{tree}"
            done[writer, tree] = WRITERS[writer](folder, TREES[tree]())
        return done[writer, tree]

    return write


@pytest.fixture
def copy_of(written, tmp_path):
    """`copy_of(writer, tree)`: a copy of what `written` gives, to damage."""
    import shutil

    def copy(writer="ocdbt_zarr2", tree="typical"):
        target = tmp_path / "copy"
        shutil.copytree(written(writer, tree), target, symlinks=True)
        return target

    return copy
