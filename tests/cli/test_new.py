import json
from pathlib import Path

import pytest

import migrate
from migrate.cli.main import migrate as command

MODELS = """
import numpy as np


def layer():
    return {"kernel": np.zeros((4, 4), "float32"), "bias": np.zeros(4, "float32")}


def second():
    return {"layers": {str(i): layer() for i in range(3)}, "old_head": np.zeros((4, 2), "float32")}


def third():
    return {"blocks": {str(i): layer() for i in range(3)}, "old_head": np.zeros((4, 2), "float32")}
"""


@pytest.fixture
def models(here):
    """`versions_now.py`: two versions of a model."""
    Path("versions_now.py").write_text(MODELS)
    return here


def new(run, *arguments):
    return run("new", "steps", *arguments)


def test_the_first_version_of_a_folder(run, models, golden):
    result = new(run, "--from", "old.msgpack", "--template", "versions_now:second", "--model", "tiny", "-m", "To NNX!")

    assert 0 == result.exit_code, result.stderr
    assert ["0002_to_nnx.yaml", "1.tree.json", "2.tree.json"] == sorted(p.name for p in Path("steps").iterdir())
    golden("cli/new.txt", result.stdout)
    golden("cli/new.yaml", Path("steps/0002_to_nnx.yaml").read_text())


def test_a_chain_of_drafts_is_carried_out(run, models):
    new(run, "--from", "old.msgpack", "--template", "versions_now:second", "--model", "tiny")
    result = new(run, "--template", "versions_now:third", "-m", "rename layers")  # from the recorded tree alone

    assert 0 == result.exit_code, result.stderr
    (added,) = Path("steps").glob("0003*")
    assert "0003_rename_layers.yaml" == added.name
    assert "Suggestion   steps/2.tree.json → versions_now:third" in result.stdout
    assert "`migrate check steps --write`" in result.stdout
    rules = migrate.load_rules(added)
    assert ("tiny", 2, 3) == (rules.source.model, rules.source.version, rules.target.version)
    assert rules.source.structure
    assert rules.target.structure
    upgraded = run("upgrade", "steps", "old.msgpack", "new", "--from", "1")
    assert 0 == upgraded.exit_code, upgraded.stderr
    with migrate.open_checkpoint("new") as checkpoint:
        assert ("blocks", "0", "kernel") in checkpoint.tree.leaves
    squashed = run("squash", "steps", "--from", "1", "-o", "one.yaml")
    assert 0 == squashed.exit_code, squashed.stderr
    assert 0 == run("apply", "one.yaml", "old.msgpack", "other").exit_code


def test_a_model_that_did_not_change_needs_no_file(run, models):
    new(run, "--from", "old.msgpack", "--template", "versions_now:second", "--model", "tiny")
    result = new(run, "--template", "versions_now:second")

    assert 2 == result.exit_code
    assert "`versions_now:second` has the structure of version 2: there is nothing to migrate" in result.stderr


def test_without_a_checkpoint_and_a_recorded_tree_there_is_no_draft(run, models):
    result = new(run, "--template", "versions_now:second")

    assert 2 == result.exit_code
    assert "error[M601]: the tree of version 1 is not recorded in steps" in result.stderr
    assert "`--from SRC`" in result.stderr


def test_a_checkpoint_of_an_older_version_is_refused(run, models):
    new(run, "--from", "old.msgpack", "--template", "versions_now:second", "--model", "tiny")
    run("upgrade", "steps", "old.msgpack", "v2", "--from", "1")
    new(run, "--from", "v2", "--template", "versions_now:third")
    result = new(run, "--from", "v2", "--template", "tiny_model:make")

    assert 2 == result.exit_code
    assert "the source is version 2, but the newest version in steps is tiny 3" in result.stderr
    assert "`migrate upgrade steps SRC DST`" in result.stderr


def test_a_new_version_for_programs(run, models):
    payload = json.loads(
        new(run, "--from", "old.msgpack", "--template", "versions_now:second", "--to", "7", "--json").stdout
    )

    assert ("new", ["steps/0007.yaml", "steps/7.tree.json", "steps/1.tree.json"]) == (
        payload["command"],
        payload["files"],
    )
    assert "new" in command.list_commands(None)


PROBE = """
def probe(old, model):
    yield "kernel", old["params"]["Dense_1"]["kernel"], model["layers"]["1"]["kernel"]
"""


def test_a_probe_settles_the_draft_and_is_named_in_the_file(run, models):
    Path("my_probe.py").write_text(PROBE)
    result = new(
        run,
        "--from",
        "old.msgpack",
        "--template",
        "versions_now:second",
        "--model",
        "tiny",
        "--probe",
        "my_probe:probe",
    )

    assert 0 == result.exit_code, result.stderr
    assert "all outputs agree" in result.stdout
    (added,) = Path("steps").glob("*.yaml")
    assert "my_probe:probe" == migrate.load_rules(added).probe


def test_a_probe_without_a_checkpoint_is_refused(run, models):
    new(run, "--from", "old.msgpack", "--template", "versions_now:second", "--model", "tiny")
    result = new(run, "--template", "versions_now:third", "--probe", "my_probe:probe")

    assert 2 == result.exit_code
    assert "the probe `my_probe:probe` needs the values of version 2" in result.stderr
    assert "`--from SRC`" in result.stderr
