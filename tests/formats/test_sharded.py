"""Checkpoints that eight devices saved are read without any device."""

import os
import subprocess
import sys

import numpy as np
import pytest

from migrate.formats.detect import open_reader
from migrate.testing.readers import check_reader

WRITER = """
import sys
import jax, jax.numpy as jnp, orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import numpy as np
mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("data", "model"))
place = lambda spec, *shape: jax.device_put(jnp.arange(float(np.prod(shape))).reshape(shape), NamedSharding(mesh, spec))
tree = {
    "rows": place(P("data"), 8, 4),
    "both": place(P("data", "model"), 4, 8),
    "joined": place(P(None, ("data", "model")), 3, 16),
    "copies": place(P(), 5),
    "keys": jax.device_put(jax.random.split(jax.random.key(0), 8), NamedSharding(mesh, P("model"))),
}
for name, options in {"zarr2": {}, "zarr3": {"use_zarr3": True}, "plain": {"use_ocdbt": False}}.items():
    with ocp.PyTreeCheckpointer(**options) as checkpointer:
        checkpointer.save(f"{sys.argv[1]}/{name}", tree)
"""

LAYOUTS = ("zarr2", "zarr3", "plain")


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharded")
    flags = {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
    }
    subprocess.run([sys.executable, "-c", WRITER, folder], env={**os.environ, **flags}, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_whole_array_comes_back(sharded, layout):
    check_reader(lambda: open_reader(sharded / layout))
    with open_reader(sharded / layout) as reader:
        for name, shape in {"rows": (8, 4), "both": (4, 8), "joined": (3, 16), "copies": (5,)}.items():
            expected = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
            assert np.array_equal(expected, reader.read((name,)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_chunks_and_sharding_are_those_of_the_save(sharded, layout):
    with open_reader(sharded / layout) as reader:
        leaves = reader.abstract().tree.leaves
    found = {path[0]: (leaf.storage.chunks, str(leaf.sharding)) for path, leaf in leaves.items()}
    assert found == {
        "both": ((2, 2), "data=2,model=4(data,model)"),
        "copies": ((5,), "data=2,model=4()"),
        "joined": ((3, 2), "data=2,model=4(-,data+model)"),
        "keys": ((1,), "data=2,model=4(model)"),
        "rows": ((1, 4), "data=2,model=4(data)"),
    }
