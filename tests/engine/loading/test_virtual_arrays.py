"""Arrays in memory over the chunks of the source are those that `apply` links."""

import json
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

import migrate
from migrate.engine.items import item_of, item_plans
from migrate.engine.linking.link import find_links
from migrate.engine.loading.virtual_arrays import VirtualArrays, loading_context
from migrate.errors import CheckpointError
from tests.engine.sources import plan_for

RULES = """rules:
  - {from: "layer_{i}/kernel", to: kernels, ops: [{stack: {axis: 0, over: i}}]}
  - "bias -> renamed"
"""
STORES = {
    "OCDBT, zarr 2": {"use_ocdbt": True, "use_zarr3": False},
    "OCDBT, zarr 3": {"use_ocdbt": True, "use_zarr3": True},
    "plain zarr": {"use_ocdbt": False},
}


def tree():
    random = np.random.default_rng(0)
    layers = {f"layer_{i}": {"kernel": random.standard_normal((40, 30)).astype(np.float32)} for i in range(3)}
    return {**layers, "bias": np.arange(5, dtype=np.int32), "wide": np.arange(3)}


@pytest.fixture(params=list(STORES))
def place(request, tmp_path):
    options = jax.tree.map(lambda _: ocp.SaveArgs(chunk_byte_size=1000), tree())
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**STORES[request.param])) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave(tree(), save_args=options))
    return tmp_path / "old"


def linked(checkpoint):
    plan = plan_for(checkpoint.reader, RULES)
    return find_links(plan, checkpoint.reader, item_of(item_plans(plan)))


def test_they_have_the_values_and_the_chunks_of_the_target(place):
    with migrate.open_checkpoint(place) as checkpoint:
        links = linked(checkpoint)
        arrays = VirtualArrays(links, loading_context())
        kernels = arrays.open(("kernels",))
        expected = np.stack([tree()[f"layer_{i}"]["kernel"] for i in range(3)])
        np.testing.assert_array_equal(expected, kernels.read().result())
        assert {link.path: link.grid.chunks for link in links}["kernels",] == kernels.chunk_layout.read_chunk.shape
        np.testing.assert_array_equal(tree()["bias"], arrays.open(("renamed",)).read().result())


def test_loads_at_the_same_time_do_not_share_an_index(place):
    with migrate.open_checkpoint(place) as checkpoint:
        links = linked(checkpoint)
        whole, part = VirtualArrays(links, loading_context()), VirtualArrays(links[:1], loading_context())
        assert len(links) > 1
        assert part.open(links[0].path).read().result() is not None
        assert whole.open(links[-1].path).read().result() is not None


def test_a_missing_chunk_is_an_error_that_names_the_source_and_its_leaf(tmp_path):
    options = jax.tree.map(lambda _: ocp.SaveArgs(chunk_byte_size=1000), tree())
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave(tree(), save_args=options))
    with migrate.open_checkpoint(tmp_path / "old") as checkpoint:
        links = linked(checkpoint)
        chunk = next(path for path in sorted((tmp_path / "old/layer_1.kernel").iterdir()) if path.name[0].isdigit())
        chunk.unlink()
        with pytest.raises(CheckpointError) as error:
            VirtualArrays(links, loading_context())
    (found,) = error.value.diagnostics
    assert ("M403", ("kernels",)) == (found.code, found.paths)
    assert f"`{chunk}`" in found.message
    assert "`layer_1.kernel`" in found.message


def test_a_chunk_that_the_index_lacks_is_an_error_and_not_zeros(tmp_path):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave(tree()))
    with migrate.open_checkpoint(tmp_path / "old") as checkpoint:
        links = linked(checkpoint)
        other = {**tree(), "layer_1": {"other": tree()["layer_1"]["kernel"]}}
        shutil.rmtree(tmp_path / "old")
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave(other))
        with pytest.raises(CheckpointError, match=r"lacks chunks of the array `layer_1\.kernel`"):
            VirtualArrays(links, loading_context())


def test_a_chunk_that_vanishes_later_is_not_read_as_zeros(tmp_path):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave(tree()))
    metadata = json.loads((tmp_path / "old/layer_1.kernel/.zarray").read_text())
    assert metadata["shape"] == [40, 30]
    with migrate.open_checkpoint(tmp_path / "old") as checkpoint:
        arrays = VirtualArrays(linked(checkpoint), loading_context())
        (tmp_path / "old/layer_1.kernel/0.0").unlink()
        with pytest.raises(ValueError, match="is missing"):
            arrays.open(("kernels",)).read().result()
