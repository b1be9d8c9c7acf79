"""A written checkpoint, and ways to damage it."""

import gc
import time

import jax
import numpy as np
import pytest
import tensorstore as ts

from tests.engine.sources import apply_plan, opened, plan_for, save

LEAVES = jax.device_put({f"w{i}": np.arange(100, dtype=np.float32) + i for i in range(5)})


@pytest.fixture
def abandoned_reads():
    """Waits for the reads that a failed restore of Orbax leaves behind, so that they end within the test."""
    yield
    time.sleep(0.3)
    gc.collect()


@pytest.fixture
def written(tmp_path):
    """A source and what an empty rule file makes of it."""
    source, result = save(tmp_path / "old", LEAVES), tmp_path / "new"
    with opened(source) as reader:
        apply_plan(plan_for(reader), reader, result, verify="none")
    return source, result


def chunks(checkpoint):
    return ts.KvStore.open({"driver": "ocdbt", "base": f"file://{checkpoint}/"}).result()


def swap(checkpoint, one, other):
    """Exchanges the chunks of two arrays: everything is readable, and two values are wrong."""
    store = chunks(checkpoint)
    mine, theirs = (store.read(f"{name}/0").result().value for name in (one, other))
    store.write(f"{one}/0", theirs).result()
    store.write(f"{other}/0", mine).result()


def change(checkpoint, name):
    """Changes the first element of an array, through TensorStore: everything is readable, and one value is wrong."""
    store = {"driver": "ocdbt", "base": f"file://{checkpoint}/", "path": f"{name}/"}
    array = ts.open({"driver": "zarr", "kvstore": store}).result()
    first = tuple(slice(0, 1) for _ in array.shape)
    changed = np.array(array[first].read().result())
    changed.reshape(-1).view(np.uint8)[0] ^= 1
    array[first].write(changed).result()


def messages(failure):
    return [diagnostic.message for diagnostic in failure.value.diagnostics]
