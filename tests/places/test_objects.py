"""Objects of a bucket, through TensorStore."""

import pytest

from migrate.errors import CheckpointError
from migrate.places.objects import BucketName, Objects, store_spec


@pytest.fixture
def objects(bucket):
    return Objects(BucketName(bucket.scheme, bucket.name))


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 1 << 20, 5_000_001])
def test_a_size_is_found_without_reading_the_object(objects, bucket, size):
    bucket.store().write("x", bytes(size)).result()
    bucket.traffic.reset()
    assert size == objects.size("x")
    assert bucket.traffic.sent < 300_000
    assert bucket.traffic.requests.total() < 150


def test_there_is_no_size_without_an_object(objects):
    assert None is objects.size("x")
    assert None is objects.read("x")
    assert None is objects.read_range("x", 0, 5)
    assert [False] == objects.reach([("x", 1)])


@pytest.mark.parametrize("size", [0, 5, 8 << 20, (16 << 20) + 3, 60 << 20])
def test_blocks_are_the_content_in_order(objects, bucket, size):
    content = bytes(range(251)) * (size // 251) + bytes(size % 251)
    bucket.store().write("x", content).result()
    assert content == b"".join(objects.blocks("x"))


def test_an_object_that_is_written_while_it_is_read_is_refused(objects, bucket):
    bucket.store().write("x", bytes(60 << 20)).result()
    blocks = objects.blocks("x")
    next(blocks)
    bucket.store().write("x", bytes(61 << 20)).result()
    with pytest.raises(CheckpointError, match="was written while it was read"):
        list(blocks)


def test_a_missing_object_has_no_blocks(objects):
    with pytest.raises(CheckpointError, match="was deleted"):
        list(objects.blocks("x"))


def test_keys_are_those_below_a_prefix(objects, bucket):
    for key in ("a/1", "a/2", "ab", "a", "b"):
        bucket.store().write(key, b"").result()
    assert ["a/1", "a/2"] == objects.keys("a/")
    assert ["a", "a/1", "a/2", "ab", "b"] == objects.keys("")


def test_a_generation_changes_with_every_write(objects, bucket):
    bucket.store().write("x", b"1").result()
    before = objects.generations(["x", "none"])
    bucket.store().write("x", b"2").result()
    assert before[0] != objects.generations(["x"])[0]
    assert None is before[1]


def test_the_environment_selects_endpoint_and_region(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    plain = {"driver": "s3", "bucket": "b", "path": "x/"}
    assert plain == store_spec(BucketName("s3", "b"), "x/")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert {**plain, "aws_region": "eu-west-1"} == store_spec(BucketName("s3", "b"), "x/")
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3")
    spec = store_spec(BucketName("s3", "b"), "x/")
    assert {**plain, "aws_region": "eu-west-2", "endpoint": "http://s3"} == spec
    assert {"driver": "gcs", "bucket": "b", "path": ""} == store_spec(BucketName("gs", "b"), "")


def test_credentials_of_the_environment_are_the_only_ones_that_are_asked_for(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    assert {"type": "environment"} == store_spec(BucketName("s3", "b"), "")["aws_credentials"]


def test_a_region_that_changed_is_not_that_of_the_open_bucket(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.delenv("AWS_REGION", raising=False)
    for region in ("eu-west-1", "us-west-2"):
        monkeypatch.setenv("AWS_DEFAULT_REGION", region)
        assert region == Objects(BucketName("s3", "regions"))._store.spec().to_json()["aws_region"]
