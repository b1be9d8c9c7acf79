from dataclasses import replace

from migrate.codes import UnreadableRuleFile
from migrate.planning.versions.check import check, compared, unreleased
from migrate.planning.versions.graph import ModelVersion
from migrate.rules.folder import RuleFolder
from migrate.rules.lock import Lock
from migrate.rules.recorded_tree import RecordedTree
from tests.planning.trees import tree
from tests.planning.versions.test_every_path import RENAMES, TREES, folder, rule_file

UNLOCKED = Lock("rules", missing={"2.yaml": "0"})


def found(files, trees, mistakes=()):
    """Code, severity and file of each finding."""
    made = check(folder(files, trees), Lock("rules"), mistakes)
    return [(one.code, one.severity, one.span and one.span.file) for one in made.findings]


def test_a_folder_in_order_has_no_findings():
    made = check(folder(RENAMES, TREES), Lock("rules"))

    assert () == made.findings
    assert made.is_writable
    assert (ModelVersion("m", "4"),) == made.heads


def test_a_rule_file_that_no_longer_applies_has_all_its_findings():
    files = [RENAMES[0], rule_file(2, 3, '- "x -> c"\n- "y -> d"'), RENAMES[2]]
    one, *others = found(files, TREES)

    assert {("M201", "error", "rules/3.yaml")} == {one, *others[:1]}
    assert "error" in {severity for _, severity, _ in others}


def test_a_missing_tree_is_one_finding():
    trees = {version: one for version, one in TREES.items() if version != 3}

    assert [("M601", "error", "rules/3.yaml")] == found(RENAMES, trees)


def test_a_path_that_takes_two_upgrades_is_a_warning_that_names_the_version():
    trees = {1: {"a": "2"}, 2: {"a": "2", "n": "3"}, 3: {"a": "2", "w": "3"}}
    files = [rule_file(1, 2, "- create: {to: n, init: template}"), rule_file(2, 3, '- "n -> w"')]
    made = check(folder(files, trees), Lock("rules"))
    (one,) = made.findings

    assert ("M605", "warning", "rules/2.yaml:5:16") == (one.code, one.severity, str(one.span))
    assert "upgrade to version 2 (`--to 2`) first" in one.help
    assert made.is_writable


def test_config_rules_of_several_files_that_contradict_each_other_are_an_error():
    config = "\nconfig: [{drop: heads}]", "\nconfig: [heads -> num_heads]"
    files = [rule_file(at, at + 1, '- "w -> w"' + lines) for at, lines in enumerate(config, start=1)]
    trees = {version: {"w": "2"} for version in (1, 2, 3)}
    assert [("M621", "error", "rules/3.yaml")] == found(files, trees)
    assert [] == found(files[:1], {1: {"w": "2"}, 2: {"w": "2"}})


def test_with_mistakes_in_a_file_no_gaps_are_reported():
    mistake = UnreadableRuleFile.at("broken")
    files = [RENAMES[0], RENAMES[2]]

    assert ["M004"] == [code for code, _, _ in found(files, TREES, [mistake])]
    assert "M602" in [code for code, _, _ in found(files, TREES)]


def test_a_folder_without_versions_is_an_error():
    assert ["M601"] == [code for code, _, _ in found([], {})]
    assert [] == found([], {1: {"a": "2"}})


def test_unlisted_files_are_findings_that_do_not_prevent_writing():
    made = check(folder(RENAMES, TREES), UNLOCKED)

    assert ["M614"] == [one.code for one in made.findings]
    assert made.is_writable
    assert not replace(made, diagnostics=(UnreadableRuleFile.at("broken"),)).is_writable


def test_problems_of_the_lock_file_are_findings():
    made = check(folder(RENAMES, TREES), Lock("rules", problems=(UnreadableRuleFile.at("broken"),)))

    assert (["M004"], False) == ([one.code for one in made.findings], made.is_writable)


def differing(before, after):
    recorded = RecordedTree("rules/1.tree.json", "m", 1, tree(before))
    made = compared(recorded, ModelVersion("m", "1"), "m:f", tree(after))
    return made.changes, unreleased("rules", made, "migrate x").message.partition(": ")[2]


def test_a_model_that_differs_is_described_by_its_leaves():
    assert ((), "containers are of other kinds") == differing({"a": "2"}, {"a": "2"})
    changes, text = differing({"a": "2", "b": "3", "c": "4"}, {"a": "5", "d": "3", "e": "1"})

    assert ["a", "b", "c", "d", "e"] == [one.path for one in changes]
    assert "leaves: 2 new, 2 gone; `a` was float32[2], is float32[5]" == text


def test_an_empty_folder_is_named_with_the_command_that_fills_it():
    (one,) = check(RuleFolder("rules", ()), Lock("rules")).findings

    assert "`migrate new rules --from SRC --template M:F`" in one.help
