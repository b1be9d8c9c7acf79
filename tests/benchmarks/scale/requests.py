"""Requests of a migration in a bucket, as the strict emulator of Google Cloud Storage counts them.

Runs of different sizes are compared, so that what every run asks for once is told apart from what each leaf, each data
file and each transaction asks for. TensorStore reads the address of the emulator once: a process of its own.

python -m tests.benchmarks.scale.requests
"""

import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

RENAME = 'migrate: 1\nrules: ["old/{i} -> new/{i}"]\n'
TURN = 'migrate: 1\nrules: [{from: "old/{i}", to: "new/{i}", ops: [transpose]}]\n'
MIB = 1 << 20
RAM = 64 * MIB
"""The budget of the streamed runs, of which a transaction gets a quarter."""


def main():
    """Prints the counts as JSON."""
    from tests.buckets.gcs_server import GcsServer

    with GcsServer() as server, tempfile.TemporaryDirectory() as name:
        named = {"TENSORSTORE_GCS_HTTP_URL": server.url, "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token"}
        with patch.dict(os.environ, named):
            print(json.dumps(counts(server, Path(name))))


def counts(server, folder):
    """The requests of each run, and what follows for a leaf, a file, a transaction and a share."""
    runs = {
        "40 leaves in few files": _run(server, folder, RENAME, 40, 64),
        "160 leaves in few files": _run(server, folder, RENAME, 160, 64),
        "160 leaves in many files": _run(server, folder, RENAME, 160, 64, file_bytes=64 << 10),
        "32 leaves of 0.5 MiB streamed": _run(server, folder, TURN, 32, 362),
        "32 leaves of 4 MiB streamed": _run(server, folder, TURN, 32, 1024),
        "128 leaves of 0.5 MiB streamed": _run(server, folder, TURN, 128, 362),
        "32 leaves of 0.5 MiB streamed by a worker": _run(server, folder, TURN, 32, 362, workers=1),
        "32 leaves of 0.5 MiB streamed to a local path": _run(server, folder, TURN, 32, 362, workers=0),
    }
    return {"runs": runs, "each": each(runs)}


def each(runs):
    """The requests that a run makes once, and those that every leaf, file, put of the manifest and share adds."""
    linked = ("40 leaves in few files", "160 leaves in few files", "160 leaves in many files")
    small = "32 leaves of 0.5 MiB streamed"
    streamed = (small, "32 leaves of 4 MiB streamed", "128 leaves of 0.5 MiB streamed")
    run, leaf, file = _terms([runs[name] for name in linked], "copies")
    streaming, streamed_leaf, put = _terms([runs[name] for name in streamed], "manifest_puts")
    large = runs["32 leaves of 4 MiB streamed"]
    return {
        "linking run": run,
        "linked leaf": leaf,
        "copied file": file,
        "streaming run": streaming,
        "streamed leaf": streamed_leaf,
        "manifest put": put,
        "manifest puts of a transaction": large["manifest_puts"] / (large["bytes"] / (RAM / 4)),
        "share": runs[f"{small} by a worker"]["requests"] - runs[f"{small} to a local path"]["requests"],
    }


def _terms(runs, unit):
    """The constant and the factors of leaves and of a unit, from three runs."""
    import numpy as np

    terms = [[1, run["leaves"], run[unit]] for run in runs]
    return [float(each) for each in np.linalg.solve(terms, [run["requests"] for run in runs])]


def _run(server, folder, rules, leaves, side, *, file_bytes=None, workers=None):
    """The requests of one run from a bucket: into it, or with a number of workers to a local path."""
    import migrate

    place = folder / f"{leaves}-{side}-{file_bytes}"
    if not place.exists():
        _save(place, leaves, side, file_bytes)
    bucket = _bucket(server)
    source = bucket.upload(place, "old")
    (folder / "rules.yaml").write_text(rules)
    target = f"{bucket.url}/new" if workers is None else str(folder / f"new-{bucket.name}")
    with ThreadPoolExecutor(workers or 1) as pool, migrate.open_checkpoint(source) as checkpoint:
        plan = migrate.plan(checkpoint, folder / "rules.yaml", destination=target)
        migrate.apply(plan, checkpoint, target, max_ram=2 * RAM if workers else RAM, executor=pool if workers else None)
    traffic = bucket.traffic
    return {
        "leaves": leaves,
        "bytes": leaves * side * side * 4,
        "requests": sum(traffic.requests.values()),
        "by_method": dict(traffic.requests),
        "copies": sum(traffic.copies.values()),
        "manifest_puts": max((n for key, n in traffic.puts.items() if key.endswith("manifest.ocdbt")), default=0),
        "sent": traffic.received,
        "received": traffic.sent,
    }


def _save(place, leaves, side, file_bytes):
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    random = np.random.default_rng(0)
    tree = {"old": {str(n): jax.numpy.asarray(random.random((side, side), np.float32)) for n in range(leaves)}}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        checkpointer.save(place, args=ocp.args.PyTreeSave(tree, ocdbt_target_data_file_size=file_bytes))


def _bucket(server):
    import uuid

    from tests.buckets.places import Bucket

    name = f"scale-{uuid.uuid4().hex[:12]}"
    server.create_bucket(name)
    return Bucket("gs", name, server.traffic)


if __name__ == "__main__":
    main()
