import json
from pathlib import Path

import migrate
from migrate.rules.recorded_tree import RecordedTree, tree_text
from tests.cli.test_upgrade import same, steps  # noqa: F401 - a fixture


def test_a_squashed_file_has_the_effect_of_the_chain(run, steps, golden):  # noqa: F811
    result = run("squash", steps, "--from", "1", "--to", "4", "--source", "old.msgpack", "-o", "squashed.yaml")

    assert 0 == result.exit_code, result.stderr
    golden("cli/squash.txt", result.stdout)
    golden("cli/squash.yaml", Path("squashed.yaml").read_text())
    assert 0 == run("apply", "squashed.yaml", "old.msgpack", "one").exit_code
    assert 0 == run("upgrade", steps, "old.msgpack", "all", "--from", "1", "--to", "4").exit_code
    same("all", "one")


def test_the_recorded_tree_stands_for_a_checkpoint(run, steps):  # noqa: F811
    with migrate.open_checkpoint("old.msgpack") as checkpoint:
        tree = checkpoint.tree
    Path(steps, "1.tree.json").write_text(tree_text(RecordedTree("tiny_model:make", "tiny", 1, tree)))
    payload = json.loads(run("squash", steps, "--from", "1", "--to", "3", "--json").stdout)

    assert (True, ["steps/0002.yaml", "steps/0003.yaml"]) == (payload["ok"], payload["files"])
    assert 'target: {model: "tiny", version: 3}' in payload["rules"]


def test_a_version_whose_tree_is_unknown_is_refused(run, steps):  # noqa: F811
    result = run("squash", steps, "--from", "1", "--to", "3")

    assert 2 == result.exit_code
    assert "error[M601]: the tree of version 1 is not recorded in steps" in result.stderr
    assert "`--source SRC`, or restore steps/1.tree.json" in result.stderr


def test_a_file_that_exists_is_kept(run, steps):  # noqa: F811
    result = run("squash", steps, "--from", "1", "--source", "old.msgpack", "-o", "rules.yaml")

    assert (2, True) == (result.exit_code, "M501" in result.stderr)
