"""The names below a path of a bucket, and what is kept of them."""

from migrate.places import listings
from migrate.places.listings import Listing
from migrate.places.objects import BucketName


def test_directories_are_made_of_keys():
    listing = Listing.of("a/", ["a/1", "a/b/2", "a/b/c/3", "a/empty/"])
    assert {"a/1", "a/b/2", "a/b/c/3"} == listing.files
    assert {"1", "b", "empty"} == listing.folders["a"]
    assert {"2", "c"} == listing.folders["a/b"]
    assert set() == listing.folders["a/empty"]


def test_keys_that_are_no_paths_are_left_out():
    assert set() == Listing.of("", ["a//b", "../x", "a/./b", "/x"]).files


def test_contents_that_were_read_answer_later_questions(bucket):
    name = BucketName(bucket.scheme, bucket.name)
    bucket.store().write("x", b"0123456789").result()
    bucket.traffic.reset()
    assert b"0123456789" == listings.content(name, "x", 0, 64)
    before = bucket.traffic.requests.total()
    assert b"0123456789" == listings.content(name, "x")
    assert b"34" == listings.content(name, "x", 3, 5)
    assert 10 == listings.size(name, "x")
    assert before == bucket.traffic.requests.total()


def test_what_is_kept_is_limited(bucket, monkeypatch):
    name = BucketName(bucket.scheme, bucket.name)
    monkeypatch.setattr(listings, "_KEPT_BYTES", 1000)
    for key in "abcde":
        bucket.store().write(key, bytes(400)).result()
        listings.content(name, key)
    bucket.traffic.reset()
    listings.content(name, "e")
    assert 0 == bucket.traffic.requests.total()
    listings.content(name, "a")
    assert 0 < bucket.traffic.requests.total()


def test_refreshing_a_directory_forgets_the_listings_that_contain_it(bucket):
    name = BucketName(bucket.scheme, bucket.name)
    bucket.store().write("a/b/x", b"").result()
    assert ["b"] == listings.entries(name, "a")
    bucket.store().write("a/b/y", b"").result()
    assert ["x"] == listings.entries(name, "a/b")
    listings.refresh(name, "a/b")
    assert ["x", "y"] == listings.entries(name, "a/b")
    assert listings.is_object(name, "a/b/y")
    assert not listings.is_folder(name, "a/b/y")
