from pathlib import Path

import pytest

from migrate.codes import InvalidRecordedTree, UnknownField, UnreadableRuleFile
from migrate.errors import RuleFileError
from migrate.rules.folder import load_folder, read_folder
from migrate.rules.recorded_tree import RecordedTree, tree_text
from migrate.tree import AbstractTree

STEP = "migrate: 1\nsource: {{model: m, version: {0}}}\ntarget: {{model: m, version: {1}}}\nrules: []\n"


def test_rule_files_are_read_in_natural_order(tmp_path):
    for number in (2, 10, 9):
        (tmp_path / f"{number}.yaml").write_text(STEP.format(number - 1, number))
    (tmp_path / "part.yaml").write_text("migrate: 1\nrules: []\n")
    (tmp_path / "notes.md").write_text("no rules")
    (tmp_path / "2.tree.json").write_text(tree_text(RecordedTree("m:f", "m", 2, AbstractTree({}))))
    found = load_folder(tmp_path)

    assert [2, 9, 10] == [rules.target.version for rules in found.files]
    assert ("part.yaml",) == found.others
    assert [2] == [tree.version for tree in found.trees]


def test_every_mistake_in_a_folder_is_named(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("migrate: 1\nrule: []\nrules: []\n")
    with pytest.raises(RuleFileError) as caught:
        load_folder(tmp_path)

    assert [UnknownField.number] * 2 == [problem.code for problem in caught.value.diagnostics]


def test_two_trees_of_one_version_are_refused(tmp_path):
    for name in ("2", "two"):
        (tmp_path / f"{name}.tree.json").write_text(tree_text(RecordedTree("m:f", "m", 2, AbstractTree({}))))
    with pytest.raises(RuleFileError) as caught:
        load_folder(tmp_path)

    assert [InvalidRecordedTree.number] == [problem.code for problem in caught.value.diagnostics]


def test_a_path_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(RuleFileError) as caught:
        load_folder(tmp_path / "absent")

    assert [UnreadableRuleFile.number] == [problem.code for problem in caught.value.diagnostics]


def test_the_valid_files_are_returned_with_the_mistakes_of_the_others(tmp_path):
    (tmp_path / "2.yaml").write_text("migrate: 1\nsource: {version: 1}\ntarget: {version: 2}\nrules: []\n")
    (tmp_path / "3.yaml").write_text("migrate: 1\nrulse: []\n")
    (tmp_path / "3.tree.json").write_text("{}")
    found, mistakes = read_folder(tmp_path)

    assert ["2.yaml"] == [Path(rules.path).name for rules in found.files]
    assert {"M607", "M101"} <= {one.code for one in mistakes}
