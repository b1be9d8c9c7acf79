"""Files of a source in a bucket arrive whole, or not at all."""

import pytest

from migrate.engine.linking import fetch as fetching
from migrate.engine.linking.fetch import fetch
from migrate.errors import CheckpointError, MigrateError


@pytest.mark.parametrize("size", [0, 7, 20 << 20])
def test_a_file_has_the_bytes_of_its_object(bucket, tmp_path, size):
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    bucket.store().write("d/x", content).result()
    fetch(bucket.path / "d/x", tmp_path / "d" / "x")
    assert content == (tmp_path / "d" / "x").read_bytes()
    assert ["x"] == [path.name for path in (tmp_path / "d").iterdir()]


def test_an_object_that_is_deleted_leaves_no_file(bucket, tmp_path):
    with pytest.raises(CheckpointError, match="deleted"):
        fetch(bucket.path / "d/x", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_disk_that_returns_other_bytes_is_noticed(bucket, tmp_path, monkeypatch):
    bucket.store().write("x", bytes(1000)).result()

    def damaged(file, read=fetching._digest):
        with file.open("r+b") as content:
            content.write(b"1")
        return read(file)

    monkeypatch.setattr(fetching, "_digest", damaged)
    with pytest.raises(MigrateError, match="does not have the bytes") as caught:
        fetch(bucket.path / "x", tmp_path / "x")
    assert caught.value.diagnostics[0].help
    assert not (tmp_path / "x").exists()
