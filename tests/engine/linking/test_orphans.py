"""Files that no array needs are removed from a staging store, and no others."""

import numpy as np
import pytest
import tensorstore as ts

from migrate.engine.linking.orphans import remove_orphans
from migrate.engine.outputs.orbax_store import Staging
from migrate.formats.detect import open_reader
from migrate.formats.zarr.ocdbt_index import Index
from migrate.ops.base import avals
from migrate.tree import AbstractLeaf

ARRAYS = {name: np.random.default_rng(ord(name)).normal(size=1000) for name in "abc"}


def write(folder, *names):
    for name in names:
        with Staging(folder, zarr3=False) as store:  # each a transaction, and so a version of the database
            store.write((name,), AbstractLeaf("array", *avals(ARRAYS[name])), ARRAYS[name])


def data_files(folder):
    return {path.name for path in (folder / "d").iterdir()}


def values(folder):
    with open_reader(folder) as reader:
        return {path[0]: reader.read(path).tolist() for path in reader.abstract().tree.leaves}


def test_an_unfinished_file_of_a_killed_run_is_removed(tmp_path):
    write(tmp_path, "a", "b")
    (tmp_path / "d" / "0123.__lock").write_bytes(bytes(100))
    remove_orphans(tmp_path)
    assert "0123.__lock" not in data_files(tmp_path)
    assert {name: ARRAYS[name].tolist() for name in "ab"} == values(tmp_path)


def test_outdated_files_of_rewritten_arrays_are_removed(tmp_path):
    write(tmp_path, "a", "b", "a", "c", "a")
    before = data_files(tmp_path)
    remove_orphans(tmp_path)
    assert data_files(tmp_path) < before
    assert {name: array.tolist() for name, array in ARRAYS.items()} == values(tmp_path)


def test_a_second_removal_removes_nothing(tmp_path):
    write(tmp_path, "a", "a", "b")
    remove_orphans(tmp_path)
    once = data_files(tmp_path)
    remove_orphans(tmp_path)
    assert once == data_files(tmp_path)


def test_the_store_stays_writable(tmp_path):
    write(tmp_path, "a", "a")
    remove_orphans(tmp_path)
    write(tmp_path, "b")
    assert {name: ARRAYS[name].tolist() for name in "ab"} == values(tmp_path)


def test_a_damaged_index_removes_nothing(tmp_path):
    write(tmp_path, "a")
    (tmp_path / "manifest.ocdbt").write_bytes(b"damaged")
    before = data_files(tmp_path)
    with pytest.raises(ValueError, match="manifest"):
        remove_orphans(tmp_path)
    assert before == data_files(tmp_path)


def test_the_lists_of_versions_stay(tmp_path):
    spec = {"driver": "ocdbt", "base": f"file://{tmp_path}/", "config": {"version_tree_arity_log2": 1}}
    for number in range(9):
        ts.KvStore.open(spec).result().write("key", bytes([number]) * 100).result()
    lists = Index(tmp_path).version_lists()
    assert lists
    remove_orphans(tmp_path)
    assert lists == Index(tmp_path).version_lists()
    assert all((tmp_path / place.file).exists() for place in lists)
