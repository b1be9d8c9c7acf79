"""DST in a bucket is what DST on a local path would be."""

import numpy as np
import pytest

import migrate
from tests.end_to_end.test_buckets import migrated, rules_file, same_values
from tests.engine.sources import MIXED_RULES, every_kind, mixed, save

STACKED = "rules: [{from: 'layers/{i}/w', to: layers/w, ops: [{stack: {axis: 0, over: i}}]}]"


def layers(count=4, side=300):
    random = np.random.default_rng(0)
    return {"layers": [{"w": random.random((side, side)).astype(np.float32)} for _ in range(count)]}


def require_clean(bucket, place):
    """Nothing but the checkpoint is left."""
    keys = bucket.keys()
    assert [] == [key for key in keys if ".migrate-" in key or key.endswith("migrate_unfinished")]
    assert f"{place}/commit_success.txt" in keys


def local_files(folder):
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in names if "d/" not in name and not name.startswith("ocdbt.process_")]


@pytest.mark.parametrize("far_source", [True, False])
def test_arrays_are_linked_and_streamed_into_a_bucket(bucket, tmp_path, far_source):
    local, rules = save(tmp_path / "old", mixed()), rules_file(tmp_path, MIXED_RULES)
    source = bucket.upload(local, "runs/old") if far_source else local
    near, far = migrated(local, rules, tmp_path / "new"), migrated(source, rules, f"{bucket.url}/runs/new")
    assert near.leaf_digests == far.leaf_digests
    assert (near.linked, near.verified_leaves) == (far.linked, far.verified_leaves)
    same_values(tmp_path / "new", f"{bucket.url}/runs/new")
    assert migrate.verify(f"{bucket.url}/runs/new").digests
    require_clean(bucket, "runs/new")
    downloaded = bucket.download("runs/new", tmp_path / "copy")
    same_values(tmp_path / "new", downloaded)
    assert local_files(tmp_path / "new") == local_files(downloaded)


def test_every_kind_of_leaf_arrives(bucket, tmp_path):
    local, rules = save(tmp_path / "old", every_kind()), rules_file(tmp_path)
    migrated(local, rules, f"{bucket.url}/new", verify="full")
    same_values(local, f"{bucket.url}/new")
