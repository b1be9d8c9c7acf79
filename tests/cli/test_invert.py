import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import migrate
from migrate.cli.main import migrate as command
from migrate.formats.detect import open_reader
from migrate.rules.editor_line import EDITOR_LINE

ROOT = Path(__file__).parents[2]
RENAMES = 'migrate: 1\nrules:\n  - "params/Dense_{i}/** -> layers/{i}/**"\n'


def test_the_rule_file_is_the_answer(run, golden):
    result = run("invert", "rules.yaml", "old.msgpack")
    assert 1 == result.exit_code
    golden("cli/invert.yaml", result.stdout)
    golden("cli/invert.txt", result.stderr)


def test_exit_code_0_says_that_every_bit_comes_back(run):
    Path("renames.yaml").write_text(RENAMES)
    result = run("invert", "renames.yaml", "old.msgpack", "-o", "back.yaml")
    assert 0 == result.exit_code
    assert "7 of 7 leaves are restored bit for bit." in result.stdout
    assert 0 == run("apply", "renames.yaml", "old.msgpack", "new").exit_code
    assert 0 == run("apply", "back.yaml", "new", "again").exit_code
    assert leaves("old.msgpack") == leaves("again")
    assert 0 == run("diff", "old.msgpack", "again").exit_code


def test_the_inverse_of_the_inverse_leads_there_again(run):
    Path("renames.yaml").write_text(RENAMES)
    run("invert", "renames.yaml", "old.msgpack", "-o", "back.yaml")
    run("apply", "renames.yaml", "old.msgpack", "new")
    assert 0 == run("invert", "back.yaml", "new", "-o", "there.yaml").exit_code
    assert '- "params/Dense_{i}/** -> layers/{i}/**"' in Path("there.yaml").read_text()


def test_a_rule_file_that_exists_is_kept(run):
    before = Path("rules.yaml").read_text()
    result = run("invert", "rules.yaml", "old.msgpack", "-o", "rules.yaml")
    assert 2 == result.exit_code
    assert "M501" in result.stderr
    assert before == Path("rules.yaml").read_text()
    assert 1 == run("invert", "rules.yaml", "old.msgpack", "-o", "rules.yaml", "--overwrite").exit_code
    assert before != Path("rules.yaml").read_text()


def test_an_inversion_for_programs(run):
    result = run("invert", "rules.yaml", "old.msgpack", "--json")
    payload = json.loads(result.stdout)
    assert (1, False, "invert", []) == (
        payload["exit_code"],
        payload["ok"],
        payload["command"],
        payload["diagnostics"],
    )
    assert [{"path": "params/old_head", "kind": "dropped", "reason": "the rules drop it", "rule": 7}] == payload["lost"]
    assert [] == payload["left"]
    assert payload["rules"].startswith(f"{EDITOR_LINE}\n# Leads from the target of rules.yaml back")


@pytest.mark.parametrize("rules", ["broken.yaml", "absent.yaml"])
def test_rules_that_cannot_be_read_are_no_answer(run, rules):
    assert 2 == run("invert", rules, "old.msgpack").exit_code


def test_a_plan_that_does_not_apply_is_no_answer(run):
    Path("idle.yaml").write_text('migrate: 1\nrules:\n  - "nothing -> here"\n')
    result = run("invert", "idle.yaml", "old.msgpack")
    assert 2 == result.exit_code
    assert "M201" in result.stderr


def test_the_template_can_be_named(run):
    assert 2 == run("invert", "rules.yaml", "old.msgpack", "--template", "tiny_model:wider").exit_code


def test_the_function_gives_what_the_command_writes(run):
    with migrate.open_checkpoint("old.msgpack") as source:
        inversion = migrate.invert(migrate.plan(source, "rules.yaml"))
    assert run("invert", "rules.yaml", "old.msgpack").stdout == inversion.text


def leaves(path):
    with open_reader(Path(path)) as reader:
        return {
            key: (value.dtype, value.shape, value.tobytes())
            for key, leaf in reader.abstract().tree.leaves.items()
            if leaf.has_data
            for value in [np.asarray(reader.read(key))]
        }


FIXTURES = {
    "linen_2022/lm_flax_msgpack": "lm_to_fused",
    "linen_2022/lm_scan_flax_msgpack": "lm_scan_to_fused",
    "linen_2022/lm_manager_items": "lm_items_to_list",
    "linen_2022/cnn_flax_orbax": "cnn",
    "linen_2024/lm_scan_manager_sharded": "lm_scan_to_list",
    "nnx_2024/cnn_optimizer": "nnx_cnn",
}


@pytest.mark.sample(4)
@pytest.mark.parametrize(("checkpoint", "rules"), FIXTURES.items())
def test_a_real_checkpoint_comes_back_bit_for_bit(checkpoint, rules, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    source, file = f"fixtures/{checkpoint}/ckpt", f"fixtures/rules/{rules}.yaml"
    new, back, again = (str(tmp_path / name) for name in ("new", "back.yaml", "again"))
    for arguments in (
        ["apply", file, source, new],
        ["invert", file, source, "-o", back],
        ["apply", back, new, again],
    ):
        result = CliRunner().invoke(command, arguments)
        assert 0 == result.exit_code, result.output
    assert leaves(source) == leaves(again)
