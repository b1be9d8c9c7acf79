"""Two processes with four devices each, which load one checkpoint together, in one case after another.

    python -m tests.engine.loading.processes NUMBER PORT WORK CASE...

WORK has `old` and `rules.yaml` of `training.save`, and `copy`, the migrated checkpoint. Each process prints one line of
JSON for each case.
"""

import json
import logging
import os
import signal
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # the flags have to be set first
import numpy as np
from flax import nnx
from jax.sharding import AxisType

import migrate
from migrate.engine.loading import load
from migrate.errors import CheckpointError
from tests.engine.loading import training

LATE = 60
"""The most seconds by which one process is late in a step between the two agreements."""

HEARTBEATS = 30
"""Seconds after which JAX ends the job of a process that was killed, if the collective has not noticed it."""


def shards_differ(state, copy):
    """The leaves of which a shard of this process differs from the migrated copy."""
    with migrate.open_checkpoint(copy) as checkpoint:
        values = checkpoint.read_all()
    wrong, count = [], 0
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        names = tuple(str(getattr(key, "key", getattr(key, "idx", key))) for key in path if not hasattr(key, "name"))
        expected = np.asarray(values[names])
        if not isinstance(leaf, jax.Array):
            wrong += [] if np.asarray(leaf).tolist() == expected.tolist() else [names]
            continue
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        for shard in leaf.addressable_shards:
            count += 1
            data = np.asarray(jax.random.key_data(shard.data) if is_key else shard.data)
            right = expected[shard.index[: expected.ndim]]
            right = right[right.dtype.names[0]] if is_key else right
            wrong += [] if data.tobytes() == np.asarray(right, order="C").tobytes() else [names]
    return wrong, count


def late(number, work, row):
    """Lets one process be late after the plans were compared: it reads its shards once the other has read its own."""
    real, done = load._values, work / "read"

    def slow(*args, **options):
        end = time.monotonic() + LATE
        while number == 1 and not done.exists() and time.monotonic() < end:
            time.sleep(0.01)
        row["other_has_read"] = done.exists()
        found = real(*args, **options)
        done.touch()
        return found

    return slow


@contextmanager
def arranged(case, number, work, row):
    """Lets the case happen in process 1; yields the rule file."""
    values, run_jobs = load._values, load.run_jobs
    rules = work / "rules.yaml"
    if case == "late":
        load._values = late(number, work, row)
    if case == "plans" and number == 1:
        rules = work / "changed.yaml"
        rules.write_text(training.RULES.replace("constant: 1", "constant: 2"))
    if case == "planning" and number == 1:
        rules = work / "missing.yaml"
    if case == "killed" and number == 1:
        load.run_jobs = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    if case in ("reading", "resume") and number == 1:

        def fail(*_):
            load.run_jobs = run_jobs
            raise CheckpointError(migrate.codes.DamagedFile.at("a chunk is damaged"))

        load.run_jobs = fail
    try:
        yield rules
    finally:
        load._values, load.run_jobs = values, run_jobs


def main(number, port, work, *cases):
    logging.disable(logging.WARNING)
    heartbeats = {"heartbeat_timeout_seconds": HEARTBEATS} if "killed" in cases else {}
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=number, **heartbeats)
    mesh = jax.sharding.Mesh(np.array(jax.devices()).reshape(2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    for case in cases:
        row = {"process": number, "case": case}
        with arranged(case, number, work, row) as rules:
            loaded(case, work, rules, mesh, row)
        print(json.dumps(row), flush=True)
    os._exit(0)  # without the barrier of `jax.distributed`, which would wait for a process that failed


def loaded(case, work, rules, mesh, row):
    """Loads the checkpoint; notes the result, or the error."""
    warnings.showwarning = lambda message, *_, **__: row.setdefault("warnings", []).append(str(message))
    live = training.make() if case == "reading" else None
    before = jax.tree.map(np.asarray, nnx.state(live["model"], nnx.Param)) if live else None
    begun = time.monotonic()
    try:
        options = {"into": live, "mesh": mesh} if live else {"mesh": mesh}
        if case == "resume":
            resumed = migrate.resume(work / "root", training.MODEL, work / "missing", mesh=mesh)
            state, row["step"] = resumed.state, resumed.step
        else:
            state = migrate.load(work / "old", rules, training.MODEL, **options)
    except Exception as error:  # noqa: BLE001  # what every process raises is compared
        row |= {"error": type(error).__name__, "message": str(error)}
        if live:
            now = jax.tree.map(np.asarray, nnx.state(live["model"], nnx.Param))
            row["kept"] = all(map(np.array_equal, jax.tree.leaves(before), jax.tree.leaves(now)))
    else:
        parts = {name: nnx.state(one) if isinstance(one, nnx.Pytree) else one for name, one in state.items()}
        row["wrong"], row["shards"] = shards_differ(parts, work / "copy")
        row["global"] = not state["model"].blocks.q.get_value().is_fully_addressable
    row["took"] = time.monotonic() - begun


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
