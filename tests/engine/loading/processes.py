"""Two processes with four devices each, which load one checkpoint together.

    python -m tests.engine.loading.processes CASE NUMBER PORT WORK

WORK has `old` and `rules.yaml` of `training.save`, and `copy`, the migrated checkpoint. Each process prints one line of
JSON.
"""

import json
import logging
import os
import signal
import sys
import time
import warnings
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

LATE = 3.0
"""Seconds by which one process is late in a step between the two agreements."""

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


def late(number, row):
    """Lets one process be late after the plans were compared; notes when each has read its shards."""
    real = load._values

    def slow(*args, **options):
        if number == 1:
            time.sleep(LATE)
        found = real(*args, **options)
        row["read"] = time.time()
        return found

    load._values = slow


def arranged(case, number, work, row):
    """Lets the case happen in process 1; returns the rule file."""
    if case == "late":
        late(number, row)
    if number == 0:
        return work / "rules.yaml"
    if case == "plans":
        (work / "changed.yaml").write_text(training.RULES.replace("constant: 1", "constant: 2"))
        return work / "changed.yaml"
    if case == "killed":
        load.run_jobs = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    if case in ("reading", "resume"):
        real = load.run_jobs

        def fail(*_):
            load.run_jobs = real
            raise CheckpointError(migrate.codes.DamagedFile.at("a chunk is damaged"))

        load.run_jobs = fail
    return work / ("missing.yaml" if case == "planning" else "rules.yaml")


def main(case, number, port, work):
    logging.disable(logging.WARNING)
    heartbeats = {"heartbeat_timeout_seconds": HEARTBEATS} if case == "killed" else {}
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=number, **heartbeats)
    mesh = jax.sharding.Mesh(np.array(jax.devices()).reshape(2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    row = {"process": number}
    rules = arranged(case, number, work, row)
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
        row |= {"error": type(error).__name__, "message": str(error), "took": time.monotonic() - begun}
        if live:
            now = jax.tree.map(np.asarray, nnx.state(live["model"], nnx.Param))
            row["kept"] = all(map(np.array_equal, jax.tree.leaves(before), jax.tree.leaves(now)))
    else:
        parts = {name: nnx.state(one) if isinstance(one, nnx.Pytree) else one for name, one in state.items()}
        row["wrong"], row["shards"] = shards_differ(parts, work / "copy")
        row["global"] = not state["model"].blocks.q.get_value().is_fully_addressable
    print(json.dumps({**row, "took": time.monotonic() - begun}), flush=True)
    os._exit(0)  # without the barrier of `jax.distributed`, which would wait for a process that failed


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
