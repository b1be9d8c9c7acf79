"""`contract` drops one layout of a step and nothing else; what is left stands alone, after every kill as well."""

import json
import re
import shutil

import orbax.checkpoint as ocp
import pytest

import migrate
from migrate.codes import ChangedValues, DependentLayout, ForeignFiles, NoLayouts, NotExpandable, UnknownItem
from migrate.engine import run
from migrate.engine.layouts.contract import contract, freed_bytes, plan_contraction
from migrate.engine.workspace import directory
from migrate.errors import CheckpointError, RefusedError, VerifyError
from migrate.formats.digest_record import FILE, read_record
from migrate.formats.orbax.metadata import CHECKPOINT_FILE
from migrate.formats.zarr.references import read_value, references
from migrate.metadata import Metadata
from tests.engine import killed_layouts as killed
from tests.engine.sources import apply_plan, opened, plan_for
from tests.engine.two_layouts import (
    RULES,
    STREAMING,
    WRITERS,
    blocks_of,
    digests_of_files,
    expanded,
    loads,
    loads_without_arguments,
    new_tree,
    tree,
)
from tests.matrix import values_to_run


@pytest.mark.sample(3)
@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("kind", WRITERS)
def test_back_to_the_old_layout_every_file_is_as_it_was(kind, stamped, step_of):
    step, item = step_of(kind)
    if stamped:
        migrate.stamp(step, model="lm", version=1)
        migrate.stamp(step, digests=True)
    before, size = digests_of_files(step), blocks_of(step.parent)
    added = expanded(step).added_bytes
    done = contract(step, item, verify="decode")
    assert (item, ("new",), 4) == (done.kept, done.dropped, done.decoded)
    assert {name: digest for name, (digest, _) in before.items()} == {
        name: digest for name, (digest, _) in digests_of_files(step).items()
    }
    assert (added, size) == (done.freed_bytes, blocks_of(step.parent))
    assert [step] == list(step.parent.iterdir())
    loads(step, item, tree())


def normalized(folder):
    """Returns the files below a directory with their contents, without dates; of data files, those that are linked."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_file() and path.parent.name != "d" and path.name not in ("manifest.ocdbt", FILE):
            found[name] = VARYING.sub("", path.read_text())
        elif path.is_file() and path.stat().st_nlink > 1:
            found[f"{path.parent.relative_to(folder)}/{path.stat().st_ino}"] = "linked"
    return found


VARYING = re.compile(r'"(date|source_fingerprint|(init|commit)_timestamp_nsecs)": ("[^"]*"|\d+)')


def stored(folder):
    """Returns the value of every key of a database."""
    return {key: read_value(entry, folder) for key, entry in references(folder).items()}


@pytest.mark.parametrize("rules", [RULES, STREAMING], ids=["linked", "streamed"])
@pytest.mark.parametrize("kind", ["v0-default", "v1-named"])
def test_the_kept_layout_is_what_apply_would_have_written(kind, rules, step_of, tmp_path):
    step, _ = step_of(kind)
    target = f"{rules}\ntarget: {{model: lm, version: 2}}"
    apply_to = tmp_path / "applied"
    with opened(step) as reader:
        apply_plan(plan_for(reader, target), reader, apply_to)
    expanded(step, rules=target)
    contract(step, "new", verify="decode")
    assert normalized(apply_to) == normalized(step / "new")
    assert stored(apply_to) == stored(step / "new")
    digests = [read_record(place / FILE) for place in (apply_to, step / "new")]
    assert digests[0].leaves == digests[1].leaves
    assert {"new", CHECKPOINT_FILE, "commit_success.txt"} == {path.name for path in step.iterdir()}
    written, wanted = (json.loads((place / CHECKPOINT_FILE).read_text()) for place in (step, apply_to))
    assert [{"new"}, set(wanted)] == [set(written["item_handlers"]), set(written)]
    for one in (written, wanted):
        one["custom_metadata"]["migrate"]["history"][0].pop("date")
        one["custom_metadata"]["migrate"].pop("source_fingerprint")
    assert wanted["custom_metadata"] == written["custom_metadata"]


def test_without_the_old_layout_the_new_one_is_the_step(step_of):
    step, item = step_of("v0-named")
    migrate.stamp(step, model="lm", version=1)
    migrate.stamp(step, digests=True)
    expanded(step, rules=f"{RULES}\ntarget: {{model: lm, version: 2}}", verify="decode")
    size = blocks_of(step.parent)
    done = contract(step, "new")
    assert (item,) == done.dropped
    assert size - blocks_of(step.parent) == done.freed_bytes + 4096  # the digests of the old layout
    with migrate.open_checkpoint(step) as left:
        record = Metadata.from_json(left.abstract.metadata)
        assert ({"new"}, (), {"config": {"n": 1}}) == (
            set(left.abstract.items),
            left.abstract.layouts,
            left.abstract.extras,
        )
    assert ("lm", 2, 1) == (record.model, record.version, len(record.history))
    assert 2 == migrate.verify(step).digests
    assert "layouts" not in (step / CHECKPOINT_FILE).read_text()
    loads(step, "new", new_tree())
    assert ["config", "new"] == loads_without_arguments(step)
    migrate.stamp(step, version=3)
    assert 2 == migrate.verify(step).digests


def test_other_pytrees_of_the_step_stay_with_their_digests(tmp_path):
    with ocp.CheckpointManager(tmp_path / "two") as manager:
        both = {name: ocp.args.StandardSave(tree()) for name in ("a", "b")}
        manager.save(1, args=ocp.args.Composite(**both))
    step = tmp_path / "two" / "1"
    migrate.stamp(step, model="lm", version=1)
    migrate.stamp(step, digests=True)
    before = {name: found for name, found in digests_of_files(step).items() if name.startswith("a/")}
    expanded(step, item="b", verify="decode")
    assert 8 == migrate.verify(step).digests
    contract(step, "new")
    assert before == {name: found for name, found in digests_of_files(step).items() if name.startswith("a/")}
    assert 6 == migrate.verify(step).digests
    loads(step, "a", tree())
    loads(step, "new", new_tree())


def test_all_other_layouts_of_the_state_are_dropped(step_of):
    step, item = step_of("v0-named")
    expanded(step)
    expanded(step, item="new", name="newer", rules="rules: ['bias -> offset']")
    assert (item, "new") == tuple(sorted(plan_contraction(step, "newer").dropped, reverse=True))
    contract(step, "new")
    loads(step, "new", new_tree())
    assert ["config", "new"] == loads_without_arguments(step)


@pytest.fixture(scope="module")
def killed_roots(request, sources, tmp_path_factory):
    """A directory for every way and every moment that a test needs, with what a kill at that moment left."""
    folder = tmp_path_factory.mktemp("killed")
    step = next(shutil.copytree(sources / "v0-named" / "run", folder / "source" / "run").iterdir())
    migrate.stamp(step, digests=True)
    expanded(step, verify="decode")
    cases = {way: values_to_run(request, "moment", way=way) for way in ("contract-old", "contract-new")}
    return killed.leave_roots(step, folder, cases)


@pytest.mark.sample(5)
@pytest.mark.parametrize("moment", killed.CONTRACTING)
@pytest.mark.parametrize(("way", "keep"), [("contract-old", "state"), ("contract-new", "new")])
def test_the_step_is_valid_after_every_kill_and_the_same_call_completes_it(way, keep, moment, killed_roots):
    place = killed_roots / way / moment
    step = next(path for path in (place / "run").iterdir() if not path.name.startswith("."))
    assert not (place / "error").exists()
    wanted = {"state": tree(), "new": new_tree()}
    loads(step, keep, wanted[keep])
    assert {"config", keep} <= set(loads_without_arguments(step))
    other = "new" if keep == "state" else "state"
    if (step / other).exists():
        loads(step, other, wanted[other])
        assert 4 == migrate.verify(step).digests
    if (step / other).exists() or list(step.parent.glob(".*")) or other in (step / CHECKPOINT_FILE).read_text():
        contract(step, keep)
    assert [step] == list(step.parent.iterdir())
    files = {CHECKPOINT_FILE, "commit_success.txt", "config", keep} | ({FILE} if keep == "state" else set())
    assert files == {one.name for one in step.iterdir()}
    assert len(json.loads((step / CHECKPOINT_FILE).read_text())["item_handlers"]) == 2
    assert (4 if keep == "state" else 2) == migrate.verify(step).digests
    loads(step, keep, wanted[keep])


def refused(step, keep, kind, code, **options):
    before = digests_of_files(step.parent)
    with pytest.raises(kind) as error:
        contract(step, keep, **options)
    assert code.number == error.value.diagnostics[0].code
    assert before == digests_of_files(step.parent)
    return f"{error.value} {error.value.diagnostics[0].help}"


def test_without_another_layout_nothing_is_dropped(step_of):
    step, item = step_of("v0-named")
    assert "migrate expand RULES STEP" in refused(step, item, CheckpointError, NoLayouts)
    assert "did you mean `state`?" in refused(step, "stat", CheckpointError, UnknownItem)
    refused(step.parent, item, CheckpointError, NotExpandable)


def test_a_layout_that_needs_a_file_of_another_one_is_not_kept_alone(step_of):
    step, item = step_of("v0-named")
    expanded(step)
    file = next(path for path in (step / "new").rglob("d/*") if path.stat().st_nlink > 1)
    origin = next(path for path in (step / item).rglob("d/*") if path.samefile(file))
    file.unlink()
    file.symlink_to(origin)
    assert "cp --remove-destination" in refused(step, "new", RefusedError, DependentLayout)


def test_files_that_are_not_part_of_a_layout_are_not_deleted(step_of):
    step, item = step_of("v0-named")
    expanded(step)
    (step / item / "notes.txt").write_text("mine")
    assert "`notes.txt`" in refused(step, "new", RefusedError, ForeignFiles)
    assert ("new",) == contract(step, item).dropped


def test_what_a_killed_expansion_left_is_removed_with_its_item(step_of, monkeypatch):
    step, item = step_of("v0-named")
    monkeypatch.setattr(directory, "_discard", lambda work: work.path.joinpath("LOCK").unlink())
    expanded(step)
    assert 2 == len(list(step.parent.iterdir()))
    monkeypatch.undo()
    contract(step, item)
    assert [step] == list(step.parent.iterdir())


def test_an_expansion_that_was_killed_before_the_item_appeared_is_taken_back(step_of, monkeypatch):
    step, item = step_of("v0-named")
    before = {name: digest for name, (digest, _) in digests_of_files(step).items()}

    def killed_here(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "publish", killed_here)
    with pytest.raises(KeyboardInterrupt):
        expanded(step)
    assert '"new"' in (step / CHECKPOINT_FILE).read_text()
    assert ((), ("new",)) == (plan_contraction(step, item).dropped, plan_contraction(step, item).gone)
    assert () == contract(step, item).dropped
    assert before == {name: digest for name, (digest, _) in digests_of_files(step).items()}
    loads(step, item, tree())


def test_a_damaged_layout_is_not_kept_alone(step_of):
    step, item = step_of("v0-named")
    expanded(step, verify="decode", rules=STREAMING)
    file = max(
        (path for path in (step / "new").rglob("d/*") if path.stat().st_nlink == 1), key=lambda p: p.stat().st_size
    )
    whole = bytearray(file.read_bytes())
    file.write_bytes(bytes(whole[: len(whole) // 2]))
    with pytest.raises(CheckpointError):
        contract(step, "new")
    whole[len(whole) // 2] ^= 1
    file.write_bytes(bytes(whole))
    with pytest.raises((CheckpointError, VerifyError)):
        contract(step, "new", verify="decode")
    assert (step / item).exists()
    contract(step, item)


def test_metadata_that_cannot_be_replaced_afterwards_is_refused_before(step_of):
    step, item = step_of("v0-named")
    migrate.stamp(step, digests=True)
    expanded(step)
    with (step / CHECKPOINT_FILE).open("a") as file:
        file.write(" ")
    refused(step, item, VerifyError, ChangedValues)


def test_only_bytes_without_another_link_are_freed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "alone").write_bytes(b"x" * 5000)
    (tmp_path / "a" / "twice").hardlink_to(tmp_path / "a" / "alone")
    (tmp_path / "shared").write_bytes(b"x" * 5000)
    (tmp_path / "a" / "shared").hardlink_to(tmp_path / "shared")
    assert 512 * (tmp_path / "shared").stat().st_blocks == freed_bytes(tmp_path / "a")
