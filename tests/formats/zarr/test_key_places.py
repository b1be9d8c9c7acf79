"""Databases that TensorStore alone cannot read: parts of several processes, and databases in subdirectories."""

import json
import shutil

import msgpack
import numpy as np
import pytest
import tensorstore as ts

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.testing.readers import check_reader, same_value


@pytest.fixture
def unmerged(copy_of):
    """A checkpoint as its only process left it before the save was finished."""
    folder = copy_of()
    (folder / "manifest.ocdbt").unlink()
    shutil.rmtree(folder / "d")
    return folder


def database(folder):
    return ts.KvStore.open({"driver": "ocdbt", "base": f"file://{folder}/"}).result()


def split(folder, moved):
    """Move the keys for which `moved` holds into the database of a second process."""
    first, second = database(folder / "ocdbt.process_0"), database(folder / "ocdbt.process_1")
    for key in first.list().result():
        if moved(key.decode()):
            second.write(key, first.read(key).result().value).result()
            first.delete_range(ts.KvStore.KeyRange(key, key + b"\0")).result()


def note_codes(reader):
    return [note.code for note in reader.abstract().notes]


def test_the_part_of_the_only_process_is_read_with_a_note(unmerged, written):
    check_reader(lambda: open_reader(unmerged))
    with open_reader(unmerged) as reader, open_reader(written("ocdbt_zarr2", "typical")) as whole:
        expected, found = whole.read_all(), reader.read_all()
        assert "M410" in note_codes(reader)
    assert all(same_value(expected[path], found[path]) for path in expected)


def test_the_parts_of_several_processes_are_put_together(tmp_path):
    """As two processes left it: the metadata of every array in the first part, the shards in either."""
    folder = tmp_path / "item"
    expected = np.arange(32, dtype=np.float32).reshape(8, 4)
    kvstore = {"driver": "ocdbt", "base": f"file://{folder}/ocdbt.process_0/", "path": "rows/"}
    metadata = {"shape": [8, 4], "chunks": [2, 4], "dtype": "<f4", "compressor": {"id": "zstd"}}
    ts.open({"driver": "zarr", "kvstore": kvstore, "metadata": metadata}, create=True).result().write(expected).result()
    split(folder, lambda key: key in ("rows/1.0", "rows/3.0"))
    check_reader(lambda: open_reader(folder))
    with open_reader(folder) as reader:
        assert np.array_equal(expected, reader.read(("rows",)))
        leaf = reader.abstract().tree.leaves["rows",]
        assert (None, None, False) == (reader.location(("rows",)), leaf.storage.encoding, leaf.storage.database)
        assert "M410" in note_codes(reader)


def test_a_shard_that_no_part_holds_is_missed(unmerged):
    split(unmerged, lambda key: key.startswith("params.Dense_0.kernel/0"))
    shutil.rmtree(unmerged / "ocdbt.process_1")
    with open_reader(unmerged) as reader, pytest.raises(CheckpointError, match="missing"):
        reader.read(("params", "Dense_0", "kernel"))


def test_a_shard_of_zeros_is_not_made_up_for_a_part_that_is_lost(copy_of):
    folder = copy_of("ocdbt_zarr3")
    (folder / "manifest.ocdbt").unlink()
    shutil.rmtree(folder / "d")
    content = json.loads((folder / "_METADATA").read_text())
    (folder / "_METADATA").write_text(json.dumps({**content, "store_array_data_equal_to_fill_value": False}))
    split(folder, lambda key: key.startswith("params.Dense_0.kernel/c"))
    with open_reader(folder) as reader:
        assert (4, 3) == reader.read(("params", "Dense_0", "kernel")).shape
    shutil.rmtree(folder / "ocdbt.process_1")
    database(folder / "ocdbt.process_1").write("other", b"").result()
    with open_reader(folder) as reader, pytest.raises(CheckpointError):
        reader.read(("params", "Dense_0", "kernel"))


def test_parts_that_contradict_each_other_are_refused(unmerged):
    database(unmerged / "ocdbt.process_1").write("step/.zarray", b"{}").result()
    with pytest.raises(CheckpointError, match="contradict"):
        open_reader(unmerged)


@pytest.fixture
def slashed(tmp_path):
    """An item of Orbax 0.1.7 to 0.3.5, whose names with a slash went into databases of their own."""
    folder = tmp_path / "item"
    for place, name in ((folder, "w"), (folder / "mlp" / "~", "linear.w")):
        kvstore = {"driver": "ocdbt", "base": f"file://{place}/", "path": f"{name}/"}
        spec = {"driver": "zarr", "kvstore": kvstore, "metadata": {"shape": [2], "chunks": [2], "dtype": "<i4"}}
        ts.open(spec, create=True).result().write([1, 2]).result()
    tree = {"w": "PLACEHOLDER://w", "mlp/~/linear": {"w": "PLACEHOLDER://mlp/~/linear.w"}}
    (folder / "checkpoint").write_bytes(msgpack.packb(tree))
    return folder


def test_a_database_in_a_subdirectory_belongs_to_names_with_a_slash(slashed):
    check_reader(lambda: open_reader(slashed))
    with open_reader(slashed) as reader:
        assert [1, 2] == reader.read(("mlp/~/linear", "w")).tolist()
        assert (slashed / "mlp" / "~").resolve() == reader.location(("mlp/~/linear", "w")).base
        assert () == reader.abstract().notes


def test_a_name_with_a_slash_that_leads_out_is_refused(slashed):
    shutil.copytree(slashed / "mlp" / "~", slashed.parent / "outside")
    (slashed / "checkpoint").write_bytes(msgpack.packb({"evil": "PLACEHOLDER://../outside/linear.w"}))
    with pytest.raises(CheckpointError) as caught:
        open_reader(slashed)
    assert ["M404"] == [found.code for found in caught.value.diagnostics]
