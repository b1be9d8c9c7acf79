"""The stored bytes of chunks, of which those that follow one another in a file are read together."""

import os

import numpy as np
import pytest
import tensorstore as ts

from migrate.engine.linking.open_stores import open_database
from migrate.errors import CheckpointError
from migrate.formats.base import Location
from migrate.formats.zarr import chunk_values as module
from migrate.formats.zarr.chunk_values import chunk_values

VALUES = {f"a/{number}": os.urandom(2_000 + number) for number in range(6)} | {"a/inline": b"short"}


@pytest.fixture(params=["database", "folder"])
def location(tmp_path, request):
    if request.param == "folder":
        (tmp_path / "a").mkdir()
        for key, value in VALUES.items():
            (tmp_path / key).write_bytes(value)
    else:
        transaction = ts.Transaction(atomic=True)
        writing = open_database(tmp_path, ts.Context()).with_transaction(transaction)
        for key, value in VALUES.items():
            writing.write(key, value).result()
        transaction.commit_async().result()
    return Location(tmp_path, request.param == "database", "a", "zarr2", fill_missing=False)


@pytest.mark.parametrize("keys", [list(VALUES), list(reversed(VALUES)), ["a/3", "a/inline", "a/4"], ["a/1", "a/1"], []])
def test_values_come_in_the_order_of_their_keys(location, keys):
    assert [VALUES[key] for key in keys] == [bytes(value) for value in chunk_values(location, keys)]


def test_values_that_follow_one_another_are_read_together(location, monkeypatch):
    reads, known = [], os.preadv
    monkeypatch.setattr(module.os, "preadv", lambda *call: reads.append(call) or known(*call))
    keys = [f"a/{number}" for number in range(6)]
    assert sum(map(len, map(VALUES.get, keys))) == sum(map(len, chunk_values(location, keys)))
    assert (1 if location.ocdbt else 6) == len(reads)


def test_a_missing_chunk_is_an_error(location):
    with pytest.raises(CheckpointError, match="incomplete"):
        list(chunk_values(location, ["a/0", "a/missing"]))


def test_a_file_that_ends_too_early_is_an_error(location, monkeypatch):
    monkeypatch.setattr(module.os, "preadv", lambda *_: 0)
    with pytest.raises(CheckpointError, match="ends before byte"):
        list(chunk_values(location, ["a/0"]))


def test_a_file_that_cannot_be_read_is_an_error(location, monkeypatch):
    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module.os, "preadv", broken)
    with pytest.raises(CheckpointError, match="Input/output error"):
        list(chunk_values(location, ["a/0"]))


def test_a_value_is_valid_until_the_next_one(location):
    for key, value in zip(VALUES, chunk_values(location, list(VALUES)), strict=True):
        assert np.array_equal(np.frombuffer(VALUES[key], np.uint8), np.frombuffer(value, np.uint8))
