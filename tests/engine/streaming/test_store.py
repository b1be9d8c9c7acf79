"""Every codec that a store accepts is written, and is kept where a source has it."""

from dataclasses import replace

import numpy as np
import pytest
import tensorstore as ts

from migrate.engine.outputs.orbax_store import Staging
from migrate.engine.streaming.store import CODECS
from migrate.formats.detect import open_reader
from migrate.ops.base import avals
from migrate.tree import AbstractLeaf
from tests.engine.sources import apply_plan, opened, plan_for

ARRAY = np.arange(5000, dtype=np.float32)


def stored_codec(checkpoint, name):
    with opened(checkpoint) as reader:
        return reader.abstract().tree.leaves[(name,)].storage.codec


@pytest.mark.parametrize("zarr3", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_an_array_is_encoded_with_it_and_read_back(tmp_path, codec, zarr3):
    with Staging(tmp_path / "s", zarr3=zarr3) as store:
        given = codec if codec == "none" else f"{codec}:4"
        store.write(("a",), AbstractLeaf("array", *avals(ARRAY)), ARRAY, codec=given)
    with open_reader(tmp_path / "s") as reader:
        np.testing.assert_array_equal(ARRAY, reader.read(("a",)))
        assert (given if codec != "none" else None) == reader.abstract().tree.leaves["a",].storage.codec


@pytest.mark.parametrize(
    ("compressor", "kept"),
    [
        ({"id": "zstd", "level": 7}, "zstd:7"),
        ({"id": "gzip", "level": 2}, "gzip:2"),
        (None, None),
        ({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}, "zstd:1"),
    ],
    ids=["zstd", "gzip", "none", "blosc"],
)
def test_a_streamed_array_keeps_its_codec_unless_a_store_does_not_accept_it(tmp_path, compressor, kept):
    spec = {
        "driver": "zarr",
        "kvstore": {"driver": "ocdbt", "base": f"file://{tmp_path}/old/", "path": "a/"},
        "metadata": {"shape": [5000], "chunks": [5000], "compressor": compressor},
        "dtype": "float32",
    }
    ts.open(spec, create=True).result().write(ARRAY).result()
    with opened(tmp_path / "old") as reader:
        plan = plan_for(reader)
        plan = replace(plan, tasks=tuple(replace(task, mode="stream") for task in plan.tasks))
        apply_plan(plan, reader, tmp_path / "new")
    assert kept == stored_codec(tmp_path / "new", "a")
