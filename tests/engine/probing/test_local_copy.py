"""A checkpoint in a bucket is copied for as long as Orbax needs it."""

from migrate.engine.probing.local_copy import local_copy


def test_a_local_checkpoint_is_not_copied(tmp_path):
    with local_copy(tmp_path) as here:
        assert tmp_path is here


def test_a_checkpoint_in_a_bucket_is_copied_and_removed(bucket):
    for name in ("a", "b/c"):
        bucket.store().write(f"x/{name}", name.encode()).result()
    with local_copy(bucket.path / "x") as here:
        files = {file.relative_to(here).as_posix(): file.read_bytes() for file in here.rglob("*") if file.is_file()}
    assert {"a": b"a", "b/c": b"b/c"} == files
    assert not here.exists()
