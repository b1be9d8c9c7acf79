"""Writes a checkpoint of very many small matrices: 100 layers, each with the same number of matrices.

Orbax takes minutes to save so many arrays. Here it saves one; its metadata and its records are repeated for the others.
"""

import base64
import json

LAYERS = 100
SIDE = 16
FIRST = ("params", "block_0", "w_0", "kernel")


def write_layers(folder, count):
    """Writes `count` matrices of random values; a multiple of 100 makes all layers equally large."""
    import jax
    import orbax.checkpoint as ocp

    tree = {"params": {"block_0": {"w_0": {"kernel": jax.numpy.zeros((SIDE, SIDE))}}}}
    ocp.PyTreeCheckpointer().save(folder, tree)
    names = [("params", f"block_{n % LAYERS}", f"w_{n // LAYERS}", "kernel") for n in range(count)]
    _repeat_record(folder, names)
    _write_arrays(folder, names)


def _repeat_record(folder, names):
    """Repeats what Orbax records of the first array."""
    record = json.loads((folder / "_METADATA").read_text())
    ((_, first),) = record["tree_metadata"].items()
    record["tree_metadata"] = {
        str(name): {**first, "key_metadata": [{"key": key, "key_type": 2} for key in name]} for name in names
    }
    (folder / "_METADATA").write_text(json.dumps(record))
    shardings = json.loads((folder / "_sharding").read_text())
    ((_, sharding),) = shardings.items()
    encoded = {base64.b64encode(".".join(name).encode()).decode(): sharding for name in names}
    (folder / "_sharding").write_text(json.dumps(encoded))
    file = folder / "array_metadatas" / "process_0"
    ((_, (array,)),) = json.loads(file.read_text()).items()
    rows = [{"array_metadata": {**array["array_metadata"], "param_name": ".".join(name)}} for name in names]
    file.write_text(json.dumps({"array_metadatas": rows}))


def _write_arrays(folder, names):
    """Writes the metadata and the chunk of every array into the database, in one transaction."""
    import numpy as np
    import tensorstore as ts
    import zstandard

    store, transaction = ts.KvStore.open({"driver": "ocdbt", "base": f"file://{folder}/"}).result(), ts.Transaction()
    metadata = store.read(f"{'.'.join(FIRST)}/.zarray").result().value
    assert {"id": "zstd", "level": 1} == json.loads(metadata)["compressor"]
    compress, random = zstandard.ZstdCompressor(level=1).compress, np.random.default_rng(0)
    writing, requests = store.with_transaction(transaction), []
    for name in names:
        matrix = random.standard_normal((SIDE, SIDE), dtype=np.float32)
        requests.append(writing.write(f"{'.'.join(name)}/.zarray", metadata))
        requests.append(writing.write(f"{'.'.join(name)}/0.0", compress(matrix)))
    for request in requests:
        request.result()
    transaction.commit_async().result()
