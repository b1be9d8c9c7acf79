"""The chunks of linked arrays are decoded into windows, whatever their number and size."""

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import migrate
from migrate.engine.items import item_of, item_plans
from migrate.engine.linking.link import find_links
from migrate.engine.loading import chunk_reads
from migrate.engine.loading.chunk_reads import ChunkReads
from migrate.engine.loading.decoded_links import DecodedLink
from migrate.errors import CheckpointError, MigrateError
from migrate.formats.zarr import small_arrays
from migrate.formats.zarr.small_arrays import SMALL_BYTES
from migrate.ops.windows import cut, whole
from tests.engine.sources import plan_for

RULE = "rules: [{from: 'layer_{i}', to: stacked, ops: [{stack: {axis: 1, over: i}}]}]"
SIZES = {"at once": {}, "in slabs": {"SMALL_BYTES": 0, "SLAB_BYTES": 100}, "in threads": {"GROUP_BYTES": 100}}
LAYOUTS = {"OCDBT": (True, False), "zarr3": (True, True), "plain zarr": (False, False)}


def layers(dtype=jnp.float32):
    return {f"layer_{i}": (jnp.arange(7 * 13).reshape(7, 13) + i).astype(dtype) for i in range(5)}


def saved(place, tree, ocdbt=True, zarr3=False, chunk_bytes=None):
    args = jax.tree.map(lambda _: ocp.SaveArgs(chunk_byte_size=chunk_bytes), tree)
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt, use_zarr3=zarr3)) as checkpointer:
        checkpointer.save(place, args=ocp.args.PyTreeSave(tree, save_args=args))
    return place


def reads_of(checkpoint, rule=RULE):
    plan = plan_for(checkpoint.reader, rule)
    return ChunkReads(map(DecodedLink, find_links(plan, checkpoint.reader, item_of(item_plans(plan)))))


def read(reads, path, windows):
    with ThreadPoolExecutor(2) as pool:
        return {found.window: found.value for found in reads.begin(pool, path, windows).result()}


def grid(*sides):
    """The windows that are cut along lines."""
    return list(itertools.product(*(list(itertools.pairwise(lines)) for lines in sides)))


@pytest.mark.sample(5)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("chunk_bytes", [None, 120])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bool_, jnp.bfloat16], ids=["float32", "bool", "bfloat16"])
def test_windows_have_the_values_of_the_target(tmp_path, sizes, layout, chunk_bytes, dtype, monkeypatch):
    for name, value in sizes.items():
        monkeypatch.setattr(chunk_reads, name, value)
    tree = layers(dtype)
    expected = np.stack(list(tree.values()), axis=1)
    with migrate.open_checkpoint(saved(tmp_path / "old", tree, *layout, chunk_bytes)) as checkpoint:
        reads = reads_of(checkpoint)
        for windows in ([whole(expected.shape)], grid((0, 3, 7), (0, 2, 5), (0, 6, 13))[1:]):
            found = read(reads, ("stacked",), windows)
            assert list(windows) == list(found)
            for window, value in found.items():
                assert 0 == value.ctypes.data % 64
                np.testing.assert_array_equal(cut(expected, window), value)


@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 4)])
def test_arrays_of_any_rank_are_read(tmp_path, shape):
    tree = {"a": jnp.arange(np.prod(shape, dtype=int), dtype=jnp.int32).reshape(shape)}
    with migrate.open_checkpoint(saved(tmp_path / "old", tree)) as checkpoint:
        found = read(reads_of(checkpoint, "rules: ['a -> b']"), ("b",), [whole(shape)])
    np.testing.assert_array_equal(tree["a"], found[whole(shape)])


def test_encodings_that_only_tensorstore_decodes_are_left_out(tmp_path):
    place = saved(tmp_path / "old", layers(jnp.int4))
    with migrate.open_checkpoint(place) as checkpoint:
        assert {} == reads_of(checkpoint).links


@pytest.mark.parametrize("ocdbt", [True, False])
def test_chunks_that_are_larger_encoded_than_decoded_are_read_too(tmp_path, ocdbt):
    numbers = np.random.default_rng(0)
    arrays = {f"layer_{i}": numbers.integers(0, 1 << 32, (256, 256), np.uint32) for i in range(5)}
    assert {SMALL_BYTES} == {array.nbytes for array in arrays.values()}
    saved(tmp_path / "old", arrays, ocdbt)
    (tmp_path / "rules.yaml").write_text(f"migrate: 1\n{RULE}\n")
    into = {"stacked": jax.ShapeDtypeStruct((256, 5, 256), np.uint32)}
    made = migrate.load(tmp_path / "old", tmp_path / "rules.yaml", into=into)["stacked"]
    np.testing.assert_array_equal(np.stack(list(arrays.values()), axis=1), made)


@pytest.mark.parametrize("small", [SMALL_BYTES, 0])
def test_a_chunk_that_is_missing_is_an_error_and_not_zeros(tmp_path, small, monkeypatch):
    monkeypatch.setattr(chunk_reads, "SMALL_BYTES", small)
    with migrate.open_checkpoint(saved(tmp_path / "old", layers(), ocdbt=False)) as checkpoint:
        reads = reads_of(checkpoint)
        (tmp_path / "old/layer_3/0.0").unlink()
        with pytest.raises(CheckpointError, match=r"layer_3/0\.0"):
            read(reads, ("stacked",), [whole((7, 5, 13))])


@pytest.mark.parametrize("small", [SMALL_BYTES, 0])
def test_a_chunk_that_is_damaged_is_an_error_that_names_its_array(tmp_path, small, monkeypatch):
    monkeypatch.setattr(chunk_reads, "SMALL_BYTES", small)
    with migrate.open_checkpoint(saved(tmp_path / "old", layers(), ocdbt=False)) as checkpoint:
        reads = reads_of(checkpoint)
        file = tmp_path / "old/layer_3/0.0"
        file.write_bytes(file.read_bytes()[:-1])
        with pytest.raises(CheckpointError, match="layer_3"):
            read(reads, ("stacked",), [whole((7, 5, 13))])


def test_the_index_is_read_once_for_a_load(tmp_path, monkeypatch):
    saved(tmp_path / "old", layers())
    (tmp_path / "rules.yaml").write_text(f"migrate: 1\n{RULE}\n")
    read, actual = [], small_arrays.references
    monkeypatch.setattr(small_arrays, "references", lambda folder: read.append(folder) or actual(folder))
    migrate.load(tmp_path / "old", tmp_path / "rules.yaml", into={"stacked": jax.ShapeDtypeStruct((7, 5, 13), "f4")})
    assert 1 == len(read)


def test_flax_is_not_imported_for_a_model_without_modules(tmp_path):
    saved(tmp_path / "old", layers())
    (tmp_path / "rules.yaml").write_text(f"migrate: 1\n{RULE}\n")
    code = """
import sys, jax, migrate
from jax.sharding import NamedSharding, PartitionSpec
mesh = jax.make_mesh((1,), ("x",))
sharding = NamedSharding(mesh, PartitionSpec(None, "x"))
made = migrate.load("old", "rules.yaml", into={"stacked": jax.ShapeDtypeStruct((7, 5, 13), "f4", sharding=sharding)})
assert made["stacked"].sharding == sharding
assert "flax" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_elements_that_no_chunk_covers_are_an_internal_error(tmp_path):
    with migrate.open_checkpoint(saved(tmp_path / "old", layers())) as checkpoint, pytest.raises(MigrateError) as error:
        read(reads_of(checkpoint), ("stacked",), [((0, 8), (0, 5), (0, 13))])
    assert "do not cover" in str(error.value)
