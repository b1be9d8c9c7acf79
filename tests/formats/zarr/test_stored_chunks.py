"""Chunks that are not stored in full are found by indexes and sizes of files, each file asked once."""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.formats.zarr import stored_chunks
from migrate.formats.zarr.metadata import parse
from migrate.formats.zarr.stored_chunks import ExpectedArray, Shortfall, StoredRange, in_folder, in_index
from tests.damage import bits, by_migrate

EARLY = Path(__file__).parent / "tensorstore_0_1_35" / "item"


def array(name, shape, chunks, *, may_fill=False, **fields):
    described = {"shape": shape, "chunks": chunks, "dtype": "<f4", "order": "C", "compressor": None, **fields}
    return ExpectedArray(name, parse(json.dumps(described).encode(), "zarr2"), may_fill)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "data").write_bytes(bytes(100))
    return tmp_path / "data"


def test_a_range_has_to_end_inside_its_file(file, tmp_path):
    index = {"a/0": StoredRange(str(file), 100), "b/0": StoredRange(str(file), 101), "c/0": None}
    arrays = [array(name, [4], [4]) for name in "abc"]
    assert [Shortfall("b", file, 100, 101)] == list(in_index(index, tmp_path, arrays))


def test_a_file_has_to_exist(tmp_path):
    index = {"a/0": StoredRange(f"{tmp_path}/gone", 8)}
    assert [Shortfall("a", tmp_path / "gone", None, 8)] == list(in_index(index, tmp_path, [array("a", [4], [4])]))


def test_keys_of_no_array_of_the_checkpoint_do_not_matter(file, tmp_path):
    index = {"a/0": StoredRange(str(file), 1), "old/b/0": StoredRange(str(file), 101)}
    assert [] == list(in_index(index, tmp_path, [array("a", [4], [4])]))


@pytest.mark.parametrize(("name", "key"), [("a/b", "a/b/1.0"), ("a", "a/c/1/0"), ("", "1.0")])
def test_a_key_belongs_to_the_array_that_its_path_begins_with(file, tmp_path, name, key):
    expected = array(name, [4, 4], [2, 4], may_fill=True)
    assert [Shortfall(name, file, 100, 101)] == list(in_index({key: StoredRange(str(file), 101)}, tmp_path, [expected]))


def test_every_chunk_is_in_the_index_unless_a_lost_one_means_zeros(tmp_path):
    index = {"a/0.0": None, "a/1.0": None}
    assert [] == list(in_index(index, tmp_path, [array("a", [4, 4], [2, 4])]))
    assert [Shortfall("a", tmp_path)] == list(in_index(index, tmp_path, [array("a", [5, 4], [2, 4])]))
    assert [] == list(in_index(index, tmp_path, [array("a", [5, 4], [2, 4], may_fill=True)]))


def test_an_array_of_many_lost_chunks_takes_no_time(tmp_path):
    start = time.process_time()
    huge = array("a", [1 << 60, 1 << 60], [1, 1])
    assert [Shortfall("a", tmp_path)] == list(in_index({}, tmp_path, [huge]))
    assert [Shortfall("a", tmp_path / "a" / "0.0", None, 4)] == list(in_folder(tmp_path, [huge]))
    assert time.process_time() - start < 10


@pytest.mark.parametrize("may_fill", [False, True])
@pytest.mark.parametrize(("codec", "least"), [(None, 16), ({"id": "zstd"}, 1)])
def test_a_chunk_that_is_a_file_has_the_bytes_of_its_elements_or_at_least_one(tmp_path, codec, least, may_fill):
    expected = array("a", [8], [4], may_fill=may_fill, compressor=codec)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".zarray").write_bytes(b"")
    (tmp_path / "a" / "0").write_bytes(bytes(least))
    (tmp_path / "a" / "1").write_bytes(bytes(least - 1))
    assert [Shortfall("a", tmp_path / "a" / "1", least - 1, least)] == list(in_folder(tmp_path, [expected]))
    (tmp_path / "a" / "1").unlink()
    lost = [] if may_fill else [Shortfall("a", tmp_path / "a" / "1", None, least)]
    assert lost == list(in_folder(tmp_path, [expected]))


def test_each_file_is_asked_for_its_size_once(file, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(stored_chunks, "file_size", lambda path: asked.append(path) or 100)
    index = {f"a/{number}": StoredRange(str(file), number) for number in range(200)}
    assert [Shortfall("a", file, 100, end) for end in range(101, 200)] == list(
        in_index(index, tmp_path, [array("a", [200], [1])])
    )
    assert [str(file)] == asked


@pytest.mark.parametrize("damage", ["half", "gone"])
@pytest.mark.parametrize("name", sorted(path.name for path in (EARLY / "d").iterdir()))
def test_a_damaged_data_file_of_tensorstore_0_1_35_is_named_if_a_leaf_needs_it(tmp_path, name, damage):
    item = shutil.copytree(EARLY, tmp_path / "item")
    lost = item / "d" / name
    os.truncate(lost, lost.stat().st_size // 2) if damage == "half" else lost.unlink()
    try:
        with open_reader(item) as reader:
            problems = reader.abstract().problems
            if not problems:
                assert by_migrate(EARLY) == bits(reader.read_all().items())
    except CheckpointError as error:  # the file holds the tree
        problems = error.diagnostics
    assert all(lost.name in problem.message for problem in problems)


@pytest.mark.parametrize("writer", ["ocdbt_zarr2", "ocdbt_zarr3", "plain_zarr2", "plain_zarr3", "version_1"])
@pytest.mark.parametrize("tree", ["typical", "dtypes", "odd_names"])
def test_a_whole_checkpoint_has_no_problems(written, writer, tree):
    with open_reader(written(writer, tree)) as reader:
        assert () == reader.abstract().problems == reader.problems()


def test_problems_name_the_leaves_as_rules_do(copy_of):
    folder = copy_of("plain_zarr2")
    file = folder / "params.Dense_0.kernel" / "0.0"
    os.truncate(file, 0)
    with open_reader(folder) as reader:
        (problem,) = reader.abstract().problems
    assert "M404" == problem.code
    assert f"`{file}` is empty" in problem.message
    assert ("params/Dense_0/kernel",) == problem.paths


def test_a_large_array_of_zeros_that_is_not_stored_is_no_problem(tmp_path):
    (tmp_path / "a").mkdir()
    fields = {"shape": [1 << 40], "chunks": [8], "dtype": "<f4", "order": "C", "compressor": None, "fill_value": 0.0}
    (tmp_path / "a" / ".zarray").write_text(json.dumps({**fields, "filters": None, "zarr_format": 2}))
    (tmp_path / "a" / "5").write_bytes(np.ones(8, np.float32).tobytes())
    with open_reader(tmp_path) as reader:
        assert () == reader.abstract().problems
