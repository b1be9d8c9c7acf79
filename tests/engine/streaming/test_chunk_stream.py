"""Huge chunks are unpacked piece by piece, and every piece is what TensorStore would have decoded."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from migrate.engine.linking.open_stores import reading_context
from migrate.engine.streaming.array_sources import open_source
from migrate.engine.streaming.chunk_stream import unpackable
from migrate.errors import CheckpointError
from tests.engine.sources import opened

TREE = {
    "matrix": jnp.asarray(np.random.default_rng(0).standard_normal((57, 33), np.float32)),
    "half": jnp.arange(4000.0).astype(jnp.bfloat16).reshape(10, 20, 20),
    "vector": jnp.arange(1001),
    "keys": jax.random.split(jax.random.key(3), 40),
    "bytes": jnp.arange(256, dtype=jnp.uint8),
}
LAYOUTS = {"ocdbt zarr2": (True, False), "ocdbt zarr3": (True, True), "plain zarr2": (False, False)}


@pytest.fixture(scope="module", params=LAYOUTS.values(), ids=LAYOUTS)
def source(request, tmp_path_factory):
    ocdbt, zarr3 = request.param
    path = tmp_path_factory.mktemp("packed") / "old"
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt, use_zarr3=zarr3)) as checkpointer:
        checkpointer.save(path, args=ocp.args.PyTreeSave(TREE))
    return path


def stream_of(reader, name):
    aval = reader.abstract().tree.leaves[(name,)].aval
    return unpackable(open_source(reader, (name,), aval, reading_context(0)), 0)


@pytest.mark.parametrize("limit", [1, 100, 700, 1 << 20])
@pytest.mark.parametrize("name", TREE)
def test_the_pieces_are_the_array(source, name, limit):
    with opened(source) as reader:
        whole = reader.read((name,))
        made = np.zeros_like(whole)
        stream = stream_of(reader, name)
        for window, part in stream.parts(limit):
            assert part.shape[1:] == stream.block(limit)[1:]
            made[tuple(slice(start, stop) for start, stop in window)] = part
        assert whole.tobytes() == made.tobytes()


def test_small_limits_give_small_pieces(source):
    with opened(source) as reader:
        pieces = [part for _, part in stream_of(reader, "matrix").parts(700)]
    assert 5 * 33 * 4 == max(part.nbytes for part in pieces)


def test_elements_of_less_than_a_byte_are_left_to_tensorstore(tmp_path):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "old", {"a": jnp.arange(8, dtype=jnp.int4)})
    with opened(tmp_path / "old") as reader:
        assert stream_of(reader, "a") is None


def test_a_truncated_chunk_is_named(tmp_path):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave(TREE))
    chunk = tmp_path / "old" / "matrix" / "0.0"
    chunk.write_bytes(chunk.read_bytes()[:-40])
    with opened(tmp_path / "old") as reader, pytest.raises(CheckpointError):
        list(stream_of(reader, "matrix").parts(700))
