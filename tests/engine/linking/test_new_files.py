"""Files that are written together become durable together, and never change a file that shares its bytes."""

import errno
import os

import pytest

from migrate.engine.linking import new_files
from migrate.engine.linking.new_files import NewFiles


def test_a_file_of_the_same_name_is_replaced_not_overwritten(tmp_path):
    (tmp_path / "store" / "a").mkdir(parents=True)
    (tmp_path / "store" / "a" / "0").write_bytes(b"published")
    os.link(tmp_path / "store" / "a" / "0", tmp_path / "published")
    NewFiles(tmp_path / "store").write("a/0", b"new")
    assert (b"published", b"new") == ((tmp_path / "published").read_bytes(), (tmp_path / "store/a/0").read_bytes())


def test_directories_are_created_and_removed(tmp_path):
    files = NewFiles(tmp_path)
    files.remove_below("a/b/")
    files.write("a/b/0", b"1")
    files.remove_below("a/b/")
    assert ["a"] == [entry.name for entry in tmp_path.rglob("*")]


def test_many_files_are_synced_by_one_call(tmp_path, monkeypatch):
    synced, each = [], []
    monkeypatch.setattr(new_files, "_sync_file_system", lambda folder: synced.append(folder) or True)
    monkeypatch.setattr(os, "fsync", each.append)
    files = NewFiles(tmp_path)
    for i in range(100):
        files.write(f"a{i}/0", b"1")
    files.sync()
    files.sync()
    assert ([str(tmp_path)], []) == (synced, each)


def test_without_that_call_every_file_and_every_directory_is_synced(tmp_path, monkeypatch):
    synced, known = [], os.fsync
    monkeypatch.setattr(new_files, "_sync_file_system", lambda _: False)
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")) or known(file))
    files = NewFiles(tmp_path)
    files.write("a/b/0", b"1")
    files.write("c", b"2")
    files.sync()
    meant = {str(tmp_path.joinpath(*parts)) for parts in ((), ("a",), ("a", "b"), ("a", "b", "0"), ("c",))}
    assert (5, meant) == (len(synced), set(synced))


def test_a_failure_names_the_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space") as caught:
        NewFiles(tmp_path).write("a/0", b"1")
    assert (errno.ENOSPC, f"{tmp_path}/a/0") == (caught.value.errno, caught.value.filename)


def test_the_system_syncs_a_file_system(tmp_path):
    assert new_files._sync_file_system(str(tmp_path)) in (True, False)
    with pytest.raises(FileNotFoundError):
        new_files._sync_file_system(str(tmp_path / "none"))
