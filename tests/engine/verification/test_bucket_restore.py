"""Leaves of an item in a bucket are read back under the names that Orbax gives them."""

import numpy as np

from migrate.engine.verification.bucket_restore import ReadBackFromBucket
from migrate.engine.verification.compare import Unrestorable
from migrate.engine.verification.orbax_restore import ReadBack
from migrate.formats.zarr.references import references
from tests.engine.sources import every_kind, save


def test_names_and_values_are_those_that_orbax_restores(bucket, tmp_path):
    local = save(tmp_path / "old", every_kind())
    bucket.upload(local, "old")
    with ReadBack(local) as orbax, ReadBackFromBucket(bucket.path / "old") as found:
        assert orbax.names == found.names
        expected = orbax.restore(orbax.names)
        for name, value in found.restore(found.names).items():
            np.testing.assert_array_equal(np.asarray(expected[name]), value, name)
            assert np.asarray(expected[name]).dtype == value.dtype, name


def test_a_leaf_that_cannot_be_read_does_not_keep_the_others(bucket, tmp_path):
    tree = {"a": np.random.default_rng(0).random(1000), "b": np.random.default_rng(1).random(1000)}
    bucket.upload(save(tmp_path / "old", tree), "old")
    with ReadBackFromBucket(bucket.path / "old") as found:
        damaged = references(bucket.path / "old")["a/0"]
        name = f"old/{damaged.file}"
        content = bytearray(bucket.store().read(name).result().value)
        content[damaged.offset : damaged.offset + damaged.length] = bytes(damaged.length)
        bucket.store().write(name, bytes(content)).result()
        restored = found.restore(["a", "b"])
    assert isinstance(restored["a"], Unrestorable)
    np.testing.assert_array_equal(tree["b"], restored["b"])
