"""The same call resumes a run that was killed at any moment: nothing is lost, and little is done twice.

Covers `workspace.resume` from end to end.
"""

import shutil

import numpy as np
import pytest

import migrate
from migrate.engine import run
from migrate.engine.outputs import orbax as orbax_output
from migrate.engine.workspace.directory import Workspace, clear_needless, workspace_path
from migrate.errors import RefusedError, StoppedError, UsageError
from migrate.events import LeafDone, PhaseStarted
from tests.engine import killed
from tests.engine.sources import MIXED_RULES, apply_plan, mixed, opened, plan_for, save
from tests.matrix import sampled, values_to_run

STREAMED = {("step",), *(("turned", str(number)) for number in range(5))}
PUBLISHED = {"cleaning"}

DESTINATIONS = ("new", "new.safetensors", "new.msgpack")


def sampled_moments():
    """Every moment before a run has ended; of those that are milliseconds, each second one is in the sample."""
    moments = [moment for moment in killed.MOMENTS if moment not in PUBLISHED]
    timed = [moment for moment in moments if moment.startswith("after")]
    return [moment for moment in moments if moment not in timed] + sampled(timed, every=2)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save(tmp_path_factory.mktemp("source") / "old", mixed())


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory):
    """What a run that nobody disturbs writes."""
    target = tmp_path_factory.mktemp("expected") / "new"
    applied(source, target)
    return values(target)


@pytest.fixture(scope="module")
def all_remains(request, source, tmp_path_factory):
    """A directory for every DST and moment that a test needs, with what a kill at that moment left."""
    cases = {name: values_to_run(request, "removal", name=name) for name in DESTINATIONS}
    untimed = [moment for moment in killed.MOMENTS if not moment.startswith("after")]
    cases["new"] += [*untimed, *values_to_run(request, "moment")]
    cases[killed.PLAIN] = values_to_run(request, "plain_moment")
    return killed.leave_remains(source, tmp_path_factory.mktemp("remains"), cases)


@pytest.fixture(scope="module")
def remains(all_remains):
    """The directories of an OCDBT database."""
    return all_remains / "new"


@pytest.fixture
def half_done(remains, tmp_path):
    """A copy of what a kill after the third array left; with it, DST's parent."""
    shutil.copytree(remains / "leaf-3", tmp_path / "half")
    return tmp_path / "half"


def applied(source, target, rules=MIXED_RULES, **options):
    with opened(source) as reader:
        return apply_plan(plan_for(reader, rules), reader, target, **options)


def values(target):
    with opened(target) as reader:
        return {path: np.asarray(reader.read(path)) for path in reader.abstract().tree.leaves}


def same(one, other):
    assert one.keys() == other.keys()
    assert all(one[path].dtype == other[path].dtype and one[path].tobytes() == other[path].tobytes() for path in one)


def workspace_in(folder, source):
    with opened(source) as reader:
        return Workspace(workspace_path(folder / "new", plan_for(reader, MIXED_RULES).digest))


@pytest.mark.parametrize("moment", sampled_moments())
def test_the_same_call_completes_what_a_kill_cut_off(remains, source, expected, moment, tmp_path):
    folder = shutil.copytree(remains / moment, tmp_path / "copy")
    work, heard = workspace_in(folder, source), []
    lines = work.journal.read_bytes().count(b"\n") if work.journal.exists() else 0
    journalled = max(lines - 1, 0)  # the first line says what the journal is for; the kill may have come before it
    published = (folder / "new").exists()
    receipt = applied(source, folder / "new", overwrite=published, listener=heard.append)
    again = {e.path for e in heard if isinstance(e, LeafDone) and e.phase == "stage"} & STREAMED
    if not published:
        assert len(STREAMED) - journalled == len(again)
        assert journalled == receipt.resumed
    assert ["new"] == sorted(child.name for child in folder.iterdir() if child.name != "error")
    same(expected, values(folder / "new"))


@pytest.mark.sample(4)
@pytest.mark.parametrize("plain_moment", [moment for moment in killed.MOMENTS if moment not in PUBLISHED])
def test_a_run_that_writes_plain_zarr_is_completed_as_well(all_remains, source, expected, plain_moment, tmp_path):
    folder = shutil.copytree(all_remains / killed.PLAIN / plain_moment, tmp_path / "copy")
    target, published = folder / killed.PLAIN, (folder / killed.PLAIN).exists()
    for store in folder.glob(".*/staged/*"):
        (store / "turned.0").mkdir(exist_ok=True)
        (store / "turned.0" / "0.__lock").write_bytes(b"half a chunk")
    receipt = applied(source, target, killed.PLAIN_RULES, overwrite=published)
    assert plain_moment not in ("leaf-3", "stage-ends", "relink", "verify") or receipt.resumed >= 2
    same(expected, values(target))
    assert [] == [path for path in target.rglob("*") if path.name.endswith("__lock") or path.name == "manifest.ocdbt"]
    assert [killed.PLAIN] == sorted(child.name for child in folder.iterdir() if child.name != "error")


@pytest.mark.parametrize("moment", [m for m in killed.MOMENTS if m not in PUBLISHED and not m.startswith("after")])
def test_a_run_killed_before_the_end_has_published_nothing(remains, moment):
    found = sorted(child.name for child in (remains / moment).iterdir() if child.name != "error")
    assert [".new.migrate-"] == [name[:13] for name in found]


def test_a_run_killed_after_publication_has_published_everything(remains, source, expected):
    same(expected, values(remains / "cleaning" / "new"))
    with pytest.raises(RefusedError):
        applied(source, remains / "cleaning" / "new", "rules: []")


@pytest.mark.parametrize(("name", "removal"), [(name, "removal-0") for name in DESTINATIONS])
def test_what_a_run_left_that_was_killed_while_clearing_up_is_cleared_by_the_next_command(all_remains, name, removal):
    folder = all_remains / name / removal
    assert 2 == len(list(folder.iterdir()))
    migrate.verify(folder / name)
    assert [name] == [child.name for child in folder.iterdir()]


@pytest.mark.sample(3)
@pytest.mark.parametrize(("name", "removal"), [("new", f"removal-{number}") for number in range(1, 9)])
def test_a_kill_at_any_removal_leaves_nothing_that_stays_for_ever(all_remains, source, name, removal):
    folder = all_remains / name / removal
    receipt = applied(source, folder / name)
    assert receipt.already_done
    assert [name] == [child.name for child in folder.iterdir()]


def test_a_directory_in_which_nothing_was_staged_is_cleared_and_one_with_staged_arrays_is_kept(half_done, source):
    other = half_done / ".new.migrate-0123456789ab"
    other.mkdir()
    (other / "LOCK").write_text("{}")
    clear_needless(half_done / "new")
    assert not other.exists()
    assert workspace_in(half_done, source).journal.exists()


def test_a_directory_that_a_live_process_holds_is_kept(tmp_path, source):
    def listener(event):
        clear_needless(tmp_path / "new")
        assert workspace_in(tmp_path, source).path.exists()

    applied(source, tmp_path / "new", listener=listener)


def test_a_destination_that_is_set_aside_is_never_cleared_away(tmp_path, source):
    work = workspace_in(tmp_path, source)
    work.replaced.mkdir(parents=True)
    clear_needless(tmp_path / "new")
    assert work.replaced.exists()


def test_a_result_that_was_not_yet_published_keeps_its_staged_arrays(half_done, source):
    work = workspace_in(half_done, source)
    work.result.mkdir()
    work.publishing.write_text(str(work.result.stat().st_ino))
    (half_done / "new").mkdir()
    clear_needless(half_done / "new")
    assert work.result.exists()
    assert work.journal.exists()


def test_a_full_disk_is_one_sentence_and_can_be_resumed_from(remains):
    assert (remains / "disk-full" / "error").read_text().endswith("new`: File too large")


def test_what_a_killed_write_left_is_removed_before_anything_is_written(half_done, source, expected):
    """TensorStore would write into the same file again without cutting it off, and a manifest would end in its rest."""
    work, left = workspace_in(half_done, source), []
    (manifest,) = work.path.rglob("manifest.ocdbt")
    manifest.with_name("manifest.ocdbt.__lock").write_bytes(bytes(5000))

    def listener(event):
        if isinstance(event, PhaseStarted) and event.phase == "stage":
            left.extend(work.path.rglob("*.__lock"))

    assert 3 == applied(source, half_done / "new", listener=listener).resumed
    assert [] == left
    same(expected, values(half_done / "new"))


def test_progress_of_a_resumed_run_begins_where_the_killed_one_was(half_done, source):
    heard = []
    applied(source, half_done / "new", listener=heard.append)
    (stage,) = [event for event in heard if isinstance(event, PhaseStarted) and event.phase == "stage"]
    assert (6, 3, 8 + 2 * 8 * 16 * 4) == (stage.leaves, stage.done_leaves, stage.done_nbytes)


def test_the_receipt_says_what_an_earlier_run_had_done(half_done, source):
    receipt = applied(source, half_done / "new")
    assert (3, 5, 6) == (receipt.resumed, receipt.linked, receipt.written)
    assert any("had staged 3 of 11 arrays and numbers" in note.message for note in receipt.notes)
    assert any("has ended" in note.message for note in receipt.notes)


def test_full_verification_holds_for_a_resumed_run(half_done, source):
    assert 11 == applied(source, half_done / "new", verify="full").verified_leaves


def test_resume_goes_on_and_refuses_to_begin(half_done, source, tmp_path):
    assert 3 == applied(source, half_done / "new", how=run.resume).resumed
    with pytest.raises(UsageError) as refusal:
        applied(source, tmp_path / "fresh", how=run.resume)
    assert ["M412"] == [d.code for d in refusal.value.diagnostics]
    assert not (tmp_path / "fresh").exists()


def test_another_plan_begins_again_and_leaves_the_other_alone(half_done, source):
    receipt = applied(source, half_done / "new", "rules: []")
    assert 0 == receipt.resumed
    assert any("was left by a run of another plan" in note.message for note in receipt.notes)
    assert workspace_in(half_done, source).journal.exists()


def test_a_source_that_has_changed_is_staged_again(half_done, source, tmp_path):
    other = mixed()
    other["flipped"]["0"] = other["flipped"]["0"] + 1
    changed = save(tmp_path / "changed", other)
    receipt = applied(changed, half_done / "new")
    assert 0 == receipt.resumed
    assert any("no array of an earlier run" in note.message for note in receipt.notes)
    np.testing.assert_array_equal(other["flipped"]["0"][::-1], values(half_done / "new")[("turned", "0")])


def test_another_compression_is_staged_again(half_done, source, expected):
    assert 0 == applied(source, half_done / "new", compression="none").resumed
    same(expected, values(half_done / "new"))


def test_jobs_and_memory_do_not_matter(half_done, source):
    assert 3 == applied(source, half_done / "new", jobs=2, max_ram=64 << 20).resumed


def test_an_array_that_is_not_in_the_store_is_staged_again(half_done, source, expected):
    shutil.rmtree(workspace_in(half_done, source).staged)
    assert 0 == applied(source, half_done / "new").resumed
    same(expected, values(half_done / "new"))


def test_a_damaged_store_is_staged_again(half_done, source, expected):
    manifest = workspace_in(half_done, source).store("") / "manifest.ocdbt"
    manifest.write_bytes(manifest.read_bytes()[:-7])
    assert 0 == applied(source, half_done / "new").resumed
    same(expected, values(half_done / "new"))


def test_what_a_kill_left_half_written_is_not_in_the_new_checkpoint(half_done, source, expected):
    orphan = workspace_in(half_done, source).store("") / "d" / "0123456789abcdef.__lock"
    orphan.write_bytes(bytes(1000))
    applied(source, half_done / "new")
    assert [] == list((half_done / "new").rglob(orphan.name))
    same(expected, values(half_done / "new"))


def test_leaves_that_code_makes_are_made_again(source, tmp_path):
    rules = 'rules: [{from: "flipped/{i}", to: "turned/{i}", ops: [{call: "numpy:negative"}]}]'
    stop = Stop(after=2)
    with pytest.raises(StoppedError):
        applied(source, tmp_path / "new", rules, allow_code=True, listener=stop, stopped=stop.asked, jobs=1)
    heard = []
    applied(source, tmp_path / "new", rules, allow_code=True, listener=heard.append)
    again = {event.path for event in heard if isinstance(event, LeafDone) and event.phase == "stage"}
    assert {("turned", str(number)) for number in range(5)} <= again


class Stop:
    """A listener that wants to stop after so many leaves of a phase."""

    def __init__(self, after, phase="stage"):
        self.left, self.phase = after, phase

    def __call__(self, event):
        if isinstance(event, LeafDone) and event.phase == self.phase:
            self.left -= 1

    def asked(self):
        return self.left <= 0


@pytest.fixture
def one_by_one(monkeypatch):
    monkeypatch.setattr("migrate.engine.outputs.orbax_store.BATCH_ARRAYS", 1)
    monkeypatch.setattr("migrate.engine.streaming.pipeline.GROUP_PIECES", 1)


@pytest.mark.usefixtures("one_by_one")
def test_a_run_that_is_stopped_says_how_to_go_on(source, tmp_path, expected):
    stop = Stop(after=1)
    with pytest.raises(StoppedError) as stopped:
        applied(source, tmp_path / "new", listener=stop, stopped=stop.asked, jobs=1)
    (found,) = stopped.value.diagnostics
    done = int(found.message.removeprefix("Stopped at ").partition("/")[0])
    assert 1 <= done < 6
    assert (
        f"Stopped at {done}/6 leaves. {tmp_path / 'new'} was not created. Run the same command to resume."
        == found.message
    )
    assert done == applied(source, tmp_path / "new").resumed
    same(expected, values(tmp_path / "new"))


def test_a_run_can_be_stopped_while_it_verifies(source, tmp_path):
    applied(source, tmp_path / "new", "rules: []")
    stop = Stop(after=2, phase="verify")
    with pytest.raises(StoppedError) as stopped:
        applied(source, tmp_path / "new", overwrite=True, listener=stop, stopped=stop.asked)
    assert "Stopped at 11/11 leaves" in stopped.value.diagnostics[0].message
    assert "was not changed" in stopped.value.diagnostics[0].message
    assert ("flipped", "0") in values(tmp_path / "new")
    assert 6 == applied(source, tmp_path / "new", overwrite=True).resumed
    assert ("turned", "0") in values(tmp_path / "new")


def test_a_run_that_is_going_on_keeps_others_out(source, tmp_path):
    def listener(event):
        with pytest.raises(RefusedError) as refusal:
            applied(source, tmp_path / "new")
        assert ["M509"] == [d.code for d in refusal.value.diagnostics]

    applied(source, tmp_path / "new", listener=listener)
    assert (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "options", [{"max_ram": 1 << 20}, {"jobs": 0}, {"compression": "gzip"}, {"compression": "zstd:99"}], ids=str
)
def test_options_that_make_no_sense_are_usage_errors(source, tmp_path, options):
    with pytest.raises(UsageError) as refusal:
        applied(source, tmp_path / "new", **options)
    assert ["M412"] == [d.code for d in refusal.value.diagnostics]
    assert [] == list(tmp_path.iterdir())


def test_a_failure_that_is_no_writing_error_stays_what_it_is(source, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("something else")

    monkeypatch.setattr(orbax_output, "relink", fail)
    with pytest.raises(ValueError, match="something else"):
        applied(source, tmp_path / "new")
    assert workspace_in(tmp_path, source).journal.exists()


def test_arrays_whose_names_lie_in_one_another_are_all_staged_again(tmp_path):
    """Clearing what a killed run left of `a` would clear `a/b` as well."""
    tree = {name: np.arange(64.0).reshape(8, 8) + number for number, name in enumerate(("a", "a/b", "c"))}
    source = save(tmp_path / "old", tree)
    rules = "rules: [{from: '**', to: '**', ops: [{flip: {axis: 0}}]}]"
    stop = Stop(after=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("migrate.engine.outputs.orbax_store.BATCH_ARRAYS", 1)
        with pytest.raises(StoppedError):
            applied(source, tmp_path / "new", rules, listener=stop, stopped=stop.asked, jobs=1)
        receipt = applied(source, tmp_path / "new", rules, verify="none")
    assert 0 == receipt.resumed
    same({(name,): np.asarray(value)[::-1] for name, value in tree.items()}, values(tmp_path / "new"))
