"""What an earlier run staged is reused only while every file of the source is unchanged."""

import json
import os

import numpy as np
import pytest
from flax import serialization
from safetensors.numpy import save_file

from migrate.engine.workspace.resume import fingerprint
from migrate.formats.detect import open_reader


def safetensors_index(folder):
    save_file({"w": np.ones(2, np.float32)}, folder / "part.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "part.safetensors"}}))
    return index, folder / "part.safetensors"


def flax_file_with_arrays_beside(folder):
    import tensorstore as ts

    path = folder / "checkpoint_3"
    path.write_bytes(serialization.msgpack_serialize({"w": "//GDAPlaceholder:w"}))
    kvstore = {"driver": "file", "path": f"{folder}/checkpoint_3_gda/w/"}
    ts.open({"driver": "zarr", "kvstore": kvstore}, create=True, dtype="float32", shape=[2]).result().write(1).result()
    return path, folder / "checkpoint_3_gda" / "w" / "0"


def flax_step(folder):
    path, array = flax_file_with_arrays_beside(folder)
    return path.parent, array


@pytest.mark.parametrize("make", [safetensors_index, flax_file_with_arrays_beside, flax_step])
def test_a_file_beside_the_one_that_was_opened_is_a_part_of_the_source(tmp_path, make):
    source, beside = make(tmp_path)
    with open_reader(source) as reader:
        checkpoint = reader.abstract()
    before = fingerprint(checkpoint)
    assert before == fingerprint(checkpoint)
    os.utime(beside, ns=(0, 0))
    assert before != fingerprint(checkpoint)
