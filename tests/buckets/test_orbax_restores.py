"""Plain Orbax restores from `gs://` what migrate wrote there; gcsfs reads its files, TensorStore its arrays."""

import json
import subprocess
import sys

import numpy as np
import orbax.checkpoint as ocp
import pytest

from migrate.places.unfinished import COMMITTED
from tests.end_to_end.test_buckets import command, migrated, rules_file
from tests.engine import restore_matrix
from tests.engine.sources import every_kind, save
from tests.engine.test_restores_everywhere import WAYS

RULES = """rules:
- {from: 'params/{name}', to: 'model/{name}'}
- {from: flipped, to: flipped, ops: [{flip: {axis: 0}}]}
- {from: 'layers/{i}', to: layers, ops: [{stack: {axis: 0, over: i}}]}"""


def tree():
    random = np.random.default_rng(0)
    layers = [random.random((300, 300)).astype(np.float32) for _ in range(4)]
    return {**every_kind(), "layers": layers, "flipped": random.random((300, 200))}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A local item and a local root of one step, the rules, and what migrate makes of both."""
    folder = tmp_path_factory.mktemp("orbax")
    save(folder / "old", tree())
    with ocp.CheckpointManager(folder / "old_root") as manager:
        manager.save(0, args=ocp.args.StandardSave(tree()))
    rules_file(folder, RULES)
    migrate_both(folder, folder / "old", folder / "old_root", folder)
    return folder


@pytest.fixture(scope="module")
def bucket(work, bucket_servers):
    """A bucket with copies of both, and with what migrate makes of them there."""
    bucket = bucket_servers.bucket("gs")
    sources = bucket.upload(work / "old", "old"), bucket.upload(work / "old_root", "old_root")
    migrate_both(work, *sources, bucket.url)
    assert {"item", "root"} <= {key.split("/")[0] for key in bucket.traffic.copies}
    return bucket


def migrate_both(work, item, root, target):
    receipt = migrated(item, work / "rules.yaml", f"{target}/item")
    assert receipt.linked
    assert receipt.verified_leaves
    code, output = command("apply", work / "rules.yaml", root, f"{target}/root", "--step", "all")
    assert 0 == code, output


def restored(place):
    process = [sys.executable, restore_matrix.__file__, "8", f"{place}/item", f"{place}/root"]
    done = subprocess.run(process, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_way_of_restoring_gives_the_values_of_the_local_result(work, bucket):
    with ocp.StandardCheckpointer() as checkpointer:
        reference = restore_matrix.digests(checkpointer.restore(work / "item"))
    assert {"model/kernel", "layers", "flipped", "key"} < set(reference)
    ways = restored(bucket.url)
    assert WAYS == len(ways)
    for way, digests in ways.items():
        assert reference == digests, way


def test_a_manager_finds_the_steps_that_are_complete(work, bucket):
    far = bucket.upload(work / "root", "incomplete")
    bucket.upload(work / "root" / "0", "incomplete/1")
    bucket.store().write(f"incomplete/1/{COMMITTED}", None).result()
    with ocp.CheckpointManager(f"{bucket.url}/root") as manager:
        assert [0] == list(manager.all_steps())
        np.testing.assert_array_equal(np.stack(tree()["layers"]), manager.restore(0)["layers"])
    with ocp.CheckpointManager(far) as manager:
        assert [0] == list(manager.all_steps())
