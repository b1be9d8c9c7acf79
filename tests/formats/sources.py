"""Checkpoints of several files that are opened by one of them."""

import json

import numpy as np
from flax import serialization
from safetensors.numpy import save_file


def safetensors_index(folder):
    """The index of a folder with one part, and the part."""
    save_file({"w": np.ones(2, np.float32)}, folder / "part.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "part.safetensors"}}))
    return index, folder / "part.safetensors"


def flax_file_with_arrays_beside(folder):
    """A msgpack file whose array is stored beside it as zarr, and the file of its chunk."""
    import tensorstore as ts

    path = folder / "checkpoint_3"
    path.write_bytes(serialization.msgpack_serialize({"w": "//GDAPlaceholder:w"}))
    kvstore = {"driver": "file", "path": f"{folder}/checkpoint_3_gda/w/"}
    ts.open({"driver": "zarr", "kvstore": kvstore}, create=True, dtype="float32", shape=[2]).result().write(1).result()
    return path, folder / "checkpoint_3_gda" / "w" / "0"
