"""Gathered chunks decode to the linked array."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import migrate
from migrate.engine.items import item_of, item_plans
from migrate.engine.linking.link import find_links
from migrate.engine.loading.gathered_arrays import GatheredArrays
from migrate.formats.zarr.small_arrays import SMALL_BYTES
from tests.engine.sources import plan_for

RULE = "rules: [{from: 'layer_{i}', to: stacked, ops: [{stack: {axis: 0, over: i}}]}]"


def layers():
    return {f"layer_{i}": jnp.arange(12.0).reshape(3, 4) + i for i in range(5)}


@pytest.fixture(params=[True, False], ids=["OCDBT", "plain zarr"])
def place(request, tmp_path):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=request.param)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave(layers()))
    return tmp_path / "old"


def gathered(checkpoint):
    plan = plan_for(checkpoint.reader, RULE)
    return GatheredArrays(find_links(plan, checkpoint.reader, item_of(item_plans(plan))))


def test_they_have_the_values_of_the_target(place):
    with migrate.open_checkpoint(place) as checkpoint:
        array = gathered(checkpoint).open(("stacked",))
        np.testing.assert_array_equal(np.stack(list(layers().values())), array.read().result())


def test_a_model_that_is_loaded_from_them_has_the_values(place, tmp_path):
    (tmp_path / "rules.yaml").write_text(f"migrate: 1\n{RULE}\n")
    made = migrate.load(place, tmp_path / "rules.yaml", into={"stacked": jnp.zeros((5, 3, 4))})["stacked"]
    np.testing.assert_array_equal(np.stack(list(layers().values())), made)


@pytest.mark.parametrize("ocdbt", [True, False])
def test_chunks_that_are_larger_encoded_than_decoded_are_gathered_too(tmp_path, ocdbt):
    numbers = np.random.default_rng(0)
    arrays = {f"layer_{i}": numbers.integers(0, 1 << 32, (256, 256), np.uint32) for i in range(5)}
    assert {SMALL_BYTES} == {array.nbytes for array in arrays.values()}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave(arrays))
    (tmp_path / "rules.yaml").write_text(f"migrate: 1\n{RULE}\n")
    into = {"stacked": jax.ShapeDtypeStruct((5, 256, 256), np.uint32)}
    made = migrate.load(tmp_path / "old", tmp_path / "rules.yaml", into=into)["stacked"]
    np.testing.assert_array_equal(np.stack(list(arrays.values())), made)


def test_a_chunk_that_is_missing_is_an_error_and_not_zeros(tmp_path):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave(layers()))
    with migrate.open_checkpoint(tmp_path / "old") as checkpoint:
        arrays = gathered(checkpoint)
        (tmp_path / "old/layer_3/0.0").unlink()
        with pytest.raises(ValueError, match=r"layer_3/0\.0"):
            arrays.open(("stacked",))
