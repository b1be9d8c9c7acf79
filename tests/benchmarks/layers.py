"""Writes a checkpoint of very many small matrices: 100 layers, each with the same number of matrices.

Orbax takes minutes to save so many arrays. Here it saves one, and its keys and its records are repeated for all others.
"""

import base64
import json

LAYERS = 100
SIDE = 16
FIRST = ("params", "block_0", "w_0", "kernel")
CONTENTS = 100
"""Matrices of different values; the others are equal to one of them."""


def write_layers(folder, count):
    """Writes `count` matrices; a multiple of 100 makes all layers equal."""
    import jax
    import orbax.checkpoint as ocp

    contents = _contents()
    tree = {"params": {"block_0": {"w_0": {"kernel": jax.numpy.asarray(contents[0])}}}}
    ocp.PyTreeCheckpointer().save(folder, tree)
    names = [("params", f"block_{n % LAYERS}", f"w_{n // LAYERS}", "kernel") for n in range(count)]
    _repeat_record(folder, names)
    _repeat_keys(folder, names, contents)


def _contents():
    import numpy as np

    return np.random.default_rng(0).standard_normal((CONTENTS, SIDE, SIDE), dtype=np.float32)


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


def _repeat_keys(folder, names, contents):
    """Writes the metadata and the chunk of every array into the database, in one transaction."""
    import tensorstore as ts

    spec = {"driver": "ocdbt", "base": f"file://{folder}/"}
    store, transaction = ts.KvStore.open(spec).result(), ts.Transaction()
    metadata = store.read(f"{'.'.join(FIRST)}/.zarray").result().value
    chunks, writing = _encoded(json.loads(metadata), contents), store.with_transaction(transaction)
    requests = []
    for number, name in enumerate(names):
        requests.append(writing.write(f"{'.'.join(name)}/.zarray", metadata))
        requests.append(writing.write(f"{'.'.join(name)}/0.0", chunks[number % CONTENTS]))
    for request in requests:
        request.result()
    transaction.commit_async().result()


def _encoded(metadata, contents):
    """The chunks of matrices in the encoding of some metadata."""
    import tensorstore as ts

    context, chunks = ts.Context(), []
    for number, matrix in enumerate(contents):
        place = {"driver": "memory", "path": f"{number}/"}
        spec = {"driver": "zarr", "kvstore": place, "metadata": metadata}
        array = ts.open(spec, create=True, context=context).result()
        array.write(matrix).result()
        chunks.append(array.kvstore.read("0.0").result().value)
    return chunks
