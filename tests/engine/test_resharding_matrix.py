"""Any mesh to any mesh from one CPU: saved by Orbax under one layout, migrated to another, restored by Orbax under it.

Values are equal bit for bit, and every device decodes the bytes that the dry run prints, as TensorStore counts them.
Covers `outputs.array_record` and `loading.amplification` from end to end.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import migrate
from tests.engine.reshard import LAYOUTS, SHAPES, values
from tests.matrix import sampled, values_to_run

SCRIPT = Path(__file__).parent / "reshard.py"
CASES = [
    (saved, version, way) for version in ("zarr2", "zarr3") for saved in LAYOUTS for way in ("--mesh", "--for", "any")
]
INDEX_BYTES = 4096
"""The most bytes of the indices of zarr 3 shards, which TensorStore counts with the chunks."""


def script(*arguments):
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr[-3000:]


def partition(place, layout):
    spec = LAYOUTS[layout][1]
    file = place / f"{layout}.yaml"
    file.write_text(json.dumps([{"v": spec[:1]}, {"**": spec}]))
    return file


def migrated(source, place, layout, way):
    """Migrates to a layout; returns the new checkpoint and what the plan says that the devices decode."""
    mesh, file = LAYOUTS[layout][0], partition(place, layout)
    new = place / f"new-{layout}"
    with migrate.open_checkpoint(source) as checkpoint:
        if way == "--mesh":
            plan = migrate.plan(checkpoint, "portable", mesh=mesh, partition=file)
        else:
            divided = way == "--for" and any(LAYOUTS[layout][1])
            plan = migrate.plan_tune(checkpoint, [mesh] if divided else [], partition=file if divided else None)
        assert plan.applicable, [one.message for one in plan.diagnostics]
        migrate.apply(plan, checkpoint, new)
        (load,) = migrate.read_amplification(plan, [mesh], partition=file) if any(LAYOUTS[layout][1]) else (None,)
    return new, load


@pytest.fixture(scope="module")
def sources(request, tmp_path_factory):
    """The checkpoints that Orbax saved on eight devices, of the cases that run."""
    folder = tmp_path_factory.mktemp("sources")
    script("save", folder, *{f"{saved}={version}" for saved, version, _ in values_to_run(request, "case")})
    return folder


@pytest.fixture(scope="module")
def made(request, sources, tmp_path_factory):
    """The plans' numbers by case and layout, and what eight devices found in each checkpoint that was made."""
    folder, loads, pairs = tmp_path_factory.mktemp("made"), {}, []
    for case in values_to_run(request, "case"):
        saved, version, way = case
        place = folder / "-".join(case)
        place.mkdir()
        for layout in LAYOUTS:
            new, loads[case, layout] = migrated(sources / f"{saved}-{version}", place, layout, way)
            pairs.append(f"{layout}={new}")
    script("restore", folder / "found.json", *pairs)
    found = json.loads((folder / "found.json").read_text()).values()
    return {key: (load, each) for (key, load), each in zip(loads.items(), found, strict=True)}


@pytest.mark.parametrize("case", sampled(CASES, 17, name=lambda case: "-".join(case)))
def test_every_layout_becomes_every_other(case, made):
    expected = {name: hashlib.sha256(value.tobytes()).hexdigest() for name, value in values().items()}
    for layout in LAYOUTS:
        load, found = made[case, layout]
        assert expected == found["digests"], layout
        check_decoded(found["decoded"], load, case[2])


def check_decoded(decoded, load, way):
    """Compares what TensorStore decoded with what the plan says, device by device."""
    if load is None:  # every device reads everything
        return
    for number, device in enumerate(load.after):
        kept, counted = (sum(decoded[name][number][index] for name in SHAPES) for index in range(2))
        assert device.kept == kept
        assert device.decoded <= counted <= device.decoded + INDEX_BYTES
    if way != "any":
        assert all(load.leaves[(name,)].after <= 1.05 for name in "abc")
