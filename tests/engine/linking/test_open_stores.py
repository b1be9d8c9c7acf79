"""Stores and arrays are opened by their location; an array that cannot be opened is named."""

import numpy as np
import pytest
import tensorstore as ts

from migrate.engine.linking.open_stores import (
    NODE_BYTES,
    OPTIONS,
    open_array,
    open_database,
    open_folder,
    reading_context,
)
from migrate.errors import CheckpointError
from migrate.formats.base import Location
from tests.engine.sources import save


def test_a_folder_is_a_store_of_its_files(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    assert b"content" == open_folder(tmp_path, ts.Context()).read("a").result().value


def test_a_new_database_has_the_options_of_orbax_but_smaller_nodes(tmp_path):
    open_database(tmp_path / "ours", ts.Context(), config=OPTIONS, assume_config=True).write("a", b"1").result()
    save(tmp_path / "theirs", {"a": np.ones(2)})
    ours, theirs = (
        ts.ocdbt.dump(open_folder(tmp_path / name, ts.Context())).result()["config"] for name in ("ours", "theirs")
    )
    same = OPTIONS.keys() - {"max_decoded_node_bytes"}
    assert {name: theirs.get(name) for name in same} == {name: ours.get(name) for name in same}
    assert NODE_BYTES == ours["max_decoded_node_bytes"] < theirs["max_decoded_node_bytes"]
    assert OPTIONS["max_inline_value_bytes"] == ours["max_inline_value_bytes"]


def test_an_array_is_opened_by_its_location(tmp_path):
    save(tmp_path / "old", {"a": np.arange(6.0)})
    array = open_array(Location(tmp_path / "old", True, "a", "zarr2", False), reading_context(0))
    assert np.arange(6.0).tolist() == array.read().result().tolist()


def test_a_missing_array_is_named(tmp_path):
    save(tmp_path / "old", {"a": np.arange(6.0)})
    with pytest.raises(CheckpointError, match="`nope`"):
        open_array(Location(tmp_path / "old", True, "nope", "zarr2", False), reading_context(0))


def test_decoded_chunks_are_kept_up_to_the_limit(tmp_path):
    save(tmp_path / "old", {"a": np.arange(1 << 16)})
    location = Location(tmp_path / "old", True, "a", "zarr2", False)

    def reads(cache_bytes):
        array, read = open_array(location, reading_context(cache_bytes)), "/tensorstore/kvstore/ocdbt/read"
        array.read().result()
        before = ts.experimental_collect_matching_metrics(read)[0]["values"][0]["value"]
        array.read().result()
        return ts.experimental_collect_matching_metrics(read)[0]["values"][0]["value"] - before

    assert (0, 1) == (min(reads(1 << 24), 1), min(reads(0), 1))
