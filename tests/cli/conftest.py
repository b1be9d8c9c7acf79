"""A directory with a small msgpack checkpoint, models and rule files, and a way to run the command in it."""

import shutil
from pathlib import Path

import msgpack
import numpy as np
import pytest
from click.testing import CliRunner

from migrate.cli.main import migrate

RULES = """\
migrate: 1
name: tiny
source: {}
target: {template: "tiny_model:make"}
rules:
  - "params/Dense_{i}/** -> layers/{i}/**"
  - drop: params/old_head
"""

BROKEN = """\
migrate: 1
rules:
  - from: "params/Dense_0/kernel"
    to: "layers/0/kernel"
    ops:
      - transpose: {perms: [1, 0]}
  - form: "a"
    to: "b"
"""

MODEL = """
import numpy as np


def make():
    return {"layers": {str(i): layer() for i in range(3)}}


def layer():
    return {"kernel": np.zeros((4, 4), "float32"), "bias": np.zeros(4, "float32")}


def wider():
    return {"layers": {**make()["layers"], "3": {"kernel": np.zeros((4, 2), "float32")}}}
"""


def pack(node):
    if isinstance(node, dict):
        return {key: pack(value) for key, value in node.items()}
    data = msgpack.packb((node.shape, node.dtype.name, node.tobytes()), use_bin_type=True)
    return msgpack.ExtType(1, data)


def params():
    rng = np.random.default_rng(0)
    layers = {
        f"Dense_{i}": {"kernel": rng.normal(size=(4, 4)).astype("float32"), "bias": np.full(4, i, "float32")}
        for i in range(3)
    }
    return {"params": {**layers, "old_head": np.ones((4, 2), "float32")}}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A fresh directory, and the current one: `old.msgpack`, `rules.yaml`, `broken.yaml`, `tiny_model.py`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "MIGRATE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    Path("old.msgpack").write_bytes(msgpack.packb(pack(params()), use_bin_type=True, strict_types=True))
    Path("rules.yaml").write_text(RULES)
    Path("broken.yaml").write_text(BROKEN)
    Path("tiny_model.py").write_text(MODEL)
    return tmp_path


@pytest.fixture
def untyped(here):
    """The directory with rules that name no template, so that no process imports JAX."""
    Path("rules.yaml").write_text(RULES.replace('target: {template: "tiny_model:make"}\n', ""))
    return here


@pytest.fixture
def run(here):
    """`run("inspect", "old.msgpack")`: the result, with `exit_code`, `stdout` and `stderr`."""
    return lambda *arguments: CliRunner().invoke(migrate, list(arguments))


@pytest.fixture(scope="session")
def migrated_once(tmp_path_factory):
    """A checkpoint that `apply` wrote, once for all tests; to be copied, not changed."""
    return tmp_path_factory.mktemp("migrated") / "new"


@pytest.fixture
def migrated(here, run, migrated_once):
    """`new`: what the rules make of `old.msgpack`."""
    if not migrated_once.exists():
        assert 0 == run("apply", "rules.yaml", "old.msgpack", str(migrated_once)).exit_code
    shutil.copytree(migrated_once, here / "new")
    return "new"
