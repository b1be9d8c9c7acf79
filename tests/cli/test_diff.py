import json

import pytest


def test_a_checkpoint_equals_itself(run, golden):
    result = run("diff", "old.msgpack", "old.msgpack")
    assert 0 == result.exit_code
    golden("cli/diff_equal.txt", result.stdout)


def test_a_model_that_differs_is_exit_code_1(run, golden):
    result = run("diff", "old.msgpack", "--template", "tiny_model:make")
    assert 1 == result.exit_code
    golden("cli/diff_template.txt", result.stdout)


def test_rules_can_remove_the_difference(run):
    assert 0 == run("diff", "old.msgpack", "--rules", "rules.yaml").exit_code


def test_what_rules_leave_different_is_shown(run, golden):
    result = run("diff", "old.msgpack", "--rules", "rules.yaml", "--template", "tiny_model:wider")
    assert 1 == result.exit_code
    golden("cli/diff_rules.txt", result.stdout)


def test_diff_for_programs(run):
    result = run("diff", "old.msgpack", "--template", "tiny_model:make", "--json")
    payload = json.loads(result.stdout)
    assert (1, False, "diff") == (payload["exit_code"], payload["ok"], payload["command"])
    assert "params/old_head" in payload["unexpected"]
    assert "layers/0/bias" in payload["missing"]
    assert ([], []) == (payload["shape_mismatch"], payload["dtype_mismatch"])


def test_there_has_to_be_another_side(run):
    result = run("diff", "old.msgpack")
    assert 2 == result.exit_code
    assert "There is nothing to compare with" in result.stderr


def test_there_is_only_one_other_side(run):
    assert 2 == run("diff", "old.msgpack", "old.msgpack", "--template", "tiny_model:make").exit_code


def next_step(result):
    return result.stdout.splitlines()[-1]


def test_the_next_step_after_a_difference_can_be_pasted(run, here):
    (here / "old.msgpack").rename(here / "my old.msgpack")
    result = run("diff", "my old.msgpack", "--template", "tiny_model:make")
    assert "Next: `migrate suggest 'my old.msgpack' --template tiny_model:make -o rules.yaml` drafts a rule file" == (
        next_step(result)
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["new"], "Next: write a rule file, then run `migrate check rules.yaml old.msgpack`"),
        (["old.msgpack", "--rules", "rules.yaml"], "Next: edit rules.yaml and compare again"),
        (
            ["--rules", "short.yaml"],
            "Next: edit short.yaml; `migrate check short.yaml old.msgpack` shows what is missing",
        ),
    ],
)
def test_the_next_step_fits_the_other_side(run, here, migrated, arguments, expected):
    (here / "short.yaml").write_text((here / "rules.yaml").read_text().replace("  - drop: params/old_head\n", ""))
    result = run("diff", "old.msgpack", *arguments)
    assert (1, expected) == (result.exit_code, next_step(result))


def changed_copy(here, migrated):
    """A copy of the migrated checkpoint with one bias raised by 2, in all three layers."""
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore(here / migrated)
        for layer in tree["layers"].values() if isinstance(tree["layers"], dict) else tree["layers"]:
            node = layer["bias"]
            if isinstance(node, dict):
                node["value"] = node["value"] + 2
            else:
                layer["bias"] = node + 2
        checkpointer.save(here / "other", tree)
    return "other"


def test_values_that_are_equal(run, migrated):
    result = run("diff", migrated, migrated, "--values")
    assert 0 == result.exit_code, result.output
    assert "Values: no differences in 6 leaves, bit for bit.\n" in result.stdout


def test_values_that_differ_are_exit_code_1_and_collapsed(run, here, migrated, golden):
    result = run("diff", migrated, changed_copy(here, migrated), "--values")
    assert 1 == result.exit_code
    golden("cli/diff_values.txt", result.stdout)


def test_values_for_programs(run, here, migrated):
    payload = json.loads(run("diff", migrated, changed_copy(here, migrated), "--values", "--json").stdout)
    assert (1, 6) == (payload["exit_code"], payload["values"]["compared"])
    assert ["layers/0/bias", "layers/1/bias", "layers/2/bias"] == [leaf["path"] for leaf in payload["values"]["differ"]]
    assert {2.0} == {leaf["largest_difference"] for leaf in payload["values"]["differ"]}


def test_values_of_what_rules_make_of_the_source(run, here, migrated):
    rules = ("--rules", "rules.yaml", "--values")
    assert 0 == run("diff", "old.msgpack", migrated, *rules).exit_code
    result = run("diff", "old.msgpack", changed_copy(here, migrated), *rules)
    assert 1 == result.exit_code
    assert "~ layers/{0..2}/bias" in result.stdout


def test_values_need_another_checkpoint(run):
    result = run("diff", "old.msgpack", "--template", "tiny_model:make", "--values")
    assert (2, True) == (result.exit_code, "--values needs DST" in result.stderr)
