"""Writes plain zarr of many small files, as Orbax does without OCDBT.

python -m tests.benchmarks.floor_sources plain PATH GIGABYTES
"""

import sys

FILES = 3870
"""The number of arrays; each has a file of metadata and one of values."""


def main(path, gigabytes):
    """Writes blocks of ten arrays each."""
    import numpy as np
    import orbax.checkpoint as ocp

    random, rows = np.random.default_rng(0), max(1, int(gigabytes * 1e9 / FILES / 4 / 128))
    tree = {
        f"block_{i}": {f"w{n}": random.standard_normal((rows, 128), dtype=np.float32) for n in range(10)}
        for i in range(FILES // 10)
    }
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as checkpointer:
        checkpointer.save(path, args=ocp.args.PyTreeSave(tree))


if __name__ == "__main__":
    main(sys.argv[2], float(sys.argv[3]))
