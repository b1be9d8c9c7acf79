"""Reads of windows that share chunks."""

import time

import numpy as np
import pytest
import tensorstore as ts

from migrate.engine.loading import store_reads
from migrate.engine.loading.store_reads import StoreReads
from migrate.engine.loading.virtual_arrays import loading_context

READ = "/tensorstore/kvstore/file/bytes_read"
WINDOWS = [((start, start + 32), (0, 64)) for start in range(0, 256, 32)]


@pytest.fixture
def array(tmp_path):
    """An array of one chunk, opened without a cache of chunks."""
    values = np.random.default_rng(0).random((256, 64), np.float32)
    metadata = {"shape": values.shape, "chunks": values.shape, "compressor": None}
    spec = {"driver": "zarr", "kvstore": f"file://{tmp_path}/", "metadata": metadata, "dtype": "float32"}
    ts.open(spec, create=True).result().write(values).result()
    return values, ts.open(spec, open=True, context=loading_context()).result()


def bytes_read():
    return ts.experimental_collect_matching_metrics(READ)[0]["values"][0]["value"]


def begun_slowly(monkeypatch):
    """Lets a moment pass before each read of a window, as on a busy machine."""
    aligned = store_reads.aligned

    def slow(*arguments):
        time.sleep(0.02)
        return aligned(*arguments)

    monkeypatch.setattr(store_reads, "aligned", slow)


def test_a_chunk_that_all_windows_need_is_read_once_however_slowly_they_begin(array, monkeypatch):
    values, stored = array
    begun_slowly(monkeypatch)
    before = bytes_read()
    found = StoreReads(("a",), lambda: stored, WINDOWS, pytest.fail).result()
    assert values.nbytes == bytes_read() - before
    assert WINDOWS == [one.window for one in found]
    np.testing.assert_array_equal(values, np.concatenate([one.value for one in found]))


def test_a_read_that_fails_is_explained(array, tmp_path):
    _, stored = array
    (tmp_path / "0.0").write_bytes(b"short")

    def explain(error):
        raise RuntimeError("explained") from error

    with pytest.raises(RuntimeError, match="explained"):
        StoreReads(("a",), lambda: stored, WINDOWS, explain).result()
