"""Reads every leaf of a checkpoint into NumPy and hashes it, and writes down how long that took beyond imports.

The hash looks at every byte, so that arrays that are views of a mapped file are really read.

python -m tests.benchmarks.reading WAY SRC MARKS.json
"""

import json
import os
import sys
import time
import warnings
from pathlib import Path


def migrate(source):
    """All leaves at once."""
    import tensorstore  # noqa: F401 (an import is no part of reading)

    from migrate import open_checkpoint

    def read():
        with open_checkpoint(source) as checkpoint:
            return hashed(checkpoint.read_all().values())

    return read


def orbax(source):
    """As NumPy arrays, which no device has to hold."""
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    def read():
        checkpointer = ocp.PyTreeCheckpointer()
        tree = checkpointer.metadata(source).item_metadata.tree
        restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        return hashed(jax.tree.leaves(checkpointer.restore(source, restore_args=restore_args)))

    return read


def flax(source):
    """The whole file, then its tree."""
    import jax
    from flax import serialization

    return lambda: hashed(jax.tree.leaves(serialization.msgpack_restore(Path(source).read_bytes())))


def hashed(values):
    """One hash of all values in any order."""
    import numpy as np
    import xxhash

    arrays = (np.ascontiguousarray(value) for value in values)
    return sum(xxhash.xxh3_64_intdigest(array.reshape(-1).view(np.uint8)) for array in arrays if array.dtype != object)


WAYS = {"migrate": migrate, "orbax": orbax, "flax": flax}


def main(way, source, marks):
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    warnings.simplefilter("ignore")
    read = WAYS[way](source)
    start = time.monotonic()
    found = read()
    seconds = time.monotonic() - start
    Path(marks).write_text(json.dumps({"reading": seconds, "hash": f"{found:x}"}))


if __name__ == "__main__":
    main(*sys.argv[1:])
