"""Files are copied by the server within a bucket, and through this process otherwise.

Covers `migrate.places.multipart_copy`.
"""

import sys

import numpy as np
import pytest

from migrate.errors import CheckpointError, MigrateError
from migrate.places import copies, multipart_copy, signed_requests
from migrate.places.copies import copy_files, learn_sizes
from migrate.places.writable_path import WritableBucketPath
from tests.buckets.traffic import Fault


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


def test_an_object_too_large_for_one_request_is_copied_in_parts(bucket, monkeypatch):
    monkeypatch.setattr(copies, "LARGEST_COPY", 8 << 20)
    monkeypatch.setattr(multipart_copy, "PART_BYTES", 5 << 20)
    content = np.random.default_rng(0).bytes((22 << 20) + 1)
    bucket.store().write("old/a b", content).result()
    bucket.store().write("old/small", content[:100]).result()
    bucket.traffic.reset()
    pairs = [(bucket.path / f"old/{name}", WritableBucketPath(f"{bucket.url}/new/{name}")) for name in ("a b", "small")]
    copy_files(pairs)
    assert {"new/a b": 5 if bucket.scheme == "s3" else 1, "new/small": 1} == bucket.traffic.copies
    assert bucket.traffic.received + bucket.traffic.sent < 64 << 10
    assert content == pairs[0][1].read_bytes()
    assert content[:100] == pairs[1][1].read_bytes()


@pytest.mark.parametrize("status", [503, 0])
def test_a_part_is_copied_again_after_a_failure(bucket_servers, monkeypatch, status):
    bucket = prepared_large(bucket_servers, monkeypatch)
    bucket.traffic.faults += [Fault(method, "new", status=status) for method in ("PUT", "POST")]
    copy_files([(bucket.path / "old", WritableBucketPath(f"{bucket.url}/new"))])
    assert 2 == bucket.traffic.made
    assert bucket.store().read("old").result().value == bucket.store().read("new").result().value


def test_a_refused_part_leaves_nothing(bucket_servers, monkeypatch):
    bucket = prepared_large(bucket_servers, monkeypatch)
    bucket.traffic.faults.append(Fault("PUT", "new", status=403, skip=1))
    with pytest.raises(CheckpointError, match="HTTP 403"):
        copy_files([(bucket.path / "old", WritableBucketPath(f"{bucket.url}/new"))])
    assert ["old"] == bucket.keys()
    assert 1 == bucket.traffic.requests["DELETE"]


def test_without_keys_a_large_object_passes_through(bucket_servers, monkeypatch):
    bucket = prepared_large(bucket_servers, monkeypatch)
    monkeypatch.setattr(copies, "requests_for", lambda _: None)
    copy_files([(bucket.path / "old", WritableBucketPath(f"{bucket.url}/new"))])
    assert bucket.traffic.received >= 12 << 20
    assert bucket.store().read("old").result().value == bucket.store().read("new").result().value


def prepared_large(bucket_servers, monkeypatch):
    monkeypatch.setattr(copies, "LARGEST_COPY", 8 << 20)
    monkeypatch.setattr(multipart_copy, "PART_BYTES", 5 << 20)
    monkeypatch.setattr(signed_requests, "_FIRST_DELAY", 0.01)
    bucket = bucket_servers.bucket("s3")
    bucket.store().write("old", np.random.default_rng(0).bytes(12 << 20)).result()
    bucket.traffic.reset()
    return bucket


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
