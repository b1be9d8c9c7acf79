"""CPU seconds that one core takes to encode, decode, transpose and hash an array, per gigabyte."""

import time
from statistics import median

SIDE = 4096
"""The rows and columns of a float32 matrix of 64 MiB."""
ROUNDS = 5


def codec_seconds(side=SIDE, rounds=ROUNDS):
    """The median CPU seconds per gigabyte of each step; all threads are counted."""
    import numpy as np
    import tensorstore as ts

    from migrate.engine.streaming.array_bytes import Digest, contiguous

    matrix = np.random.default_rng(0).standard_normal((side, side), dtype=np.float32)
    context = ts.Context({"cache_pool": {"total_bytes_limit": 0}, "data_copy_concurrency": {"limit": 1}})
    spec = {
        "driver": "zarr",
        "kvstore": {"driver": "memory"},
        "metadata": {"compressor": {"id": "zstd", "level": 1}, "chunks": [side, side]},
        "recheck_cached_data": False,
    }
    array = ts.open(spec, create=True, dtype="float32", shape=matrix.shape, context=context).result()

    def hashed(blocks):
        digest = Digest(blocks=blocks)
        digest.update(matrix)
        return str(digest)

    steps = {
        "encode (zstd 1)": lambda: array.write(matrix).result(),
        "decode (zstd 1)": lambda: array.read().result(),
        "transpose": lambda: contiguous(matrix.T),
        "hash, with blocks and CRC": lambda: hashed(True),
        "hash, to compare": lambda: hashed(False),
    }
    return {name: _cpu(step, rounds) / matrix.nbytes * 1e9 for name, step in steps.items()}


def _cpu(step, rounds):
    found = []
    for _ in range(rounds):
        start = time.process_time()
        step()
        found.append(time.process_time() - start)
    return median(found)
