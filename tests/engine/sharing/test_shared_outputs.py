"""Several processes write plain zarr and single files, as one process does; the workers are threads here.

Covers `sharing.merging` too.
"""

import os

import pytest

from migrate.engine import run
from migrate.engine.outputs import file_store, orbax_store
from migrate.engine.outputs.file import FileOutput
from migrate.engine.sharing import merging, pool_workers, staging
from migrate.engine.sharing.finished_shares import FinishedShares
from migrate.engine.sharing.staging import StopFile
from migrate.engine.workspace.attempts import SHARES
from migrate.engine.workspace.directory import Workspace
from migrate.errors import MigrateError, StoppedError, UsageError, VerifyError
from tests.engine.sharing.shared_runs import RULES, STREAMED, After, applied, same, values
from tests.engine.sharing.test_one_share import COMMAND, staged

ZARR = f"{RULES}target: {{layout: zarr}}\n"
NAMELESS = RULES.replace("{from: name, to: title}", "{drop: name}")
OUTPUTS = {
    "zarr": ("new", ZARR),
    "safetensors": ("new.safetensors", NAMELESS),
    "msgpack": ("new.msgpack", RULES),
    "huggingface": ("new", f"{NAMELESS}target: {{layout: huggingface}}\n"),
}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Each array is durable before the next."""
    monkeypatch.setattr(orbax_store, "BATCH_ARRAYS", 1)
    monkeypatch.setattr(file_store, "SYNC_ARRAYS", 1)


@pytest.fixture(params=sorted(OUTPUTS))
def kind(request):
    return request.param


@pytest.fixture
def shared(source, tmp_path, kind):
    """Writes the output with some workers; returns the receipt and DST."""
    name, rules = OUTPUTS[kind]

    def write(workers, folder="shared", **options):
        (tmp_path / folder).mkdir(exist_ok=True)
        return applied(source, tmp_path / folder / name, workers, rules=rules, **options), tmp_path / folder / name

    return write


def stored(target):
    """The bytes of arrays: those of every chunk file, or of a file behind its metadata, whose dates differ."""
    if (target / "model.safetensors").exists():
        return stored(target / "model.safetensors")
    if target.is_dir():
        files = (path for path in target.rglob("*") if path.name[0].isdigit() or path.name.startswith(".z"))
        return {str(path.relative_to(target)): path.read_bytes() for path in files if path.is_file()}
    content = target.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little") if target.suffix == ".safetensors" else 0
    return {"size": len(content), "arrays": content[header:] if header else None}


@pytest.mark.sample(2)
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_writes_the_same_bytes(shared, workers):
    alone, expected = shared(None, "alone")
    receipt, found = shared(workers)
    assert alone.leaf_digests == receipt.leaf_digests
    assert alone.verified_leaves == receipt.verified_leaves
    same(values(expected), values(found))
    assert stored(expected) == stored(found)
    assert [found.name] == [child.name for child in found.parent.iterdir()]


def test_no_directory_of_an_attempt_gets_into_the_result(shared):
    _, found = shared(3)
    assert [] == [path for path in found.rglob("*") if "process" in path.name and path.parent == found]


def test_a_stopped_run_is_resumed_by_any_number_of_workers(shared):
    _, expected = shared(None, "alone")
    for workers, calls in ((2, 3), (3, 0), (None, 0)):
        with pytest.raises(StoppedError):
            shared(workers, stopped=After(calls))
    _, found = shared(2)
    same(values(expected), values(found))


def failing(*args, **kwargs):
    raise StoppedError


def test_what_a_failed_run_staged_is_not_staged_again(shared, monkeypatch):
    _, expected = shared(None, "alone")
    with monkeypatch.context() as patch:
        patch.setattr(run, "merge_shares", failing)
        with pytest.raises(StoppedError):
            shared(2)
    receipt, found = shared(3)
    assert receipt.resumed >= len(STREAMED)
    same(values(expected), values(found))


def test_a_run_that_failed_after_the_shares_were_joined_is_resumed(shared, monkeypatch):
    _, expected = shared(None, "alone")
    with monkeypatch.context() as patch:
        patch.setattr(run, "publish", failing)
        with pytest.raises(StoppedError):
            shared(2)
    receipt, found = shared(None)
    assert receipt.resumed >= len(STREAMED)
    same(values(expected), values(found))
    assert [found.name] == [child.name for child in found.parent.iterdir()]


def test_a_share_that_fails_after_its_last_array_is_not_staged_twice(shared, monkeypatch):
    calls, original = [], pool_workers.run_share

    def fails_once(*args):
        calls.append(args)
        staged = original(*args)
        if len(calls) == 1:
            raise OSError("the connection was lost")
        return staged

    monkeypatch.setattr(pool_workers, "run_share", fails_once)
    _, expected = shared(None, "alone")
    _, found = shared(1)
    assert 2 == len(calls)
    same(values(expected), values(found))


def test_a_share_that_is_still_written_by_an_attempt_that_was_given_up_is_right(shared, monkeypatch):
    """Both attempts write every array; the first ends last."""
    calls, original = [], pool_workers.run_share

    def lost(*args):
        calls.append(args)
        if len(calls) == 1:
            raise OSError("the connection was lost")
        found = original(*args)
        with monkeypatch.context() as patch:
            patch.setattr(staging, "shared_arrays", lambda *_, **__: {})
            assert 0 == original(*args)["earlier"]
        return found

    monkeypatch.setattr(pool_workers, "run_share", lost)
    _, expected = shared(None, "alone")
    _, found = shared(1)
    assert 2 == len(calls)
    same(values(expected), values(found))
    assert stored(expected) == stored(found)


@pytest.mark.parametrize("kind", ["zarr"], indirect=True)
@pytest.mark.parametrize("calls", [0, 1, 5])
def test_a_kill_between_two_moved_arrays_loses_none(shared, monkeypatch, calls):
    _, expected = shared(None, "alone")
    left, original = After(calls), os.rename

    def rename(old, new):
        if left():
            raise StoppedError
        original(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(merging.os, "rename", rename)
        with pytest.raises(StoppedError):
            shared(2)
    _, found = shared(2)
    same(values(expected), values(found))
    assert stored(expected) == stored(found)


def test_a_damaged_array_is_found_by_the_workers_that_read_it_back(shared, monkeypatch):
    original = run.merge_shares

    def damaging(errand, arrays):
        original(errand, arrays)
        largest = max(errand.work.staged.rglob("*"), key=lambda file: file.stat().st_size if file.is_file() else 0)
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 255
        largest.write_bytes(content)

    monkeypatch.setattr(run, "merge_shares", damaging)
    with pytest.raises(VerifyError):
        shared(2)


@pytest.mark.parametrize("kind", ["safetensors", "msgpack"], indirect=True)
def test_a_worker_that_does_not_see_the_staged_file_is_refused(shared, monkeypatch):
    monkeypatch.setattr(FileOutput, "stored_arrays", lambda *_: set())
    with pytest.raises(MigrateError, match="does not see the file in") as refusal:
        shared(1)
    assert "M553" == refusal.value.diagnostics[0].code


@pytest.mark.parametrize("count", [1, 3, len(STREAMED) + 1])
def test_shares_of_plain_zarr_that_never_meet_are_committed(source, tmp_path, count):
    for number in range(count):
        staged(source, tmp_path / "new", number, count, rules=ZARR)
    applied(source, tmp_path / "new", FinishedShares(COMMAND), rules=ZARR)
    (tmp_path / "alone").mkdir()
    applied(source, tmp_path / "alone" / "new", rules=ZARR)
    same(values(tmp_path / "alone" / "new"), values(tmp_path / "new"))


@pytest.mark.parametrize("kind", ["safetensors", "msgpack"])
def test_shares_of_a_single_file_that_never_meet_are_refused(source, tmp_path, kind):
    name, rules = OUTPUTS[kind]
    for call in (
        lambda: staged(source, tmp_path / name, 0, 2, rules=rules),
        lambda: applied(source, tmp_path / name, FinishedShares(COMMAND), rules=rules),
    ):
        with pytest.raises(UsageError, match="cannot be written in separate runs") as refusal:
            call()
        assert "M551" == refusal.value.diagnostics[0].code
        assert "--processes N" in refusal.value.diagnostics[0].help
    assert [] == list(tmp_path.iterdir())


def test_workers_stop_when_their_run_has_ended(tmp_path):
    (tmp_path / SHARES).mkdir()
    assert not StopFile(Workspace(tmp_path))()
    (tmp_path / SHARES).rmdir()
    assert StopFile(Workspace(tmp_path))()
