"""OCDBT of TensorStore 0.1.35, which no later version reads; the files are its own (`tensorstore_0_1_35/write.py`)."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.formats.zarr.ocdbt_0_1_35 import is_early, read_entries, value_of
from migrate.testing.readers import check_reader

HERE = Path(__file__).parent / "tensorstore_0_1_35"


@pytest.fixture
def item(tmp_path):
    return shutil.copytree(HERE / "item", tmp_path / "item")


def test_today_s_tensorstore_does_not_read_it():
    with pytest.raises(ValueError, match="Length in header"):
        ts.KvStore.open({"driver": "ocdbt", "base": f"file://{HERE}/item/"}).result().list().result()


def test_an_item_reads_as_it_was_written():
    check_reader(lambda: open_reader(HERE / "item"))
    with open_reader(HERE / "item") as reader:
        checkpoint, values = reader.abstract(), reader.read_all()
    assert ("orbax ocdbt", "orbax 0.1.7 or orbax-checkpoint 0.1.8, with tensorstore 0.1.35") == (
        checkpoint.format,
        checkpoint.era,
    )
    assert np.array_equal(np.arange(600, dtype=np.float32).reshape(20, 30), values["params", "kernel"])
    assert [0.0, 0.5, 1.0] == values["params", "bias"].tolist()
    assert (np.int32(7), np.int32) == (values["step",], values["step",].dtype)
    assert [[0, 1, 2], [3, 4, 5]] == values["mlp/~/linear", "w"].tolist()


def test_chunks_are_not_offered_to_those_who_use_tensorstore():
    with open_reader(HERE / "item") as reader:
        leaf = reader.abstract().tree.leaves["params", "kernel"]
        assert (None, None) == (reader.location(("params", "kernel")), leaf.storage.encoding)
        assert not leaf.storage.database


def test_a_tree_with_inner_nodes_has_every_key_and_value():
    expected = json.loads((HERE / "deep" / "EXPECTED.json").read_text())
    assert expected == {key: value_of(entry).hex() for key, entry in read_entries(HERE / "deep").items()}


def test_a_database_of_today_is_no_early_one(written):
    assert is_early(HERE / "item")
    assert not is_early(written("ocdbt_zarr2", "typical"))
    assert not is_early(HERE)


def test_a_lost_data_file_is_named(item):
    for file in (item / "d").iterdir():
        file.unlink()
    with pytest.raises(CheckpointError) as caught:
        open_reader(item)
    assert ["M403"] == [found.code for found in caught.value.diagnostics]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_damaged_tree_is_read_or_refused_and_nothing_else(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz") / "item"
    shutil.copytree(HERE / data.draw(st.sampled_from(["item", "deep"])), folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name == "d")
    file = data.draw(st.sampled_from([folder / "manifest.ocdbt", *files]))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        for entry in read_entries(folder).values():
            value_of(entry)
    except CheckpointError:
        return
