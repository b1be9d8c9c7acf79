"""`migrate expand` shows what it adds before and afterwards, in text and JSON."""

import json

import numpy as np
import orbax.checkpoint as ocp
import pytest

import migrate

RULES = """\
migrate: 1
name: stack
target: {model: lm, version: 2}
rules:
  - {from: "layers_{i}/w", to: "blocks/w", ops: [{stack: {axis: 0, over: i}}]}
"""
STREAMING = RULES.replace("ops: [", "ops: [{flip: {axis: 0}}, ").replace("version: 2", "version: 3")


@pytest.fixture
def step(here):
    """`run/7`, and rule files that link (`stack.yaml`) and stream (`flip.yaml`)."""
    tree = {f"layers_{i}": {"w": np.full((64, 32), i, np.float32)} for i in range(3)}
    with ocp.CheckpointManager(here / "run") as manager:
        manager.save(7, args=ocp.args.Composite(state=ocp.args.StandardSave(tree)))
    (here / "stack.yaml").write_text(RULES)
    (here / "flip.yaml").write_text(STREAMING)
    return here / "run" / "7"


def entries(step):
    return sorted(path.name for path in step.iterdir())


def test_a_dry_run_says_what_would_be_added_and_writes_nothing(run, step):
    before = entries(step)
    result = run("expand", "stack.yaml", "run/7", "-n")
    assert 0 == result.exit_code, result.stderr
    text = " ".join(result.stdout.split())
    assert "Adds item state_v2 to step run/7, beside state. No existing file changes but _CHECKPOINT_METADATA." in text
    assert "Adds no array data: state_v2 shares the data files of state" in text
    assert text.endswith("Nothing was written.")
    assert before == entries(step)
    streamed = run("expand", "flip.yaml", "run/7", "-n")
    assert "Adds at most 24 KiB of array data" in streamed.stdout


def test_the_plan_names_the_files_that_are_replaced(run, step):
    assert 0 == run("stamp", "run/7", "--digests").exit_code
    text = " ".join(run("expand", "stack.yaml", "run/7", "-n").stdout.split())
    assert "No existing file changes but _CHECKPOINT_METADATA and migrate_digests.json." in text


def test_the_item_is_added_under_the_name_of_its_version(run, step):
    result = run("expand", "stack.yaml", "run/7")
    assert 0 == result.exit_code, result.stderr
    assert "state_v2" in entries(step)
    text = " ".join(result.stdout.split())
    assert "Old code loads state, new code loads state_v2." in text
    assert "`migrate contract run/7 --keep state` goes back" in text
    assert "--compact" not in text
    again = run("expand", "stack.yaml", "run/7")
    assert (0, True) == (again.exit_code, "Already done: state_v2 of run/7" in again.stdout)


def test_json_has_the_bytes_before_and_afterwards(run, step):
    named = run("expand", "flip.yaml", "run/7", "--as", "state_2", "--item", "state", "-n", "--json")
    refused = json.loads(named.stdout)
    assert (2, "M721", "state_2") == (refused["exit_code"], refused["diagnostics"][0]["code"], refused["name"])
    planned = json.loads(run("expand", "flip.yaml", "run/7", "-n", "--json").stdout)
    found = planned["command"], planned["step"], planned["item"], planned["name"], planned["data_bytes"]
    assert ("expand", "run/7", "state", "state_v3", 24576) == found
    done = json.loads(run("expand", "flip.yaml", "run/7", "--json").stdout)
    assert 0 < done["added_bytes"] < 24576 + 65536
    assert "run/7/state_v3" == done["receipt"]["destination"]


def test_a_plan_file_is_carried_out(run, step):
    assert 0 == run("plan", "stack.yaml", "run/7", "-o", "plan.json").exit_code
    result = run("expand", "plan.json", "run/7")
    assert 0 == result.exit_code, result.stderr
    assert "state_v2" in entries(step)


def test_a_plan_that_is_not_applicable_is_shown_and_nothing_is_added(run, step):
    (step.parents[1] / "bad.yaml").write_text("migrate: 1\nrules: ['nothing -> else']\n")
    result = run("expand", "bad.yaml", "run/7")
    assert 1 == result.exit_code
    assert "error[M201]" in result.stderr + result.stdout
    assert ["7"] == [path.name for path in step.parent.iterdir()]


def test_inspect_shows_the_layouts_and_apply_states_which_was_read(run, step):
    run("expand", "stack.yaml", "run/7")
    assert "state_v2 (--item state_v2)" in run("inspect", "run/7").stdout
    assert ["state_v2"] == json.loads(run("inspect", "run/7", "--json").stdout)["layouts"]
    assert "lm, version 2" in run("inspect", "run/7", "--item", "state_v2").stdout
    applied = run("apply", "stack.yaml", "run/7", "out", "-n")
    assert "state_v2 (layout) not read, so not written" in " ".join(applied.stdout.split())
    assert 0 == run("verify", "run/7").exit_code == run("verify", "run/7/state_v2").exit_code


def test_the_list_of_layouts_stays_with_its_step(run, step):
    run("expand", "stack.yaml", "run/7")
    assert 0 == run("apply", "stack.yaml", "run/7", "out").exit_code
    assert 0 == run("apply", "portable", "run/7", "new", "--item", "state_v2").exit_code
    old, new = (json.loads((step.parents[1] / name / "_CHECKPOINT_METADATA").read_text()) for name in ("out", "new"))
    assert "layouts" not in {**old["custom_metadata"]["migrate"], **new["custom_metadata"]["migrate"]}
    assert [1, 2] == [len(one["custom_metadata"]["migrate"]["history"]) for one in (old, new)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("expand", "stack.yaml", "run"), "the latest is `run/7`"),
        (("expand", "stack.yaml", "old.msgpack"), "is a single file"),
        (("expand", "run/7", "stack.yaml"), "RULES comes first"),
        (("contract", "stack.yaml", "--keep", "state"), "is a rule file"),
        (("contract", "run", "--keep", "state"), "the latest is `run/7`"),
    ],
)
def test_other_places_than_a_step_are_refused(run, step, words, message):
    result = run(*words)
    assert 2 == result.exit_code
    assert message in result.stderr


FOLDER = {
    2: "rules: [{from: 'layers_{i}/w', to: 'blocks/w', ops: [{stack: {axis: 0, over: i}}]}]",
    3: "rules: ['blocks/w -> stack/w']",
}


@pytest.fixture
def folder(step):
    """`rules`, which lead from version 1 to version 3; `run/7` is of version 1."""
    place = step.parents[1] / "rules"
    place.mkdir()
    for version, rules in FOLDER.items():
        guards = f"source: {{model: lm, version: {version - 1}}}\ntarget: {{model: lm, version: {version}}}"
        (place / f"{version}.yaml").write_text(f"migrate: 1\n{guards}\n{rules}\n")
    migrate.stamp(step, model="lm", version=1)
    return place


def test_a_folder_adds_the_newest_version_by_one_plan(run, step, folder):
    result = run("expand", "rules/", "run/7")
    assert 0 == result.exit_code, result.stderr
    assert "state_v3" in entries(step)
    assert "One plan for 2 rule files: rules/2.yaml, rules/3.yaml." in " ".join(result.stdout.split())
    with migrate.open_checkpoint(step, item="state_v3") as added:
        record = migrate.Metadata.from_json(added.abstract.metadata)
        assert (("stack", "w"),) == tuple(added.tree.leaves)
        assert (3, ["rules/2.yaml", "rules/3.yaml"]) == (record.version, [one.rules for one in record.history])
        np.testing.assert_array_equal(np.arange(3), added.read("stack/w")[:, 0, 0])
    again = run("expand", "rules/", "run/7")
    assert (0, True) == (again.exit_code, "Already done: state_v3 of run/7" in again.stdout)


def test_a_version_of_the_folder_is_chosen(run, step, folder):
    assert 0 == run("expand", "rules/", "run/7", "--to", "2").exit_code
    assert "state_v2" in entries(step)
    assert 0 == run("expand", "rules/", "run/7", "--from", "1", "--to", "3", "--as", "state_x").exit_code
    assert "state_x" in entries(step)
    unknown = run("expand", "rules/", "run/7", "--to", "9")
    assert (2, True) == (unknown.exit_code, "M601" in unknown.stderr)
    assert migrate.expand(folder, step, to=2, name="state_y").name == "state_y"
    with pytest.raises(migrate.UsageError, match="`rules` is one rule file"):
        migrate.expand("stack.yaml", step, to=2)


def test_versions_without_a_folder_are_refused(run, step):
    result = run("expand", "stack.yaml", "run/7", "--to", "2")
    assert (2, True) == (result.exit_code, "name the folder, or leave them out" in result.stderr)
    assert ["7"] == [path.name for path in step.parent.iterdir()]
