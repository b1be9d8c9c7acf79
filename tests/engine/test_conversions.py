"""A conversion between model families stays within the memory budget, there and back, whatever the sizes of leaves."""

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
MEASURED = """
import re, sys
from pathlib import Path
import migrate

def peak():  # not ru_maxrss, which a process inherits from the one that started it
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10

with migrate.open_checkpoint(sys.argv[2]) as checkpoint:
    plan = migrate.plan(checkpoint, sys.argv[1])
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    options = {"max_shard_size": 100 << 20} if "huggingface" in Path(sys.argv[1]).read_text() else {}
    migrate.apply(plan, checkpoint, sys.argv[3], max_ram=int(sys.argv[4]), jobs=2, **options)
print(peak() - before)
"""
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


def tensors():
    """One tensor is larger than the budget, all together are three times as large."""
    random = np.random.default_rng(0)
    shapes = {"model.large.weight": (10000, 6000)}
    shapes |= {f"{kind}.part_{i}.weight": (2048, 2048) for i in range(4) for kind in ("model", "heads")}
    return {
        name: random.integers(0, 1 << 16, shape, np.uint16).view(ml_dtypes.bfloat16) for name, shape in shapes.items()
    }


@pytest.fixture
def model(tmp_path):
    """A folder with two files and their index."""
    folder = tmp_path / "model"
    folder.mkdir()
    found = tensors()
    files = {name: f"model-0000{1 + (name > 'model.m')}-of-00002.safetensors" for name in found}
    for file in set(files.values()):
        save_file({name: found[name] for name in found if files[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    return folder


def megabytes(folder, rules, source, target):
    """The memory that the conversion takes beyond what was in use before it."""
    (folder / "rules.yaml").write_text(rules)
    words = [sys.executable, "-c", MEASURED, folder / "rules.yaml", source, target, BUDGET]
    return int(subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True).stdout)


def test_memory_stays_within_the_budget_there_and_back(model, tmp_path):
    there = megabytes(tmp_path, THERE, model, tmp_path / "new")
    back = megabytes(tmp_path, BACK, tmp_path / "new", tmp_path / "again")
    assert 0 < min(there, back) <= max(there, back) < 110, (there, back)  # MiB: the budget, and what the libraries take
    files = sorted((tmp_path / "again").glob("model-*.safetensors"))
    assert 3 == len(files)
    expected, found = tensors(), {}
    for file in files:
        with safe_open(file, "flax") as opened:
            found |= {name: np.asarray(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
    assert {name: array.tobytes() for name, array in expected.items()} == {n: a.tobytes() for n, a in found.items()}
    with open_reader(tmp_path / "new") as reader:
        turned = expected["heads.part_1.weight"].reshape(8, 256, 2048).transpose(2, 0, 1)
        assert turned.tobytes() == np.asarray(reader.read(("heads", "part_1"))).tobytes()
