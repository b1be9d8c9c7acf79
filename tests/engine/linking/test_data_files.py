"""Long values are written once, into data files of their own, and the database refers to them."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import tensorstore as ts

from migrate.engine.linking import data_files as module
from migrate.engine.linking.data_files import DataFiles
from migrate.engine.linking.open_stores import OPTIONS, open_database
from migrate.formats.zarr.references import references


class Database:
    """A database in a directory, and the data files of its values."""

    def __init__(self, folder):
        self.folder = folder
        context = ts.Context()
        self.values = open_database(folder, context, config=OPTIONS, assume_config=True)
        self.files = DataFiles(folder, context)

    def write(self, values):
        transaction = ts.Transaction(atomic=True)
        self.files.write(values, self.values.with_transaction(transaction))
        transaction.commit_async().result()

    def stored(self):
        return {key: self.values.read(key).result().value for key in references(self.folder)}

    def data(self):
        """The files to which values refer, with their content."""
        return {place.file: (self.folder / place.file).read_bytes() for place in references(self.folder).values()}


def values(prefix, count=5):
    return [(f"{prefix}/{i}", os.urandom(2_000 + i)) for i in range(count)]


def test_each_batch_is_one_file_that_holds_nothing_else(tmp_path):
    database = Database(tmp_path)
    batches = values("a"), values("b", 1_300), values("c")
    for batch in batches:
        database.write(batch)
    database.files.close()
    assert {key: value for batch in batches for key, value in batch} == database.stored()
    assert {b"".join(value for _, value in batch) for batch in batches} == set(database.data().values())


def test_short_values_are_in_the_index(tmp_path):
    database = Database(tmp_path)
    short = [("a/.zarray", b"{}"), ("a/0", os.urandom(1024))]
    database.write(short)
    assert dict(short) == {key: place.inline for key, place in references(tmp_path).items()}
    database.write([("a/1", os.urandom(1025))])
    assert references(tmp_path)["a/1"].inline is None


def test_a_value_replaces_an_earlier_one(tmp_path):
    database = Database(tmp_path)
    database.write(values("a"))
    again = values("a")
    database.write(again)
    assert dict(again) == database.stored()


def test_threads_write_at_once(tmp_path):
    database = Database(tmp_path)
    batches = [values(str(number)) for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(database.write, batches))
    assert {key: value for batch in batches for key, value in batch} == database.stored()


def test_only_data_files_and_nodes_of_the_database_stay(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "manifest.ocdbt").write_bytes(b"of a killed run")
    database = Database(tmp_path)
    assert not (tmp_path / "d" / "manifest.ocdbt").exists()
    database.write(values("a"))
    before = set(os.listdir(tmp_path / "d"))
    database.files.close()
    assert before - {"manifest.ocdbt"} == set(os.listdir(tmp_path / "d"))
    assert 2 == len(before) - 1  # the values, and the node of the database


def test_a_short_write_is_continued(tmp_path, monkeypatch):
    known = os.writev
    monkeypatch.setattr(module.os, "writev", lambda file, parts: known(file, [part[:700] for part in parts[:1]]))
    database = Database(tmp_path)
    batch = values("a")
    database.write(batch)
    assert dict(batch) == database.stored()


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    database = Database(tmp_path)
    monkeypatch.setattr(module.os, "writev", full)
    with pytest.raises(OSError, match=r"No space left.*d/") as caught:
        database.write(values("a"))
    assert errno.ENOSPC == caught.value.errno
