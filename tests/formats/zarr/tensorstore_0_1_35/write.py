"""Writes what `test_ocdbt_0_1_35.py` reads; to be run with Python 3.9 to 3.11, tensorstore 0.1.35, numpy 1 and msgpack.

`item/` is an Orbax item of spring 2023: a `checkpoint` file with placeholders, and the arrays in a database. The names
with a slash went into a database of their own, as with Orbax 0.1.7. `deep/` is a database whose tree has inner nodes.
"""

import json
import shutil
from pathlib import Path

import msgpack
import numpy as np
import tensorstore as ts

HERE = Path(__file__).parent
ARRAYS = {
    "params.kernel": np.arange(600, dtype=np.float32).reshape(20, 30),
    "params.bias": np.linspace(0, 1, 3),
    "step": np.array(7, np.int32),
    "mlp/~/linear.w": np.arange(6, dtype=np.int16).reshape(2, 3),
}


def write_array(base, name, value):
    spec = {
        "driver": "zarr",
        "kvstore": {"driver": "ocdbt", "base": f"file://{base}/", "path": f"{name}/"},
        "metadata": {
            "shape": value.shape,
            "chunks": [max(size // 2, 1) for size in value.shape],
            "dtype": value.dtype.str,
            "compressor": {"id": "zstd"},
        },
    }
    ts.open(spec, create=True, context=ts.Context()).result().write(value).result()


def write_item(folder):
    for name, value in ARRAYS.items():
        above, _, last = name.rpartition("/")
        write_array(folder / above if above else folder, last, value)
    tree = {
        "params": {"kernel": "PLACEHOLDER://params.kernel", "bias": "PLACEHOLDER://params.bias"},
        "step": "PLACEHOLDER://step",
        "mlp/~/linear": {"w": "PLACEHOLDER://mlp/~/linear.w"},
    }
    (folder / "checkpoint").write_bytes(msgpack.packb(tree))


def write_deep(folder):
    """One commit of many keys in small nodes; values of 100 bytes or less lie in the nodes."""
    config = {"max_decoded_node_bytes": 700}
    store = ts.KvStore.open({"driver": "ocdbt", "base": f"file://{folder}/", "config": config}).result()
    keys = [f"layer_{index * 7 % 97}.{name}/0" for index in range(40) for name in ("kernel", "bias")]
    values = {key: bytes([index]) * (index * 5 % 130) for index, key in enumerate(keys)}
    for request in [store.write(key, value) for key, value in values.items()]:
        request.result()
    (folder / "EXPECTED.json").write_text(json.dumps({key: value.hex() for key, value in values.items()}))


if __name__ == "__main__":
    for name, write in {"item": write_item, "deep": write_deep}.items():
        shutil.rmtree(HERE / name, ignore_errors=True)
        (HERE / name).mkdir()
        write(HERE / name)
