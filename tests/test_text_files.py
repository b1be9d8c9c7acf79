"""A text file is written whole or not at all."""

import os

import pytest

from migrate.text_files import draft_of, write_text, write_texts


def test_a_file_is_replaced_and_keeps_its_permissions(tmp_path):
    place = tmp_path / "file"
    place.write_text("old")
    place.chmod(0o640)
    write_text(place, "größer\r\n")
    assert (b"gr\xc3\xb6\xc3\x9fer\r\n", 0o640) == (place.read_bytes(), place.stat().st_mode & 0o777)


def test_a_new_file_gets_the_permissions_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "new")
    finally:
        os.umask(before)
    assert 0o640 == (tmp_path / "file").stat().st_mode & 0o777


def test_a_failure_keeps_the_file_and_leaves_no_draft(tmp_path, monkeypatch):
    place = tmp_path / "file"
    place.write_text("old")

    def full(_):
        raise OSError("no space left on device")

    monkeypatch.setattr("migrate.text_files.os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_text(place, "new")
    assert ("old", ["file"]) == (place.read_text(), [one.name for one in tmp_path.iterdir()])


def test_a_link_is_followed(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    write_text(tmp_path / "link", "new")
    assert (True, "new") == ((tmp_path / "link").is_symlink(), (tmp_path / "file").read_text())


def test_what_is_no_regular_file_is_written_in_place(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(pipe, "text")
        assert b"text" == os.read(reader, 100)
    finally:
        os.close(reader)
    assert [pipe] == list(tmp_path.iterdir())


def test_the_name_of_a_draft_names_its_file_and_process():
    assert "._CHECKPOINT_METADATA.7.new" == draft_of("_CHECKPOINT_METADATA", 7)


def test_several_files_are_written_or_none(tmp_path, monkeypatch):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("old")
    write_texts({str(one): "new", str(other): "new"})
    assert ("new", "new") == (one.read_text(), other.read_text())
    synced = []

    def full(descriptor):
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError("no space left on device")

    monkeypatch.setattr("migrate.text_files.os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_texts({str(one): "newer", str(tmp_path / "third"): "newer"})
    assert ("new", ["one", "other"]) == (one.read_text(), sorted(path.name for path in tmp_path.iterdir()))


def test_several_files_are_not_written_where_one_is_a_directory(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_texts({str(tmp_path / "one"): "new", str(tmp_path / "folder"): "new"})
    assert ["folder"] == [path.name for path in tmp_path.iterdir()]
