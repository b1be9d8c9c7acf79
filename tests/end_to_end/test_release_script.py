"""Migrate called from a release script: exit codes and JSON are what a shell can build on."""

import os
import subprocess
import sys
from pathlib import Path

import msgpack
import numpy as np
import pytest
from flax import serialization

SCRIPT = Path(__file__).parent / "release.sh"

MODEL = """
from flax import nnx


class Model(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(3, 4, rngs=rngs)
        self.out = nnx.Linear(4, 2, rngs=rngs)


def make_model(rngs):
    return Model(rngs)
"""


@pytest.mark.matrix
def test_a_release_follows_a_model_change(tmp_path):
    dense = {
        f"Dense_{i}": {"kernel": np.ones(shape, "f4"), "bias": np.zeros(shape[1], "f4")}
        for i, shape in enumerate([(3, 4), (4, 2)])
    }
    (tmp_path / "old").write_bytes(serialization.msgpack_serialize({"params": dense}))
    assert msgpack.unpackb((tmp_path / "old").read_bytes(), strict_map_key=False)
    (tmp_path / "model.py").write_text(MODEL)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
    }
    done = subprocess.run([SCRIPT, tmp_path], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [
        "missing: ['hidden/bias', 'hidden/kernel', 'out/bias', 'out/kernel']",
        "unexpected: ['params/Dense_0/bias', 'params/Dense_0/kernel', 'params/Dense_1/bias', 'params/Dense_1/kernel']",
        "planned: True",
        "applied",
        "again: True",
        "twice: M502",
        "unchanged",
    ] == done.stdout.splitlines()
