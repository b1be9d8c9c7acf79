"""`--mesh` and `--partition`: chunks and shardings of the target, written from a host with one device.

Covers `outputs.array_record` from end to end.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest

import migrate
from migrate.engine import run
from migrate.engine.options import MINIMUM_RAM
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from migrate.rules.partition_file import load_partition
from migrate.sharding import parse_mesh
from tests.engine.sources import opened, plan_for

SCRIPT = Path(__file__).parent / "eight_devices.py"
RULES = parse_rules("migrate: 1\nrules: []", "rules.yaml")
KERNEL = np.arange(16 * 8, dtype=np.float32).reshape(16, 8)


def on_eight_devices(verb, *paths):
    done = subprocess.run([sys.executable, SCRIPT, verb, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A checkpoint that was saved 8-way sharded."""
    path = tmp_path_factory.mktemp("sharded") / "old"
    on_eight_devices("save", path)
    return path


def resharded(source, target, mesh, partition=None):
    with opened(source) as reader:
        plan = make_plan(reader.abstract(), RULES, None, mesh=parse_mesh(mesh), partition=partition)
        assert () == plan.diagnostics
        run.apply(plan, reader, target)


def partition(tmp_path):
    path = tmp_path / "specs.yaml"
    path.write_text("- kernel: [data, model]\n- bias: [model]\n")
    return load_partition(path)


@pytest.fixture(scope="module")
def made(source, tmp_path_factory):
    """Checkpoints for a mesh, for one with an open axis, and without a mesh."""
    folder = tmp_path_factory.mktemp("made")
    resharded(source, folder / "mesh", "data=2,model=4", partition(folder))
    resharded(source, folder / "open", "data=-1,model=4", partition(folder))
    with opened(source) as reader:
        run.apply(plan_for(reader), reader, folder / "none")
    return {name: folder / name for name in ("mesh", "open", "none")}


@pytest.fixture(scope="module")
def restored(made):
    """What eight devices restore of each."""
    lines = on_eight_devices("restore", *made.values()).splitlines()
    return dict(zip(made, map(json.loads, lines), strict=True))


def test_an_eight_way_checkpoint_is_laid_out_for_another_mesh(restored):
    found = restored["mesh"]
    assert {"data": 2, "model": 4} == found["kernel"]["mesh"]
    assert ["data", "model"] == found["kernel"]["spec"]
    assert [8, 2] == found["kernel"]["shard"]
    assert ["model"] == found["bias"]["spec"]
    assert hashlib.sha256(KERNEL.tobytes()).hexdigest() == found["kernel"]["sha256"]


def test_chunks_are_the_targets_shards(made):
    with opened(made["mesh"]) as reader:
        leaves = reader.abstract().tree.leaves
        assert (8, 2) == leaves[("kernel",)].storage.chunks
        assert np.array_equal(KERNEL, reader.read(("kernel",)))


def test_an_open_axis_takes_as_many_devices_as_there_are(restored):
    assert {"data": 2, "model": 4} == restored["open"]["kernel"]["mesh"]


def test_without_a_mesh_the_output_is_replicated_over_whatever_is_there(restored):
    assert {"devices": 8} == restored["none"]["kernel"]["mesh"]
    assert [16, 8] == restored["none"]["kernel"]["shard"]


def test_a_dimension_that_is_not_divisible_is_an_error_that_names_it(source, tmp_path):
    with opened(source) as reader:
        mesh = parse_mesh("data=3,model=4")
        plan = make_plan(reader.abstract(), RULES, None, mesh=mesh, partition=partition(tmp_path))
    assert ["M307"] == [d.code for d in plan.diagnostics]
    assert "kernel" in plan.diagnostics[0].message


@pytest.mark.parametrize("zarr3", [False, True])
def test_an_array_beyond_the_budget_is_tuned_in_tiles_that_divide_the_chosen_chunks(tmp_path, zarr3):
    value = np.random.default_rng(0).standard_normal((4096, 2048), np.float32)
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_zarr3=zarr3)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave({"kernel": value}))
    (tmp_path / "p.yaml").write_text("- kernel: [x, y]\n")
    with migrate.open_checkpoint(tmp_path / "old") as checkpoint:
        plan = migrate.plan_tune(checkpoint, ["x=2,y=4"], partition=tmp_path / "p.yaml")
        chosen = plan.target.leaves[("kernel",)].chunks
        migrate.apply(plan, checkpoint, tmp_path / "new", max_ram=MINIMUM_RAM)
    with opened(tmp_path / "new") as reader:
        storage = reader.abstract().tree.leaves[("kernel",)].storage
        assert np.array_equal(value, reader.read(("kernel",)))
    decoded = storage.inner or storage.chunks
    assert (2048, 512) == chosen.inner
    assert decoded != chosen.inner
    assert all(whole % part == 0 for whole, part in zip(chosen.inner, decoded, strict=True))
