"""Checkpoints of several files that are opened by one of them."""

import json

import numpy as np
from flax import serialization
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import save_file

INDEX = "flax_model.msgpack.index.json"
SHARDED_TREE = {
    "lm_head": {"kernel": np.arange(6, dtype="float32").reshape(2, 3)},
    "model": {
        "embed": {"embedding": np.arange(8, dtype="float16").reshape(4, 2)},
        "layers": {str(n): {"mlp": {"kernel": np.full((2, 2), n, "float32")}} for n in range(3)},
    },
}


def sharded_msgpack(folder):
    """The folder that `FlaxPreTrainedModel.save_pretrained` makes of a large model."""
    flat = flatten_dict(SHARDED_TREE, sep="/")
    names = sorted(flat)
    weight_map = {}
    for part, held in enumerate((names[:2], names[2:4], names[4:]), start=1):
        file = f"flax_model-{part:05d}-of-00003.msgpack"
        tree = unflatten_dict({name: flat[name] for name in held}, sep="/")
        (folder / file).write_bytes(serialization.to_bytes(tree))
        weight_map |= dict.fromkeys(held, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": weight_map}))
    return folder


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
