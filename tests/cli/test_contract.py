"""`migrate contract` drops one of two layouts, and shows it first with `--dry-run`."""

import json

from tests.cli.test_expand import entries, step  # noqa: F401 (a fixture)


def test_it_says_what_it_dropped_and_what_is_left(run, step):  # noqa: F811
    run("expand", "stack.yaml", "run/7")
    planned = run("contract", "run/7", "--keep", "state", "--dry-run")
    assert "Would drop state_v2 from run/7, and keep state." in planned.stdout
    assert "state_v2" in entries(step)
    result = run("contract", "run/7", "--keep", "state_v2", "--verify", "decode")
    assert 0 == result.exit_code, result.stderr
    assert "Dropped state from run/7" in result.stdout
    assert "1 leaf of it decoded" in " ".join(result.stdout.split())
    assert ["_CHECKPOINT_METADATA", "commit_success.txt", "state_v2"] == entries(step)


def test_json_names_the_items(run, step):  # noqa: F811
    run("expand", "stack.yaml", "run/7")
    done = json.loads(run("contract", "run/7", "--keep", "state", "--json").stdout)
    assert ("contract", "state", ["state_v2"], 0) == (done["command"], done["kept"], done["dropped"], done["decoded"])
    assert done["freed_bytes"] > 0


def test_without_a_second_layout_the_answer_names_the_command_that_adds_one(run, step):  # noqa: F811
    result = run("contract", "run/7", "--keep", "state")
    assert 2 == result.exit_code
    assert "error[M722]" in result.stderr
    assert "`migrate expand RULES STEP` adds one" in result.stderr
    assert "state" in entries(step)
