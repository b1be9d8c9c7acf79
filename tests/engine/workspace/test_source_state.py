"""A source that changes during a run is refused, and nothing that was staged from it is used.

What an earlier run staged is reused only while every file of the source is unchanged (`workspace.resume`).
"""

import os
import shutil

import numpy as np
import orbax.checkpoint as ocp
import pytest
from safetensors.numpy import save_file

from migrate.engine.workspace.source_state import SourceState
from migrate.errors import CheckpointError, RefusedError
from migrate.events import PhaseDone, PhaseStarted
from migrate.formats.detect import open_reader
from migrate.formats.joined import JoinedReader
from tests.engine.sources import MIXED_RULES, apply_plan, mixed, plan_for, save
from tests.formats.sources import flax_file_with_arrays_beside, safetensors_index


def flax_step(folder):
    path, array = flax_file_with_arrays_beside(folder)
    return path.parent, array


def state_of(path):
    with open_reader(path) as reader:
        return SourceState.now(reader).digest


@pytest.mark.parametrize("make", [safetensors_index, flax_file_with_arrays_beside, flax_step])
def test_a_file_beside_the_one_that_was_opened_is_a_part_of_the_source(tmp_path, make):
    source, beside = make(tmp_path)
    before = state_of(source)
    assert before == state_of(source)
    os.utime(beside, ns=(0, 0))
    assert before != state_of(source)


def test_files_that_are_not_read_do_not_change_the_source(tmp_path):
    source, _ = safetensors_index(tmp_path)
    before = state_of(source)
    (tmp_path / "other").write_bytes(b"")
    assert before == state_of(source)


def test_another_step_does_not_change_the_source(tmp_path):
    for step in (1, 2):
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / str(step) / "default", {"w": np.ones(2)})
    before = state_of(tmp_path)
    shutil.rmtree(tmp_path / "1")
    assert before == state_of(tmp_path)


@pytest.fixture(scope="module")
def mixed_source(tmp_path_factory):
    """A database of which `MIXED_RULES` streams one half and links the other."""
    return save(tmp_path_factory.mktemp("mixed") / "old", mixed())


def data_file(source):
    """The largest data file."""
    return max(source.glob("ocdbt.process_*/d/*"), key=lambda path: path.stat().st_size)


def truncated(source):
    os.truncate(data_file(source), 1000)


def emptied(source):
    os.truncate(data_file(source), 0)


def overwritten(source):
    """The same size, other bytes in the same file, which DST shares as well."""
    file = data_file(source)
    size = file.stat().st_size
    with file.open("r+b") as writing:
        writing.write(bytes(size))


def deleted(source):
    data_file(source).unlink()


def manifest_replaced(source):
    """Another manifest of the same length, with the time of the old one."""
    file = source / "manifest.ocdbt"
    before, content = file.stat(), file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def file_added(source):
    (data_file(source).parent / ("0" * 32)).write_bytes(b"new")


CHANGES = (truncated, emptied, overwritten, deleted, manifest_replaced, file_added)
MOMENTS = [(PhaseStarted, "stage"), (PhaseDone, "stage"), (PhaseStarted, "commit"), (PhaseDone, "commit"),
           (PhaseStarted, "verify"), (PhaseDone, "verify")]  # fmt: skip


def changing(change, source, kind, phase):
    """A listener that changes the source once, at the beginning or the end of a phase."""
    done = []

    def listener(event):
        if isinstance(event, kind) and event.phase == phase and not done:
            done.append(change(source))

    return listener


@pytest.mark.sample(5)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("kind", "phase"), MOMENTS)
def test_a_source_that_changes_at_any_time_publishes_nothing(mixed_source, tmp_path, change, kind, phase):
    source = tmp_path / "old"
    shutil.copytree(mixed_source, source)
    listener = changing(change, source, kind, phase)
    with open_reader(source) as reader, pytest.raises(RefusedError, match="changed during this run") as refusal:
        apply_plan(plan_for(reader, MIXED_RULES), reader, tmp_path / "new", listener=listener)
    assert ["M515"] == [found.code for found in refusal.value.diagnostics]
    assert ["old"] == os.listdir(tmp_path)


def test_after_a_change_everything_is_staged_again(mixed_source, tmp_path):
    source = tmp_path / "old"
    shutil.copytree(mixed_source, source)
    rules = MIXED_RULES
    listener = changing(overwritten, source, PhaseDone, "verify")
    with open_reader(source) as reader, pytest.raises(RefusedError):
        apply_plan(plan_for(reader, rules), reader, tmp_path / "new", listener=listener)
    shutil.rmtree(source)
    shutil.copytree(mixed_source, source)
    with open_reader(source) as reader:
        assert 0 == apply_plan(plan_for(reader, rules), reader, tmp_path / "new").resumed
    with open_reader(tmp_path / "new") as new, open_reader(mixed_source) as old:
        for path, value in old.read_all().items():
            moved = ("turned", *path[1:]) if path[0] == "flipped" else path
            meant = np.flip(value, 0) if path[0] == "flipped" else value
            assert np.array_equal(meant, new.read(moved))


@pytest.mark.parametrize("damage", ["truncated", "deleted", "overwritten"])
@pytest.mark.parametrize("phase", ["stage", "verify"])
def test_a_single_file_that_changes_publishes_nothing(tmp_path, damage, phase):
    source = tmp_path / "old.safetensors"
    save_file({"a": np.ones((64, 64), np.float32), "b": np.zeros((64, 64), np.float32)}, source)
    damages = {
        "truncated": lambda file: os.truncate(file, 5000),
        "deleted": lambda file: file.unlink(),
        "overwritten": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    }
    listener = changing(damages[damage], source, PhaseStarted, phase)
    with open_reader(source) as reader, pytest.raises(RefusedError) as refusal:
        apply_plan(plan_for(reader), reader, tmp_path / "new", listener=listener)
    assert ["M515"] == [found.code for found in refusal.value.diagnostics]
    assert not (tmp_path / "new").exists()


def test_a_source_that_lost_bytes_after_it_was_opened_is_refused_by_name(mixed_source, tmp_path):
    source = tmp_path / "old"
    shutil.copytree(mixed_source, source)
    lost = data_file(source)
    with open_reader(source) as reader:
        plan = plan_for(reader, MIXED_RULES)
        truncated(source)
        with pytest.raises(CheckpointError, match=lost.name) as refusal:
            apply_plan(plan, reader, tmp_path / "new")
    assert ["M404"] == [found.code for found in refusal.value.diagnostics]
    assert ["old"] == os.listdir(tmp_path)


def test_an_error_with_an_unchanged_source_stays_what_it_is(mixed_source):
    with (
        open_reader(mixed_source) as reader,
        pytest.raises(ValueError, match="something else"),
        SourceState.now(reader).explaining(),
    ):
        raise ValueError("something else")


def test_changes_name_the_files(mixed_source, tmp_path):
    source = tmp_path / "old"
    shutil.copytree(mixed_source, source)
    with open_reader(source) as reader:
        state = SourceState.now(reader)
        assert [] == state.changes()
        deleted(source)
        manifest_replaced(source)
        assert 2 == len(state.changes())
        assert "manifest.ocdbt" in state.changes()
        shutil.rmtree(source)
        assert ["."] == state.changes()


def test_the_files_of_each_of_several_sources_are_told_apart(tmp_path):
    for name in ("main", "named"):
        save_file({"w": np.ones(2)}, tmp_path / f"{name}.safetensors")
    main, named = (open_reader(tmp_path / f"{name}.safetensors") for name in ("main", "named"))
    with JoinedReader(main, {"lora": named}) as reader:
        before = SourceState.now(reader)
        assert {".", "lora:/."} == set(before.files)
        assert SourceState.now(main).digest == before.digest_of(()) != before.digest_of(("lora:",))
        os.utime(tmp_path / "named.safetensors", ns=(0, 0))
        assert ["lora:/."] == before.changes()
        after = SourceState.now(reader)
        assert before.digest_of(()) == after.digest_of(())
        assert before.digest_of(("lora:",)) != after.digest_of(("lora:",))
