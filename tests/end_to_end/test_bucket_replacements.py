"""A checkpoint in a bucket is replaced: until its marker is there again, no reader takes it for complete.

Covers `workspace.bucket_replacement` from end to end.
"""

import sys
from contextlib import contextmanager

import orbax.checkpoint as ocp
import pytest

import migrate
from migrate.errors import CheckpointError, MigrateError, RefusedError, StoppedError
from migrate.events import PhaseDone
from tests.buckets.gcs_server import GcsServer
from tests.buckets.traffic import Fault
from tests.end_to_end.test_bucket_destinations import require_clean
from tests.end_to_end.test_bucket_runs import RULES, killed_during, start, tree
from tests.end_to_end.test_buckets import command, migrated, rules_file, same_values
from tests.engine.sources import save

EARLIER = "rules: []\ntarget: {layout: zarr}"


@pytest.fixture
def places(bucket, tmp_path):
    """The source in the bucket and the rules; `new` there and `expected` here are what `old` rules made of it."""
    far = bucket.upload(save(tmp_path / "old", tree()), "old")
    migrated(far, rules_file(tmp_path, EARLIER), f"{bucket.url}/new")
    migrated(far, rules_file(tmp_path, EARLIER), tmp_path / "earlier")
    rules = rules_file(tmp_path, RULES)
    migrated(tmp_path / "old", rules, tmp_path / "expected")
    bucket.traffic.reset()
    return far, rules


def test_a_checkpoint_is_replaced_by_copies_on_the_server(bucket, tmp_path, places):
    far, rules = places
    receipt = migrated(far, rules, f"{bucket.url}/new", overwrite=True)
    replaced, puts = bucket.traffic.received, bucket.traffic.puts
    assert receipt.linked
    assert max(puts[key] for key in puts if not key.endswith("LOCK")) <= 3
    same_values(tmp_path / "expected", f"{bucket.url}/new")
    same_values(tmp_path / "expected", bucket.download("new", tmp_path / "copy"))
    require_clean(bucket, "new")
    bucket.traffic.reset()
    migrated(far, rules, f"{bucket.url}/other")
    assert names(bucket, "other") == names(bucket, "new")
    assert replaced < bucket.traffic.received + (64 << 10)


def names(bucket, place):
    """The names of the objects of a checkpoint; those of data files are random."""
    return sorted("d/" if "d/" in key else key.removeprefix(f"{place}/") for key in bucket.keys(f"{place}/"))


@contextmanager
def recorded(monkeypatch, prefix):
    """Records the generations of the objects below a prefix after every change."""
    states = []

    def recording(method):
        def changed(self, bucket, key, *arguments):
            result = method(self, bucket, key, *arguments)
            if key.startswith(prefix):
                found = [(name, self.get(bucket, name)) for name in self.keys(bucket, prefix)]
                states.append({name: one.content for name, one in found if one is not None})
            return result

        return changed

    with monkeypatch.context() as patched:
        for method in ("put", "delete"):
            patched.setattr(GcsServer, method, recording(getattr(GcsServer, method)))
        yield states


@pytest.mark.parametrize("layout", ["pytree", "zarr"])
def test_no_mixture_ever_has_a_marker(bucket_servers, tmp_path, monkeypatch, layout):
    bucket = bucket_servers.bucket("gs")
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        manager.save(0, args=ocp.args.StandardSave(tree()))
    far = bucket.upload(tmp_path / "root", "root")
    early = rules_file(tmp_path, EARLIER)
    words = ("apply", early, far, f"{bucket.url}/new", "--step", "all")
    assert 0 == command(*words)[0]
    old = {key: bucket.store().read(key).result().value for key in bucket.keys("new/0/")}
    rules_file(tmp_path, RULES + ("" if layout == "pytree" else "\ntarget: {layout: zarr}"))
    with recorded(monkeypatch, "new/0/") as states:
        code, output = command(*words, "--overwrite")
    assert 0 == code, output
    new = {key: bucket.store().read(key).result().value for key in bucket.keys("new/0/")}
    assert old.keys() != new.keys()
    assert len(states) > len(new)
    for state in states:
        if "new/0/commit_success.txt" in state:
            assert state in ({**old}, {**new}, {**new, "new/0/migrate_unfinished": state.get(UNFINISHED)})
        item = {key: content for key, content in state.items() if key.startswith("new/0/default/")}
        if "new/0/default/commit_success.txt" in state and any("migrate_unfinished" in key for key in state):
            assert item in [{key: one[key] for key in one if key.startswith("new/0/default/")} for one in (old, new)]


UNFINISHED = "new/0/migrate_unfinished"

MOMENTS = {
    "the marker was deleted": (True, "migrate_unfinished", 0),
    "an object was copied": (False, "/new/", 1),
    "DST was not published": (True, "/new/commit_success.txt", 0),
}
"""A put of which a run is killed: whether TensorStore makes it, a part of its path, and how many come before it."""


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.sample(3)
def test_a_killed_replacement_is_finished_by_the_same_command(bucket, tmp_path, places, moment):
    far, rules = places
    words = (rules, far, f"{bucket.url}/new", "--overwrite")
    by_tensorstore, part, before = MOMENTS[moment]
    is_post = bucket.scheme == "gs" and by_tensorstore
    name = part.lstrip("/") if is_post else part  # the key is a parameter of a POST
    killed_during(bucket, start(*words), Fault("POST" if is_post else "PUT", name, seconds=20, skip=before))
    assert "new/commit_success.txt" not in bucket.keys("new/")
    if moment != "the marker was deleted":
        with pytest.raises(CheckpointError, match="unfinished"):
            migrate.open_checkpoint(f"{bucket.url}/new")
    if bucket.scheme == "gs":
        with pytest.raises(ValueError, match="incomplete checkpoint"), ocp.StandardCheckpointer() as checkpointer:
            checkpointer.restore(f"{bucket.url}/new")
    process = start(*words)
    output = process.communicate()[0]
    assert 0 == process.returncode, output
    require_clean(bucket, "new")
    same_values(tmp_path / "expected", f"{bucket.url}/new")


def test_the_old_checkpoint_stays_where_the_new_one_is_not_verified(bucket, tmp_path, places):
    far, rules = places
    before = bucket.keys("new/")

    def damage(event):
        if isinstance(event, PhaseDone) and event.phase == "commit":
            (key,) = [key for key in bucket.keys(".new") if key.endswith("result/_METADATA")]
            content = bucket.store().read(key).result().value
            bucket.store().write(key, content.replace(b"turned", b"burned")).result()
            bucket.path.refresh()

    with pytest.raises(MigrateError):
        migrated(far, rules, f"{bucket.url}/new", overwrite=True, listener=damage)
    assert before == bucket.keys("new/")
    assert [] == bucket.keys(".new")
    same_values(tmp_path / "earlier", f"{bucket.url}/new")


def test_a_replacement_that_was_stopped_is_resumed_and_dst_stays_until_then(bucket, tmp_path, places):
    far, rules = places
    before, staged = bucket.keys("new/"), []

    def stopped():
        return bool(staged)

    with pytest.raises(StoppedError):
        migrated(far, rules, f"{bucket.url}/new", overwrite=True, listener=staged.append, stopped=stopped)
    assert before == bucket.keys("new/")
    same_values(tmp_path / "earlier", f"{bucket.url}/new")
    with pytest.raises(RefusedError, match="exists"):
        migrated(far, rules, f"{bucket.url}/new")
    migrated(far, rules, f"{bucket.url}/new", overwrite=True)
    require_clean(bucket, "new")
    same_values(tmp_path / "expected", f"{bucket.url}/new")


def test_nothing_but_a_checkpoint_is_replaced(bucket, tmp_path, places):
    far, rules = places
    bucket.store().write("new/notes.txt", b"mine").result()
    bucket.path.refresh()
    with pytest.raises(RefusedError, match=r"more than a checkpoint.*notes\.txt"):
        migrated(far, rules, f"{bucket.url}/new", overwrite=True)
    assert [] == bucket.keys(".new")


def test_without_obstore_nothing_is_replaced(bucket, tmp_path, places, monkeypatch):
    far, rules = places
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MigrateError, match="obstore") as caught:
        migrated(far, rules, f"{bucket.url}/new", overwrite=True)
    assert "M540" == caught.value.diagnostics[0].code
    assert [] == bucket.keys(".new")
