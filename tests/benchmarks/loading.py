"""Loads a checkpoint onto eight host devices, and writes down what it cost: through rules, or a migrated copy by Orbax.

    python -m tests.benchmarks.loading WAY MODEL RULES SRC MESH MARKS.json

WAY is `migrate` or `orbax`; MODEL is a key of `MODELS`; MESH is `2x4` or `8x1`. The migrated copy is made beside SRC
when it is first needed. MARKS.json gets: `loading`, `cpu`, seconds of wall and CPU from the open paths to the arrays on
their devices; `above`, the peak of resident bytes above those before the load and the arrays; `arrays`, their bytes;
`read`, bytes that the process read from files.
"""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

MESHES = {"2x4": (2, 4), "8x1": (8, 1)}
LAYERS = 8
STACKS, IN_STACK = 64, 64


def stacked(width, bfloat16=False, turned=False):
    """The shapes, dtypes and partitions of a transformer's stacked blocks."""
    across = (None, "data", "model")
    down = ((LAYERS, width, 4 * width), across) if turned else ((LAYERS, 4 * width, width), (None, "model", "data"))
    return {
        "embed": ((32 * width, width), ("data", "model"), "bfloat16" if bfloat16 else "float32"),
        "qkv": ((LAYERS, width, 3 * width), across, "float32"),
        "up": ((LAYERS, width, 4 * width), across, "float32"),
        "down": (*down, "float32"),
    }


MODELS = {
    "relinked": stacked,
    "streamed": lambda width: stacked(width, bfloat16=True, turned=True),
    "small": lambda width: {
        f"w_{n}": ((IN_STACK, width, width), (None, "data", None), "float32") for n in range(STACKS)
    },
}


def main():
    way, kind, rules, source, grid, marks = sys.argv[1:]
    copy = Path(f"{source}-{kind}")
    if not copy.exists():  # in a process of its own, so that this one has not read anything before
        subprocess.run([sys.executable, "-m", "migrate", "apply", rules, source, copy, "--quiet"], check=True)
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    import migrate

    with migrate.open_checkpoint(source) as checkpoint:
        width = min(leaf.aval.shape[-1] for leaf in checkpoint.tree.leaves.values())
    wanted = abstract(MODELS[kind](width), grid)
    load = from_copy(copy) if way == "orbax" else through_rules(source, rules)
    jax.block_until_ready([jax.device_put(1.0, device) for device in jax.devices()])
    watch = Watch()
    start, spent, before = time.monotonic(), cpu(), read_bytes()
    arrays = jax.block_until_ready(load(wanted))
    figures = {"loading": time.monotonic() - start, "cpu": cpu() - spent}
    nbytes = sum(array.nbytes for array in jax.tree.leaves(arrays))
    assert all(jax.tree.leaves(jax.tree.map(lambda a, w: a.sharding == w.sharding, arrays, wanted)))
    figures |= {"above": watch.peak() - nbytes, "arrays": nbytes, "read": read_bytes() - before}
    Path(marks).write_text(json.dumps(figures))


def abstract(shapes, grid):
    """The abstract arrays, with their shardings."""
    import jax
    from jax.sharding import AxisType, NamedSharding, PartitionSpec

    mesh = jax.make_mesh(MESHES[grid], ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    return {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, PartitionSpec(*spec)))
        for name, (shape, spec, dtype) in shapes.items()
    }


def through_rules(source, rules):
    """What a training job calls."""

    import migrate
    import migrate.engine.loading.load
    import migrate.planning.planner
    import migrate.rules.loader

    return lambda wanted: migrate.load(source, rules, into=wanted)


def from_copy(copy):
    """The typed restore of the copy."""
    import logging

    import orbax.checkpoint as ocp

    logging.disable(logging.WARNING)
    checkpointer = ocp.StandardCheckpointer()
    return lambda wanted: checkpointer.restore(copy.absolute(), wanted)


def cpu():
    """CPU seconds of all threads so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def read_bytes():
    """Bytes that this process has read so far, by any thread."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar:"))


class Watch:
    """The peak of resident bytes above those at its beginning."""

    def __init__(self):
        self._base = self._peak = self._now()
        self._live = True
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _now(self):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def _look(self):
        while self._live:
            self._peak = max(self._peak, self._now())
            time.sleep(0.002)

    def peak(self):
        self._live = False
        self._thread.join()
        return max(self._peak, self._now()) - self._base


if __name__ == "__main__":
    main()
