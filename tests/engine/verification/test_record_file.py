"""The file with the record of digests is replaced whole or not at all."""

import pytest

from migrate.engine.verification.record_file import write_record
from migrate.formats.digest_record import FILE, DigestRecord, LeafDigests, read_record

OLD, NEW = (DigestRecord({("a",): LeafDigests("float32[1]", (digit * 40,), ("", "a"))}) for digit in "01")


def test_a_record_replaces_the_earlier_one_and_leaves_no_draft(tmp_path):
    for record in (OLD, NEW):
        write_record(tmp_path, record)
        assert record == read_record(tmp_path / FILE)
    assert [FILE] == [path.name for path in tmp_path.iterdir()]


def test_a_failure_keeps_the_earlier_record(tmp_path, monkeypatch):
    write_record(tmp_path, OLD)

    def full(_):
        raise OSError("no space left on device")

    monkeypatch.setattr("migrate.text_files.os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_record(tmp_path, NEW)
    assert OLD == read_record(tmp_path / FILE)
    assert [FILE] == [path.name for path in tmp_path.iterdir()]
