"""Files are copied by the server within a bucket, and through this process otherwise."""

import sys

import pytest

from migrate.errors import CheckpointError, MigrateError
from migrate.places import copies
from migrate.places.copies import copy_files, learn_sizes
from migrate.places.writable_path import WritableBucketPath


def test_a_server_copies_within_its_bucket(bucket):
    target = WritableBucketPath(f"{bucket.url}/new")
    for number in range(100):
        bucket.store().write(f"old/a b/{number}", b"x" * 1000).result()
    bucket.traffic.reset()
    copy_files([(bucket.path / f"old/a b/{n}", target / f"a b/{n}") for n in range(100)])
    assert 100 == len(bucket.keys("new/a b/"))
    assert bucket.traffic.received + bucket.traffic.sent < 100_000
    assert b"x" * 1000 == (target / "a b/7").read_bytes()


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_objects_of_another_bucket_pass_through(bucket, bucket_servers, scheme):
    other = bucket_servers.bucket(scheme)
    other.store().write("x", b"123").result()
    copy_files([(other.path / "x", WritableBucketPath(f"{bucket.url}/y"))])
    assert b"123" == bucket.store().read("y").result().value


def test_local_files_are_uploaded(bucket, tmp_path):
    (tmp_path / "x").write_bytes(b"123")
    copy_files([(tmp_path / "x", WritableBucketPath(f"{bucket.url}/d/y"))])
    assert b"123" == bucket.store().read("d/y").result().value


@pytest.mark.parametrize("scheme", ["s3"])
def test_large_files_are_uploaded_in_parts(bucket_servers, scheme, tmp_path, monkeypatch):
    bucket = bucket_servers.bucket(scheme)
    monkeypatch.setattr(copies, "_WHOLE_BYTES", 1 << 20)
    content = bytes(range(256)) * (50 << 10)
    (tmp_path / "x").write_bytes(content)
    copy_files([(tmp_path / "x", WritableBucketPath(f"{bucket.url}/y"))])
    assert content == bucket.store().read("y").result().value
    copy_files([(bucket.path / "y", WritableBucketPath(f"{bucket_servers.bucket(scheme).url}/z"))])


def test_sizes_are_asked_for_and_not_searched(bucket):
    bucket.store().write("x", bytes(300_000)).result()
    path = WritableBucketPath(f"{bucket.url}/x")
    learn_sizes([path])
    bucket.traffic.reset()
    assert 300_000 == path.stat().st_size
    assert bucket.traffic.requests.total() <= 1


def test_an_object_that_is_missing_is_named(bucket):
    with pytest.raises(CheckpointError, match="cannot be reached"):
        copy_files([(bucket.path / "none", WritableBucketPath(f"{bucket.url}/y"))])


def test_a_missing_package_is_named_with_its_command(bucket, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    bucket.store().write("x", b"").result()
    with pytest.raises(MigrateError) as caught:
        copy_files([(bucket.path / "x", WritableBucketPath(f"{bucket.url}/y"))])
    assert "M540" == caught.value.diagnostics[0].code
