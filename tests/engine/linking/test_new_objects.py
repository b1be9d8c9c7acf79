"""Values of a store in a bucket are objects."""

from migrate.engine.linking.new_files import NewFiles
from migrate.engine.linking.new_objects import NewObjects, new_files
from migrate.places.writable_path import WritableBucketPath


def test_values_are_written_together(bucket):
    objects = NewObjects(WritableBucketPath(f"{bucket.url}/store"))
    for number in range(50):
        objects.write(f"w/{number}", b"%d" % number)
    objects.sync()
    assert b"7" == bucket.store().read("store/w/7").result().value
    objects.remove_below("w/")
    assert [] == bucket.keys()


def test_the_place_decides(bucket, tmp_path):
    assert isinstance(new_files(tmp_path), NewFiles)
    assert isinstance(new_files(WritableBucketPath(bucket.url)), NewObjects)
