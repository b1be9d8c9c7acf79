"""`expand` adds a layout to a step: both load at every moment, and nothing but the new data is added.

Covers `outputs.step_item` and `outputs.step_metadata` from end to end.
"""

import json
import shutil
from contextlib import suppress

import orbax.checkpoint as ocp
import pytest
from orbax.checkpoint import v1

import migrate
from migrate.codes import AmbiguousItem, DestinationExists, InvalidItemName, InvalidUsage, NotExpandable
from migrate.engine import run
from migrate.engine.layouts.contract import contract
from migrate.engine.layouts.expand import Expansion, added_bytes
from migrate.errors import CheckpointError, PlanError, RefusedError, UsageError
from migrate.events import PhaseDone
from migrate.formats.digest_record import FILE
from migrate.formats.orbax.metadata import CHECKPOINT_FILE
from migrate.formats.step_item import default_name, open_step_item
from migrate.formats.steps import find_steps, is_root
from migrate.metadata import Metadata
from tests.engine import killed_layouts as killed
from tests.engine.sources import plan_for
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
from tests.fixtures.eras import unpack
from tests.matrix import sampled, values_to_run

LINKING = [kind for kind in WRITERS if kind != "v0-zarr"]


@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", WRITERS)
def test_both_layouts_load_before_during_and_after(kind, step_of, monkeypatch):
    step, item = step_of(kind)
    whole, moments = loads_without_arguments(step), []

    def look(*_):
        moments.append(sorted(child.name for child in step.iterdir() if child.is_dir()))
        loads(step, item, tree())
        assert whole == loads_without_arguments(step)

    def published(*args, publish=run.publish, **kwargs):
        look()
        publish(*args, **kwargs)

    monkeypatch.setattr(run, "publish", published)
    look()
    done = expanded(step, how={"listener": lambda event: isinstance(event, PhaseDone) and look()})
    assert len(moments) > 3
    assert "new" not in {name for names in moments for name in names}
    loads(step, item, tree())
    loads(step, "new", new_tree())
    if whole is not None and item != "default":
        assert sorted((*whole, "new")) == loads_without_arguments(step)
    assert (item, "new", step) == (done.item, done.name, done.step)
    assert [step] == list(step.parent.iterdir())


@pytest.mark.parametrize("kind", WRITERS)
def test_no_existing_file_changes_but_the_metadata_of_the_step(kind, step_of):
    step, _ = step_of(kind)
    before = digests_of_files(step)
    expanded(step)
    after = {name: found for name, found in digests_of_files(step).items() if not name.startswith("new/")}
    assert [CHECKPOINT_FILE] == [name for name in {**before, **after} if before.get(name) != after.get(name)]


@pytest.mark.parametrize("kind", LINKING)
def test_linked_leaves_add_metadata_and_nothing_else(kind, step_of):
    step, _ = step_of(kind)
    before = blocks_of(step)
    done = expanded(step)
    assert blocks_of(step) - before == done.added_bytes == added_bytes(step, "new")
    assert done.added_bytes <= before // 1000 + 64_000


def test_only_streamed_leaves_are_added(step_of):
    step, _ = step_of("v0-named")
    expanded(step, rules="rules: [{from: 'layers_1/w', to: 'turned', ops: [{flip: {axis: 0}}]}]")
    data = [file.stat() for file in (step / "new").rglob("d/*")]
    added = sum(found.st_size for found in data if found.st_nlink == 1)
    assert any(found.st_nlink > 1 for found in data)
    assert 64 * 32 * 4 * 0.8 < added < 64 * 32 * 4 * 1.1 + 2_000


def test_each_layout_has_its_own_record_and_digests(step_of):
    step, item = step_of("v0-named")
    migrate.stamp(step, model="lm", version=1)
    migrate.stamp(step, digests=True)
    stamped = (step / FILE).read_bytes()
    expanded(step, rules=f"{RULES}\ntarget: {{model: lm, version: 2}}", verify="decode")
    with migrate.open_checkpoint(step) as old, migrate.open_checkpoint(step, item="new") as new:
        assert (("new",), (item,)) == (old.abstract.layouts, new.abstract.layouts)
        records = [Metadata.from_json(one.abstract.metadata) for one in (old, new)]
        assert [("lm", 1, 0), ("lm", 2, 1)] == [(one.model, one.version, len(one.history)) for one in records]
        assert [1, 1] == [one.abstract.metadata["mine"] for one in (old, new)]
        assert [4, 2] == [len(one.tree.leaves) for one in (old, new)]
    assert [4, 2] == [migrate.verify(place).digests for place in (step, step / "new")]
    assert stamped != (step / FILE).read_bytes()
    assert {"n": 1} == json.loads((step / "config" / "metadata").read_text())


def test_orbax_reads_the_record_of_the_new_layout(step_of):
    step, _ = step_of("v0-named")
    expanded(step, rules=f"{RULES}\ntarget: {{model: lm, version: 2}}")
    with ocp.CheckpointManager(step.parent) as manager:
        custom = manager.metadata(int(step.name)).custom_metadata
    layout = custom["migrate"]["layouts"]["new"]
    assert ("state", "lm", 2) == (layout["item"], layout["record"]["model"], layout["record"]["version"])


def test_the_public_function_plans_and_names_the_item_itself(step_of, tmp_path):
    step, _ = step_of("v0-named")
    rules = tmp_path / "rules.yaml"
    rules.write_text(f"migrate: 1\n{RULES}\ntarget: {{model: lm, version: 2}}\n")
    done = migrate.expand(rules, step)
    assert ("state", "state_v2", step) == (done.item, done.name, done.step)
    loads(step, "state_v2", new_tree())
    assert ("state_v2",) == migrate.contract(step, keep="state").dropped
    migrate.expand(migrate.load_rules(rules), step, item="state", name="state_b")
    loads(step, "state_b", new_tree())


def test_a_plan_that_is_not_applicable_raises_its_errors(step_of, tmp_path):
    step, _ = step_of("v0-named")
    (tmp_path / "rules.yaml").write_text("migrate: 1\nrules: ['nothing -> else']\n")
    with pytest.raises(PlanError):
        migrate.expand(tmp_path / "rules.yaml", step)
    assert [step] == list(step.parent.iterdir())


def test_the_same_call_again_finds_the_item_done(step_of):
    step, _ = step_of("v0-named")
    assert not expanded(step).receipt.already_done
    before = digests_of_files(step)
    assert expanded(step).receipt.already_done
    assert before == digests_of_files(step)


def test_a_layout_is_made_from_another_one(step_of):
    step, _ = step_of("v1-state")
    expanded(step)
    expanded(step, item="new", name="newer", rules="rules: ['bias -> offset']")
    loads(step, "newer", {"blocks": new_tree()["blocks"], "offset": new_tree()["bias"]})
    loads(step, "state", tree())


@pytest.fixture(scope="module")
def killed_roots(request, sources, tmp_path_factory):
    """A directory for every moment that a test needs, with what a kill at that moment left."""
    folder = tmp_path_factory.mktemp("killed")
    step = next(shutil.copytree(sources / "v0-named" / "run", folder / "source" / "run").iterdir())
    migrate.stamp(step, digests=True)
    return killed.leave_roots(step, folder, {"expand": values_to_run(request, "moment")}) / "expand"


@pytest.mark.sample(4)
@pytest.mark.parametrize("moment", killed.EXPANDING)
def test_the_step_is_valid_after_every_kill_and_the_same_call_completes_it(moment, killed_roots):
    step = next(path for path in (killed_roots / moment / "run").iterdir() if not path.name.startswith("."))
    assert not (killed_roots / moment / "error").exists()
    loads(step, "state", tree())
    assert {"config", "state"} <= set(loads_without_arguments(step))
    assert 4 == migrate.verify(step).digests
    expanded(step, rules=STREAMING, jobs=1)
    loads(step, "state", tree())
    layers = {str(i): tree()[f"layers_{i}"]["w"][::-1] for i in range(3)}
    loads(step, "new", {"turned": layers, "bias": tree()["bias"]})
    assert [step] == list(step.parent.iterdir())
    expected = {CHECKPOINT_FILE, FILE, "commit_success.txt", "config", "new", "state"}
    assert expected == {one.name for one in step.iterdir()}
    assert [4, 4] == [migrate.verify(place).digests for place in (step, step / "new")]


def refused(step, kind, code, **options):
    with pytest.raises(kind) as error:
        expanded(step, **options)
    assert code.number == error.value.diagnostics[0].code
    assert error.value.diagnostics[0].help
    return f"{error.value} {error.value.diagnostics[0].help}"


@pytest.mark.parametrize("name", ["a/b", "", ".x", "9", "state_2", "metadata", "default", "x.msgpack", "\u00e9"])
def test_a_name_that_no_item_can_have_is_refused(name, step_of):
    step, _ = step_of("v0-named")
    before = digests_of_files(step)
    refused(step, UsageError, InvalidItemName, name=name)
    assert before == digests_of_files(step)


@pytest.mark.parametrize("name", ["alt", "state"])
def test_a_name_that_orbax_would_load_instead_of_the_old_item_is_refused(name, step_of):
    step, item = step_of("v1-named")
    assert f"`--as {item}_v2`" in refused(step, UsageError, InvalidItemName, name=name)
    expanded(step, name=f"{item}_v2")
    assert {"bias", "layers_0", "layers_1", "layers_2"} == set(v1.load(step))


def test_a_name_that_exists_is_refused(step_of):
    step, _ = step_of("v0-named")
    assert "contract" not in refused(step, RefusedError, DestinationExists, name="config")
    expanded(step)
    before = digests_of_files(step.parent)
    assert f"`migrate contract {step} --keep state`" in refused(step, RefusedError, DestinationExists, rules=STREAMING)
    assert before == digests_of_files(step.parent)


def test_what_is_not_a_step_with_one_pytree_item_is_refused(step_of, tmp_path):
    step, item = step_of("v0-named")
    assert f"`{step}`" in refused(step.parent, CheckpointError, NotExpandable)
    refused(step / item, CheckpointError, NotExpandable)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "bare" / "1", tree())
    refused(tmp_path / "bare" / "1", CheckpointError, NotExpandable)
    (tmp_path / "x.msgpack").write_bytes(b"\x81\xa1a\x01")
    refused(tmp_path / "x.msgpack", CheckpointError, NotExpandable)
    with ocp.CheckpointManager(tmp_path / "two") as manager:
        manager.save(1, args=ocp.args.Composite(a=ocp.args.StandardSave(tree()), b=ocp.args.StandardSave(tree())))
    refused(tmp_path / "two" / "1", CheckpointError, AmbiguousItem)
    expanded(tmp_path / "two" / "1", item="b")
    loads(tmp_path / "two" / "1", "new", new_tree())


def test_a_target_of_several_items_is_refused(step_of):
    step, _ = step_of("v0-named")
    refused(step, PlanError, NotExpandable, rules="target: {layout: items}\nrules: []")


def test_metadata_that_orbax_would_refuse_afterwards_is_refused_before(step_of):
    step, _ = step_of("v0-named")
    file = step / CHECKPOINT_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), "stamp": 1}))
    refused(step, UsageError, InvalidUsage)
    assert [step] == list(step.parent.iterdir())


def test_a_linked_step_is_written_where_it_is(step_of, tmp_path):
    step, item = step_of("v0-named")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "latest").symlink_to(step)
    expanded(tmp_path / "elsewhere" / "latest")
    loads(step, item, tree())
    assert ["latest"] == [path.name for path in (tmp_path / "elsewhere").iterdir()]


def test_a_check_writes_nothing_and_finds_what_the_run_would(step_of):
    step, _ = step_of("v0-named")
    before = digests_of_files(step.parent)
    with open_step_item(step) as reader:
        assert Expansion(reader, "new").check(plan_for(reader, RULES)) is None
        with pytest.raises(RefusedError):
            Expansion(reader, "config").check(plan_for(reader, RULES))
    assert before == digests_of_files(step.parent)


ITEMS_OF_ERAS = ("e3b", "e4c", "e5b", "e6a", "e7c", "e8")
"""Eras of which every step with a pytree item is expanded, of Orbax 0.1 to 0.12."""


@pytest.mark.parametrize("era", sampled(ITEMS_OF_ERAS, every=6))
def test_steps_of_every_era_have_both_layouts_and_go_back(era, tmp_path, monkeypatch):
    found, during = 0, []

    def published(*args, publish=run.publish, **kwargs):
        during.append(restored_by_orbax(step, item))
        publish(*args, **kwargs)

    monkeypatch.setattr(run, "publish", published)
    for step in steps_with_an_item(unpack(era, tmp_path)):
        size, before = blocks_of(step), digests_of_files(step)
        with open_step_item(step) as reader:
            (item,) = reader.abstract().items
            plan = plan_for(reader)
            restored = restored_by_orbax(step, item)
            added = Expansion(reader, name := default_name(item, 2)).run(plan).added_bytes
        with migrate.open_checkpoint(step) as old, migrate.open_checkpoint(step, item=name) as new:
            assert values(old) == values(new)
        assert restored == restored_by_orbax(step, item) == during.pop()
        assert None not in restored_by_orbax(step, name)
        assert added <= size // 1000 + 65_536 or any(task.mode == "copy" for task in plan.tasks)
        contract(step, item)
        after = digests_of_files(step)
        assert {name: digest for name, (digest, _) in before.items()} == {
            name: digest for name, (digest, _) in after.items()
        }
        found += 1
    assert found


def steps_with_an_item(folder):
    """Yields the steps below a directory whose only pytree is an item."""
    for root in [path for path in folder.rglob("*") if path.is_dir() and is_root(path)]:
        for step in find_steps(root).steps:
            with suppress(CheckpointError), open_step_item(step.path):
                yield step.path


def values(checkpoint):
    return {path: repr(value) for path, value in checkpoint.read_all().items()}


def restored_by_orbax(step, item):
    """Returns what both APIs of Orbax restore without a template, as text; None where one cannot."""

    def by_v0():
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            return checkpointer.restore(step / item)

    return [shown(by_v0), shown(lambda: v1.load_checkpointables(step, {item: None})[item])]


def shown(restore):
    try:
        return repr(restore())
    except Exception:  # noqa: BLE001 (Orbax fails in many ways on old files)
        return None
