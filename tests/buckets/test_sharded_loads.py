"""`migrate.load` and `migrate.resume` give eight devices the same shards from every place."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

RULES = """migrate: 1
source: {model: lm, version: 1}
target: {model: lm, version: 2}
rules:
  - {from: "layers/{i}/w", to: w, ops: [{stack: {axis: 0, over: i}}]}
  - {from: "layers/{i}/b", to: b, ops: [{stack: {axis: 0, over: i}}, {cast: {to: bfloat16, lossy: true}}]}
  - {from: head/w, to: head, ops: [{transpose: [1, 0]}]}
  - head/b -> bias
"""


def run(*words):
    command = [sys.executable, "-m", "tests.buckets.sharded_loads", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def loaded(bucket_servers, tmp_path_factory):
    """What both functions return, by place: a local root, its URL, and copies in buckets; and these buckets."""
    work = tmp_path_factory.mktemp("sharded")
    run("save", work / "root")
    (work / "rules").mkdir()
    (work / "rules" / "0002.yaml").write_text(RULES)
    buckets = [bucket_servers.bucket(scheme) for scheme in ("gs", "s3")]
    far = [bucket.upload(work / "root", "runs/root") for bucket in buckets]
    roots = [str(work / "root"), f"file://{work / 'root'}", *far]
    return json.loads(run("load", work / "rules", *roots)), roots, buckets


def test_the_values_are_those_of_the_local_load_and_of_numpy(loaded):
    found, (local, *others), _ = loaded
    random = np.random.default_rng(0)
    matrices = [random.random((1024, 512), np.float32) for _ in range(4)]
    expected = {"['w']": np.stack(matrices[:3]), "['head']": matrices[3].T}
    for name, array in expected.items():
        assert hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() == found[local]["load"][name][0]
    assert "bfloat16" == found[local]["load"]["['b']"][1]
    assert [3, 1024, 64] == found[local]["load"]["['w']"][2][1]
    assert 7 == found[local]["load"]["['step']"]
    assert found[local]["load"] == found[local]["resume"]
    for place in others:
        assert found[local] == found[place], place


def test_each_byte_is_received_at_most_once_by_each_function(loaded):
    _, _, buckets = loaded
    nbytes = 4 * 1024 * 512 * 4
    for bucket in buckets:
        assert nbytes < bucket.traffic.sent < 2.2 * nbytes
        assert bucket.traffic.received < 64 << 10
