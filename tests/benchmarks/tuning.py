"""Resharding against Orbax, and loads of a tuned copy against loads of the untuned one.

    python -m tests.benchmarks.tuning [--gigabytes 1] [--runs 3] [--scratch FOLDER] [--out FILE.json]

A checkpoint is saved on eight host devices along the rows. It is written again for a mesh of 2×4 in three ways, each in
a process of its own: Orbax restores it with the new shardings and saves it; `apply --mesh`; `tune --for`. Then the
copies are loaded: by Orbax onto all eight devices of one process, which share decoded chunks, and as one of eight hosts
would load its part: TensorStore reads the windows of one device. `seconds` and `cpu` are those of whole processes,
`loading` of the load alone. `against_orbax` has the figures of migrate as parts of Orbax's, and `load_factors` how many
times as long as the tuned copy the untuned one loads, for each round the two of them side by side.

Orbax compresses as migrate does, by zstd of level 1. It neither reads back what it wrote nor digests it; so there is a
row without verification, `tune --for, --verify none`.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.floor import compile_all
from tests.benchmarks.measure import measure

ROOT = Path(__file__).parent.parent.parent
LAYERS = 8
MESH = "data=2,model=4"
SIZES = (2, 4)
PARTITION = """
- "**/out": [model, data]
- "**/in": [data, model]
"""
SPECS = {"in": ("data", "model"), "out": ("model", "data")}


def shapes(gigabytes):
    """Matrices of `LAYERS` blocks, each wide and tall."""
    width = 64 * max(1, round((gigabytes * 1e9 / (4 * 8 * LAYERS)) ** 0.5 / 64))
    return {f"block_{n}": {"in": (width, 4 * width), "out": (4 * width, width)} for n in range(LAYERS)}


def on_devices(shape, specs, mesh_shape, names):
    import jax
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    mesh = Mesh(np.array(jax.devices()).reshape(mesh_shape), names)
    return NamedSharding(mesh, PartitionSpec(*specs))


def saved(path, gigabytes):
    """Saves along the rows, as a job with fully sharded parameters would."""
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    random = np.random.default_rng(0)
    tree = {
        block: {
            name: jax.device_put(
                random.standard_normal(shape, dtype=np.float32), on_devices(shape, ("fsdp",), (8,), ("fsdp",))
            )
            for name, shape in parts.items()
        }
        for block, parts in shapes(float(gigabytes)).items()
    }
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree)


def restored(source):
    """Orbax's restore with the shardings of the new mesh."""
    import jax
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        found = checkpointer.metadata(source).item_metadata.tree
        arguments = {
            block: {
                name: ocp.ArrayRestoreArgs(sharding=on_devices(leaf.shape, SPECS[name], SIZES, ("data", "model")))
                for name, leaf in parts.items()
            }
            for block, parts in found.items()
        }
        return jax.block_until_ready(checkpointer.restore(source, args=ocp.args.PyTreeRestore(restore_args=arguments)))


def orbax(source, target):
    import orbax.checkpoint as ocp

    tree = restored(source)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(target, tree)


def load(source, marks):
    import jax

    jax.block_until_ready([jax.device_put(1.0, device) for device in jax.devices()])
    start = time.monotonic()
    restored(source)
    Path(marks).write_text(json.dumps({"loading": time.monotonic() - start, "decoded": decoded()}))


def host(source, marks):
    """Reads the windows of the last device, all at once, as the process of that device would."""
    from migrate.engine.linking.open_stores import open_array, reading_context
    from migrate.formats.detect import open_reader

    with open_reader(source) as reader:
        leaves = {path: leaf.aval.shape for path, leaf in reader.abstract().tree.leaves.items()}
        places = {path: reader.location(path) for path in leaves}
    start, context = time.monotonic(), reading_context(0, 64 << 20)
    sizes = dict(zip(("data", "model"), SIZES, strict=True))
    reads = []
    for path, shape in leaves.items():
        pairs = zip(shape, SPECS[path[-1]], strict=True)
        window = tuple(slice(size - size // sizes[axis], size) for size, axis in pairs)
        reads.append(open_array(places[path], context)[window].read())
    kept = sum(read.result().nbytes for read in reads)
    Path(marks).write_text(json.dumps({"loading": time.monotonic() - start, "decoded": decoded(), "kept": kept}))


def decoded():
    """The bytes that TensorStore's decoders have taken so far."""
    import tensorstore as ts

    found = ts.experimental_collect_matching_metrics("/tensorstore/internal/riegeli/")
    return sum(value["value"] for metric in found for value in metric["values"])


WAYS = {"saved": saved, "orbax": orbax, "load": load, "host": host}


def compare(options):
    """Runs everything in rounds; returns the medians."""
    work = Path(tempfile.mkdtemp(prefix="migrate-bench-", dir=options.scratch))
    source, marks = work / "source", work / "marks.json"
    this = [sys.executable, "-m", "tests.benchmarks.tuning"]
    (work / "p.yaml").write_text(PARTITION)
    compile_all(ROOT)
    try:
        subprocess.run([*this, "saved", source, str(options.gigabytes)], check=True, cwd=ROOT)
        command = [sys.executable, "-m", "migrate"]
        specs = ["--partition", work / "p.yaml", "--quiet"]
        copies = {
            "orbax": [*this, "orbax", source],
            "apply --mesh": [*command, "apply", "portable", source],
            "tune --for": [*command, "tune", source],
            "tune --for, --verify none": [*command, "tune", source],
        }
        tuned = ["--for", MESH, *specs]
        more = {
            "apply --mesh": ["--mesh", MESH, *specs],
            "tune --for": tuned,
            "tune --for, --verify none": [*tuned, "--verify", "none"],
        }
        rows = {}
        for _ in range(options.runs):
            for name, words in copies.items():
                target = work / name.translate({ord(" "): None, ord(","): None})
                shutil.rmtree(target, ignore_errors=True)
                rows.setdefault(name, []).append(_measured([*words, target, *more.get(name, [])]))
            for what, place in (("untuned", source), ("tuned", work / "tune--for")):
                for way in ("load", "host"):
                    found = _measured([*this, way, place, marks], marks)
                    rows.setdefault(f"{way} {what}", []).append(found)
        return {name: _median(found) for name, found in rows.items()}
    finally:
        shutil.rmtree(work)


def against_orbax(figures):
    """Wall time, CPU time and peak memory of each way to write the copy, as parts of Orbax's."""
    names = ("seconds", "cpu", "peak")
    of_orbax = figures["orbax"]
    rows = {name: row for name, row in figures.items() if name.startswith(("apply", "tune"))}
    return {row: {name: round(found[name] / of_orbax[name], 2) for name in names} for row, found in rows.items()}


def load_factors(figures):
    """The median over the rounds of the time of the untuned load by that of the tuned one, and that of the bytes."""
    factors = {}
    for way in ("host", "load"):
        before, after = figures[f"{way} untuned"], figures[f"{way} tuned"]
        times = [one / other for one, other in zip(before["runs"], after["runs"], strict=True)]
        decoded = before["decoded"] / after["decoded"]
        factors[way] = {"time": round(statistics.median(times), 2), "decoded": round(decoded, 2)}
    return factors


def _measured(command, marks=None):
    """What one process costs: seconds of wall and of CPU, peak bytes, and what it writes down."""
    before = _cpu()
    found = measure(command, marks, cwd=ROOT)
    return {"seconds": found.seconds, "cpu": _cpu() - before, "peak": found.peak, **found.marks}


def _cpu():
    """CPU seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _median(found):
    runs = [round(one.get("loading", one["seconds"]), 2) for one in found]
    return {**{name: statistics.median(one[name] for one in found) for name in found[0]}, "runs": runs}


def main():
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
        os.environ["JAX_PLATFORMS"] = "cpu"
        WAYS[sys.argv[1]](*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks" / "tuning.json")
    options = parser.parse_args()
    figures = compare(options)
    result = {
        "gigabytes": options.gigabytes,
        "mesh": MESH,
        "against_orbax": against_orbax(figures),
        "load_factors": load_factors(figures),
        "figures": figures,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
