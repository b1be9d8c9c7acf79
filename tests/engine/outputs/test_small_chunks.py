"""Arrays that are encoded in memory are stored exactly as TensorStore stores them in the database."""

import numpy as np
import pytest
import tensorstore as ts

from migrate.engine.linking.open_stores import open_database
from migrate.engine.outputs import orbax_store, small_chunks
from migrate.engine.outputs.orbax_store import Staging
from migrate.ops.base import avals
from migrate.tree import AbstractLeaf


def write(store, name, array):
    store.write((name,), AbstractLeaf("array", *avals(array)), array)


def stored(folder):
    store = open_database(folder, ts.Context())
    return {key: store.read(key).result().value for key in store.list().result()}


@pytest.mark.parametrize("compression", [None, "none", "zstd:3", "zstd:-5", "zstd:0"])
@pytest.mark.parametrize("zarr3", [False, True])
def test_keys_and_values_are_those_that_tensorstore_writes(tmp_path, monkeypatch, zarr3, compression):
    arrays = {f"a{i}": np.full((3, 4), i, np.float32) for i in range(3)}
    arrays |= {"zeros": np.zeros((2, 5), np.int8), "number": np.array(7, np.int64), "empty": np.zeros((0, 3))}
    for folder, limit in (("small", small_chunks.SMALL_BYTES), ("opened", 0)):
        monkeypatch.setattr(orbax_store, "SMALL_BYTES", limit)
        with Staging(tmp_path / folder, zarr3=zarr3, compression=compression) as store:
            for name, array in arrays.items():
                write(store, name, array)
    assert stored(tmp_path / "opened") == stored(tmp_path / "small")
    assert len(arrays) - 1 + len(arrays) == len(stored(tmp_path / "small"))  # `empty` has no chunk


def test_one_open_array_encodes_all_of_equal_metadata(tmp_path, monkeypatch):
    """Beside the one from which the metadata are read."""
    opened, known = [], ts.open
    monkeypatch.setattr(ts, "open", lambda *spec, **options: opened.append(spec) or known(*spec, **options))
    with Staging(tmp_path / "s", zarr3=False) as store:
        for i in range(50):
            write(store, f"a{i}", np.full(3, i))
    assert 2 == len(opened)


def test_transactions_grow_with_the_number_of_arrays(tmp_path, monkeypatch):
    monkeypatch.setattr(orbax_store, "BATCH_ARRAYS", 4)
    commits, known = [], orbax_store._Batch.commit
    monkeypatch.setattr(orbax_store._Batch, "commit", lambda batch: commits.append(len(batch.arrays)) or known(batch))
    with Staging(tmp_path / "s", zarr3=False) as store:
        for i in range(400):
            write(store, f"a{i}", np.full(3, i))
    assert (400, commits[:4]) == (sum(commits), [4, 4, 4, 4])
    assert len(commits) < 400 // 4 // 3
    assert 800 == len(stored(tmp_path / "s"))
