"""The file with custom metadata: where a record may be, and its replacement beside recorded digests."""

import json

import pytest

from migrate.engine.verification import checkpoint_file
from migrate.engine.verification.checkpoint_file import custom_metadata, replace_recorded, unchanged_digests
from migrate.engine.verification.record_file import write_record
from migrate.errors import UsageError, VerifyError
from migrate.formats.digest_record import FILE, DigestRecord, changed_files, read_record, small_files


@pytest.fixture
def file(tmp_path):
    place = tmp_path / "_CHECKPOINT_METADATA"
    place.write_text("{}")
    write_record(tmp_path, DigestRecord({}, files=small_files(tmp_path)))
    return place


def test_both_names_of_custom_metadata_are_known(tmp_path):
    assert ("custom", {"a": 1}) == custom_metadata(tmp_path, {"custom": {"a": 1}})
    assert ("custom_metadata", {}) == custom_metadata(tmp_path, {"custom_metadata": None})
    for content in ({"other": 1}, {"custom_metadata": 3}):
        with pytest.raises(UsageError):
            custom_metadata(tmp_path, content)


def test_the_recorded_digest_follows_the_file(file):
    replace_recorded(file, '{"metrics": {}}')
    assert {"metrics": {}} == json.loads(file.read_text())
    assert [] == changed_files(read_record(file.parent / FILE), file.parent)
    assert unchanged_digests(file) is not None


@pytest.mark.parametrize(("name", "calls"), [("write_text", 0), ("write_record", 1)])
def test_killed_in_between_the_digests_accept_the_file(file, monkeypatch, name, calls):
    whole, seen = getattr(checkpoint_file, name), []

    def failing(*args):
        if len(seen) == calls:
            raise KeyboardInterrupt
        seen.append(args)
        whole(*args)

    monkeypatch.setattr(checkpoint_file, name, failing)
    with pytest.raises(KeyboardInterrupt):
        replace_recorded(file, '{"metrics": {}}')
    assert [] == changed_files(read_record(file.parent / FILE), file.parent)


def test_a_file_that_differs_from_its_digest_is_not_replaced(file):
    file.write_text('{"metrics": 1}')
    with pytest.raises(VerifyError):
        replace_recorded(file, "{}")
    assert '{"metrics": 1}' == file.read_text()
