"""Reads every leaf of a checkpoint into NumPy memory, and writes down how long that took beyond imports.

python -m tests.benchmarks.reading WAY SRC MARKS.json
"""

import json
import os
import sys
import time
import warnings
from pathlib import Path


def migrate(source):
    """Leaf by leaf; views of a mapped file are copied, so that their bytes are read."""
    import numpy as np
    import tensorstore  # noqa: F401 (an import is no part of reading)

    from migrate import open_checkpoint

    def read():
        with open_checkpoint(source) as checkpoint:
            return {path: np.array(checkpoint.read(path)) for path in checkpoint.tree.leaves}

    return read


def orbax(source):
    """As NumPy arrays, which no device has to hold."""
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    def read():
        checkpointer = ocp.PyTreeCheckpointer()
        tree = checkpointer.metadata(source).item_metadata.tree
        return checkpointer.restore(
            source, restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        )

    return read


def flax(source):
    """The whole file, then its tree."""
    from flax import serialization

    return lambda: serialization.msgpack_restore(Path(source).read_bytes())


WAYS = {"migrate": migrate, "orbax": orbax, "flax": flax}


def main(way, source, marks):
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    warnings.simplefilter("ignore")
    read = WAYS[way](source)
    start = time.monotonic()
    tree = read()
    seconds = time.monotonic() - start
    assert tree
    Path(marks).write_text(json.dumps({"reading": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
