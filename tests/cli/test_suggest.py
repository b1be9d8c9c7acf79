import json
from pathlib import Path

import msgpack
import numpy as np

from migrate.api import load_rules
from migrate.rules.editor_line import EDITOR_LINE
from tests.cli.conftest import pack
from tests.families import golden


def test_a_rule_file_is_the_answer(run, golden):
    result = run("suggest", "old.msgpack", "--template", "tiny_model:make")
    assert 1 == result.exit_code
    golden("cli/suggest.yaml", result.stdout)
    golden("cli/suggest.txt", result.stderr)


def test_it_is_written_where_it_is_wanted_and_can_be_applied(run, golden):
    Path("model.py").write_text(
        Path("tiny_model.py").read_text()
        + "\n\ndef same():\n    return {**make(), 'head': np.zeros((4, 2), 'float32')}\n"
    )
    result = run("suggest", "old.msgpack", "--template", "model:same", "-o", "new.yaml")
    assert 0 == result.exit_code
    golden("cli/suggest_output.txt", result.stdout)
    assert 2 == len(load_rules("new.yaml").rules)
    assert 0 == run("check", "new.yaml", "old.msgpack").exit_code
    assert 0 == run("apply", "new.yaml", "old.msgpack", "new").exit_code


def test_a_rule_file_that_exists_is_kept(run):
    before = Path("rules.yaml").read_text()
    result = run("suggest", "old.msgpack", "--template", "tiny_model:make", "-o", "rules.yaml")
    assert 2 == result.exit_code
    assert "M501" in result.stderr
    assert before == Path("rules.yaml").read_text()
    assert (
        1 == run("suggest", "old.msgpack", "--template", "tiny_model:make", "-o", "rules.yaml", "--overwrite").exit_code
    )
    assert before != Path("rules.yaml").read_text()


def test_a_folder_that_is_not_there_is_said(run):
    result = run("suggest", "old.msgpack", "--template", "tiny_model:make", "-o", "absent/rules.yaml")
    assert 2 == result.exit_code
    assert "M507" in result.stderr


def test_a_suggestion_for_programs(run):
    result = run("suggest", "old.msgpack", "--template", "tiny_model:make", "--json")
    payload = json.loads(result.stdout)
    assert (1, False, "suggest") == (payload["exit_code"], payload["ok"], payload["command"])
    assert {"source": ["params/old_head"], "target": []} == payload["unplaced"]
    kernel = next(task for task in payload["tasks"] if task["targets"] == ["layers/0/kernel"])
    assert [{"target": "layers/1/kernel"}, {"target": "layers/2/kernel"}] == kernel["alternatives"]
    assert payload["rules"].startswith(f"{EDITOR_LINE}\n# Suggested for old.msgpack")


def test_a_template_is_needed(run):
    assert 2 == run("suggest", "old.msgpack").exit_code


def test_quiet_prints_the_rule_file_alone(run):
    result = run("suggest", "old.msgpack", "--template", "tiny_model:make", "--quiet")
    assert result.stdout.startswith(f"{EDITOR_LINE}\n# Suggested for old.msgpack")
    assert "" == result.stderr


TREE = str(golden.FOLDER / "hf-qwen3-bfloat16/target.tree.json")
QWEN3 = str(next(golden.SOURCES.glob("qwen3-*.safetensors")))


def test_a_model_of_a_family_gets_the_bundled_file_which_can_be_applied(run):
    words = ("suggest", QWEN3, "--template", TREE)
    result = run(*words, "-o", "new.yaml")
    assert 0 == result.exit_code
    assert "\ninclude: hf/qwen3\n" in Path("new.yaml").read_text()
    assert 0 == run("apply", "new.yaml", QWEN3, "new", "--template", TREE).exit_code
    payload = json.loads(run(*words, "--json").stdout)
    assert {"file": "hf/qwen3", "include": "hf/qwen3"} == payload["family"]


def test_its_rules_are_written_out_without_families(run):
    words = ("suggest", QWEN3, "--template", TREE, "--no-families")
    result = run(*words, "-o", "new.yaml")
    assert 0 == result.exit_code
    assert "include" not in Path("new.yaml").read_text()
    assert 0 == run("apply", "new.yaml", QWEN3, "new", "--template", TREE).exit_code
    assert json.loads(run(*words, "--json").stdout)["family"] is None


def test_a_single_array_is_refused_with_the_rule_that_moves_it(run, here):
    Path("array.msgpack").write_bytes(msgpack.packb(pack(np.ones((4, 4), "float32")), strict_types=True))
    result = run("suggest", "array.msgpack", "--template", "tiny_model:make")

    assert 2 == result.exit_code
    assert "`array.msgpack` is a single array" in result.stderr
    rule = result.stderr.partition("`- ")[2].partition("`")[0]
    Path("one.yaml").write_text(f"migrate: 1\nrules:\n  - {rule}\n")
    assert 0 == run("apply", "one.yaml", "array.msgpack", "new", "--dry-run").exit_code
