"""Arrays of one small chunk are read from an index that is read once; everything else is left to TensorStore."""

import shutil

import numpy as np
import pytest
import tensorstore as ts

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.formats.zarr import small_arrays
from migrate.formats.zarr.small_arrays import SMALL_BYTES, DatabaseValues, FolderValues, SmallArrays
from migrate.formats.zarr.store_spec import database_spec, folder_spec
from tests.engine.sources import save

DRIVERS = {"zarr2": "zarr", "zarr3": "zarr3"}
CODECS = {"zarr2": {"compressor": {"id": "zstd", "level": 1}}, "zarr3": {}}


def write(folder, name, value, *, driver, database, chunks=None):
    spec = (database_spec if database else folder_spec)(folder, f"{name}/")
    metadata = CODECS[driver] | {"shape": list(value.shape)}
    chunks = list(chunks or value.shape)
    grid = {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}}}
    metadata |= {"chunks": chunks} if driver == "zarr2" else grid
    whole = {"driver": DRIVERS[driver], "kvstore": spec, "dtype": value.dtype.name, "metadata": metadata}
    whole["store_data_equal_to_fill_value"] = True
    ts.open(whole, create=True).result().write(value).result()


def values(folder, *, database):
    return DatabaseValues(folder) if database else FolderValues(folder)


@pytest.mark.parametrize("database", [True, False])
@pytest.mark.parametrize("driver", ["zarr2", "zarr3"])
def test_arrays_of_equal_metadata_keep_their_own_values(tmp_path, driver, database):
    meant = {f"a{i}": np.full((3, 4), i, np.float32) for i in range(4)}
    meant |= {"number": np.array(7, np.int32), "large": np.arange(20_000.0).reshape(100, 200)}
    for name, value in meant.items():
        write(tmp_path, name, value, driver=driver, database=database)
    arrays = SmallArrays(values(tmp_path, database=database))
    for name in [*meant, *reversed(meant)]:
        found = arrays.read(name, driver)
        assert (meant[name].dtype, True) == (found.dtype, np.array_equal(meant[name], found))


@pytest.mark.parametrize("database", [True, False])
def test_several_chunks_large_arrays_and_missing_ones_are_left_to_tensorstore(tmp_path, database):
    write(tmp_path, "split", np.ones((4, 4)), driver="zarr2", database=database, chunks=(2, 4))
    write(tmp_path, "large", np.ones(SMALL_BYTES // 8 + 1), driver="zarr2", database=database)
    write(tmp_path, "thick", np.ones(4), driver="zarr2", database=database, chunks=(SMALL_BYTES,))
    arrays = SmallArrays(values(tmp_path, database=database))
    assert [None] * 4 == [arrays.read(name, "zarr2") for name in ("split", "large", "thick", "absent")]


def test_a_damaged_chunk_is_left_to_tensorstore(tmp_path):
    write(tmp_path, "a", np.arange(12.0), driver="zarr2", database=False)
    content = (tmp_path / "a" / "0").read_bytes()
    (tmp_path / "a" / "0").write_bytes(content[:-3])
    assert SmallArrays(FolderValues(tmp_path)).read("a", "zarr2") is None


@pytest.mark.parametrize("together", [False, True])
def test_metadata_that_tensorstore_refuses_are_left_to_it(tmp_path, together):
    write(tmp_path, "a", np.arange(12.0), driver="zarr2", database=False)
    write(tmp_path, "b", np.arange(12.0), driver="zarr2", database=False)
    for name in ("a", "b"):
        file = tmp_path / name / ".zarray"
        file.write_text(file.read_text().replace("zarr_format", "zarb_format"))
    arrays = SmallArrays(FolderValues(tmp_path))
    if together:
        arrays.read_ahead([("a", "zarr2"), ("b", "zarr2")])
    assert [None, None] == [arrays.read(name, "zarr2") for name in ("a", "b")]


def test_the_index_is_read_once_for_all_arrays(tmp_path, monkeypatch):
    for i in range(20):
        write(tmp_path, f"a{i}", np.full(3, i), driver="zarr2", database=True)
    calls = []
    known = small_arrays.references
    monkeypatch.setattr(small_arrays, "references", lambda folder: calls.append(folder) or known(folder))
    arrays = SmallArrays(DatabaseValues(tmp_path))
    assert list(range(20)) == [int(arrays.read(f"a{i}", "zarr2")[0]) for i in range(20)]
    assert [tmp_path] == calls


def test_a_database_that_changed_is_read_again(tmp_path):
    write(tmp_path, "a", np.full(3, 1), driver="zarr2", database=True)
    arrays = SmallArrays(DatabaseValues(tmp_path))
    assert 1 == arrays.read("a", "zarr2")[0]
    write(tmp_path, "b", np.full(3, 2), driver="zarr2", database=True)
    assert 2 == arrays.read("b", "zarr2")[0]


def test_one_open_array_serves_all_of_equal_metadata(tmp_path, monkeypatch):
    for i in range(20):
        write(tmp_path, f"a{i}", np.full(3, i), driver="zarr2", database=True)
    opened, known = [], ts.open
    monkeypatch.setattr(ts, "open", lambda *spec, **options: opened.append(spec) or known(*spec, **options))
    arrays = SmallArrays(DatabaseValues(tmp_path))
    assert list(range(20)) == [int(arrays.read(f"a{i}", "zarr2")[0]) for i in range(20)]
    assert 1 == len(opened)


def test_arrays_that_are_read_ahead_are_read_together_once(tmp_path, monkeypatch):
    reads, known = [], small_arrays._MemoryArray.decode
    monkeypatch.setattr(
        small_arrays._MemoryArray, "decode", lambda array, chunks: reads.append(len(chunks)) or known(array, chunks)
    )
    for i in range(20):
        write(tmp_path, f"a{i}", np.full(3, i), driver="zarr2", database=False)
    arrays = SmallArrays(FolderValues(tmp_path))
    arrays.read_ahead((f"a{i}", "zarr2") for i in range(20))
    assert list(range(20)) == [int(arrays.read(f"a{i}", "zarr2")[0]) for i in range(20)]
    assert [20] == reads
    assert 3 == int(arrays.read("a3", "zarr2")[0])
    assert [20, 1] == reads


def test_a_damaged_chunk_does_not_spoil_those_that_are_read_with_it(tmp_path):
    for i in range(5):
        write(tmp_path, f"a{i}", np.full(3, i), driver="zarr2", database=False)
    (tmp_path / "a2" / "0").write_bytes(b"no chunk")
    arrays = SmallArrays(FolderValues(tmp_path))
    arrays.read_ahead((f"a{i}", "zarr2") for i in range(5))
    found = [arrays.read(f"a{i}", "zarr2") for i in range(5)]
    assert [0, 1, None, 3, 4] == [None if array is None else int(array[0]) for array in found]


@pytest.mark.parametrize("driver", ["zarr2", "zarr3"])
@pytest.mark.parametrize(("shape", "chunk"), [((), ()), ((5,), (8,)), ((3, 4), (3, 7)), ((1, 1, 6), (2, 1, 6))])
def test_no_chunk_in_memory_is_read_twice(tmp_path, monkeypatch, driver, shape, chunk):
    """A replaced chunk could be answered from TensorStore's cache, because the clock is not strictly monotonic."""
    monkeypatch.setattr(small_arrays, "_CAPACITY", 4)
    meant = [np.random.default_rng(i).standard_normal(shape) for i in range(11)]
    for i, value in enumerate(meant):
        write(tmp_path, f"a{i}", value, driver=driver, database=False, chunks=chunk)
    arrays, opened, written = SmallArrays(FolderValues(tmp_path)), [], []
    known_open, known_store = ts.open, ts.KvStore.open
    monkeypatch.setattr(ts, "open", lambda *spec, **options: opened.append(spec) or known_open(*spec, **options))

    class Watched:
        def __init__(self, store):
            self._store = store

        def write(self, key, value):
            if value is not None:
                written.append((id(self), key))
            return self._store.write(key, value)

    class Opened:
        def __init__(self, request):
            self._request = request

        def result(self):
            kept.append(Watched(self._request.result()))
            return kept[-1]

    kept = []
    monkeypatch.setattr(ts.KvStore, "open", lambda *spec, **options: Opened(known_store(*spec, **options)))
    for i, value in enumerate(meant):
        np.testing.assert_array_equal(value, arrays.read(f"a{i}", driver), strict=True)
    assert (3 if shape else 11) == len(opened) == len(kept)
    assert len(written) == len(set(written)) == len(meant) + len(opened)


def test_a_chunk_that_vanished_is_refused_by_the_reader_that_names_it(tmp_path):
    source = save(tmp_path / "old", {"w": np.random.default_rng(0).standard_normal((64, 64))})
    with open_reader(source) as reader:
        for folder in list(source.rglob("d")):
            shutil.rmtree(folder)
        with pytest.raises(CheckpointError, match="old"):
            reader.read(("w",))
