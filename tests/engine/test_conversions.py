"""A conversion of a model stays within the memory budget, there and back, whatever the sizes of its tensors.

Covers `streaming.tiles`, `streaming.budget` and the stores together, in whole processes.
"""

import json
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.flax import save_file

from migrate.formats.detect import open_reader

BUDGET = 64 << 20
SLACK = 50
"""MiB that the libraries take beside the budget and beside what they take for a tiny model."""

LAUNCHER = """
import os, sys
child = os.posix_spawnp(sys.executable, [sys.executable, "-m", "migrate", *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss >> 10)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A process inherits the peak memory of the one that starts it, so what starts the command has to be a small one."""

THERE = """migrate: 1
rules:
- {from: "model/{name}/weight", to: "{name}/kernel", ops: [transpose]}
- {from: "heads/{name}/weight", to: "heads/{name}", ops: [{rearrange: {pattern: "(n h) d -> d n h", sizes: {n: 8}}}]}
"""
BACK = """migrate: 1
target: {layout: huggingface}
rules:
- {from: "{name}/kernel", to: "model/{name}/weight", ops: [transpose]}
- {from: "heads/{name}", to: "heads/{name}/weight", ops: [{rearrange: "d n h -> (n h) d"}]}
"""


LARGE = {"model.large.weight": (10000, 6000)} | {
    f"{kind}.part_{i}.weight": (2048, 2048) for i in range(4) for kind in ("model", "heads")
}
"""One tensor is larger than the budget, all together are three times as large."""

TINY = {"model.large.weight": (16, 8), "heads.part_1.weight": (16, 8)}


def tensors(shapes):
    random = np.random.default_rng(0)
    return {
        name: random.integers(0, 1 << 16, shape, np.uint16).view(ml_dtypes.bfloat16) for name, shape in shapes.items()
    }


def write_model(folder, shapes):
    """Writes a folder with two files and their index."""
    folder.mkdir()
    found = tensors(shapes)
    files = {name: f"model-0000{1 + name.startswith('model')}-of-00002.safetensors" for name in found}
    for file in set(files.values()):
        save_file({name: found[name] for name in found if files[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    return folder


def megabytes(*words):
    """The peak memory of a command."""
    command = [sys.executable, "-I", "-S", "-c", LAUNCHER, *map(str, words), "-q", "--max-ram", str(BUDGET)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    return int(done.stdout.split()[-1])


def conversions(folder, shapes):
    """The peak memory of the conversion there, and of that back."""
    folder.mkdir()
    for name, text in {"there": THERE, "back": BACK}.items():
        (folder / f"{name}.yaml").write_text(text)
    model = write_model(folder / "model", shapes)
    there = megabytes("apply", folder / "there.yaml", model, folder / "new")
    words = ["--max-shard-size", "100MiB"]
    return there, megabytes("apply", folder / "back.yaml", folder / "new", folder / "again", *words)


@pytest.mark.matrix
def test_memory_stays_within_the_budget_there_and_back(tmp_path):
    base = conversions(tmp_path / "tiny", TINY)
    found = conversions(tmp_path / "large", LARGE)
    above = [large - tiny for large, tiny in zip(found, base, strict=True)]
    assert 0 < min(above) <= max(above) < (BUDGET >> 20) + SLACK, (base, found)

    expected, again = tensors(LARGE), {}
    files = sorted((tmp_path / "large/again").glob("model-*.safetensors"))
    assert 3 == len(files)
    for file in files:
        with safe_open(file, "flax") as opened:
            again |= {name: np.asarray(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
    assert {name: array.tobytes() for name, array in expected.items()} == {n: a.tobytes() for n, a in again.items()}
    with open_reader(tmp_path / "large/new") as reader:
        turned = expected["heads.part_1.weight"].reshape(8, 256, 2048).transpose(2, 0, 1)
        assert turned.tobytes() == np.asarray(reader.read(("heads", "part_1"))).tobytes()
