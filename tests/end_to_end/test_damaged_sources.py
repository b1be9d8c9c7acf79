"""Files of a source that are missing, empty or cut off: every command names the file, or its answer is right.

Each file of a small checkpoint of each format is damaged in each way. A chunk that is a file of its own may be cut off
inside, which only reading shows: then `inspect`, `diff` and the dry run are right about the tree, and `apply` refuses.
"""

import os
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from flax import serialization
from safetensors.numpy import save_file

from migrate.cli.main import migrate
from tests.formats.sources import flax_file_with_arrays_beside
from tests.formats.test_base import unmerged

RULES = """\
migrate: 1
rules:
  - 'linked/** -> moved/**'
  - {from: 'streamed/**', to: 'streamed/**', ops: [{flip: {axis: 0}}]}
"""
KEEP_ALL = "migrate: 1\nrules: []\n"


def tree():
    rng = np.random.default_rng(0)
    return {name: {"w": rng.standard_normal((20, 30)).astype(np.float32)} for name in ("linked", "streamed")}


def orbax(**options):
    def write(folder):
        with ocp.PyTreeCheckpointer(**options) as checkpointer:
            checkpointer.save(folder / "old", tree())
        return folder / "old", RULES

    return write


def safetensors(folder):
    save_file({f"{name}/w": node["w"] for name, node in tree().items()}, folder / "old.safetensors")
    return folder / "old.safetensors", RULES


def npz(folder):
    np.savez(folder / "old.npz", **{f"{name}/w": node["w"] for name, node in tree().items()})
    return folder / "old.npz", RULES


def msgpack(folder):
    (folder / "old.msgpack").write_bytes(serialization.msgpack_serialize(tree()))
    return folder / "old.msgpack", RULES


def gathered(folder):
    """Databases of two processes that were never merged."""
    return unmerged(folder), KEEP_ALL


def flax_with_arrays_beside(folder):
    flax_file_with_arrays_beside(folder)
    return folder, KEEP_ALL


FORMATS = {
    "ocdbt zarr2": orbax(),
    "ocdbt zarr3": orbax(use_zarr3=True),
    "plain zarr2": orbax(use_ocdbt=False),
    "plain zarr3": orbax(use_ocdbt=False, use_zarr3=True),
    "unmerged": gathered,
    "flax and zarr": flax_with_arrays_beside,
    "safetensors": safetensors,
    "npz": npz,
    "msgpack": msgpack,
}
DAMAGES = {
    "removed": lambda file: file.unlink(),
    "emptied": lambda file: os.truncate(file, 0),
    "halved": lambda file: os.truncate(file, file.stat().st_size // 2),
    "one byte short": lambda file: os.truncate(file, max(file.stat().st_size - 1, 0)),
}


def run(*words):
    return CliRunner().invoke(migrate, [str(word) for word in words])


def copied(source, target):
    """A fresh copy of a file or directory."""
    if target.is_dir():
        shutil.rmtree(target)
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    return target


def restored(path):
    """The values that plain Orbax restores."""
    with ocp.PyTreeCheckpointer() as checkpointer:
        leaves = jax.tree_util.tree_leaves_with_path(checkpointer.restore(path))
    return sorted((jax.tree_util.keystr(path), np.asarray(value).tobytes()) for path, value in leaves)


def unnamed(result, file):
    """What is wrong with the answer of a command: it has to name the file, or to succeed."""
    if result.exit_code == 0 or (result.exit_code in (1, 2) and file.name in "".join(result.output.split())):
        return "M901" if "M901" in result.output else None
    return f"exit {result.exit_code}: {result.output[-300:]}"


@pytest.mark.sample(5)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_file_is_named_or_does_no_harm(tmp_path, form, damage):
    (tmp_path / "source").mkdir()
    source, text = FORMATS[form](tmp_path / "source")
    rules, new = tmp_path / "rules.yaml", tmp_path / "new"
    rules.write_text(text)
    assert 0 == run("apply", rules, source, new).exit_code
    meant, problems, refused = restored(new), [], 0
    files = [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]
    for number, file in enumerate(files):
        shutil.rmtree(new, ignore_errors=True)
        old = copied(source, tmp_path / f"{number}{source.suffix}")
        damaged = old / file.relative_to(source)
        DAMAGES[damage](damaged)
        commands = {
            "inspect": run("inspect", old),
            "diff": run("diff", old, source),
            "dry run": run("apply", "-n", rules, old, new),
            "apply": run("apply", rules, old, new),
        }
        problems += [(str(damaged), name, why) for name, done in commands.items() if (why := unnamed(done, damaged))]
        refused += commands["apply"].exit_code != 0
        if commands["apply"].exit_code == 0 and meant != restored(new):
            problems.append((str(damaged), "apply", "wrong values"))
        if commands["apply"].exit_code != 0 and new.exists():
            problems.append((str(damaged), "apply", "published"))
    assert [] == problems
    assert refused
