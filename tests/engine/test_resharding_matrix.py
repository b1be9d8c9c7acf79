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
from tests.matrix import sampled

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


@pytest.mark.parametrize("case", sampled(CASES, 17, name=lambda case: "-".join(case)))
def test_every_layout_becomes_every_other(case, tmp_path):
    saved, version, way = case
    source = tmp_path / "old"
    script("save", saved, source, version)
    made = {layout: migrated(source, tmp_path, layout, way) for layout in LAYOUTS}
    script("restore", tmp_path / "found.json", *(f"{layout}={new}" for layout, (new, _) in made.items()))
    expected = {name: hashlib.sha256(value.tobytes()).hexdigest() for name, value in values().items()}
    for pair, found in json.loads((tmp_path / "found.json").read_text()).items():
        layout = pair.partition("=")[0]
        assert expected == found["digests"], layout
        check_decoded(found["decoded"], made[layout][1], way)


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
