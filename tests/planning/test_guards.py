"""Checks before planning: the pinned structures, the recorded model, and the migration that was applied before."""

from pathlib import Path

from migrate.formats.reader import AbstractCheckpoint
from migrate.metadata import Metadata, Migration
from migrate.planning.guards import guard, recorded_structure
from migrate.rules.loader import parse_rules
from tests.planning.trees import tree

RULES = 'rules: ["a -> b"]'
WRONG = f"sha256:{'0' * 64}"


def findings(rules, source, template=None):
    return [(f.code, f.message) for f in guard(source, parse_rules(f"migrate: 1\n{rules}", "rules.yaml"), template)]


def codes(rules, source, template=None):
    return [code for code, _ in findings(rules, source, template)]


def source(stored=None, /, **recorded):
    metadata = {"migrate": Metadata(**recorded).to_json()} if recorded else {}
    return AbstractCheckpoint(Path("old"), "test", {"": tree(stored or {"a": "2"})}, metadata=metadata)


def test_the_right_structures_are_no_finding():
    checkpoint = source()
    rules = f'source: {{structure: "{checkpoint.structure_hash}"}}\nrules: []'
    assert [] == codes(rules, checkpoint, tree({"a": "2"}))


def test_a_wrong_structure_of_source_or_template_is_a_finding_of_its_own():
    rules = f'source: {{structure: "{WRONG}"}}\ntarget: {{structure: "{WRONG}"}}\nrules: []'
    assert ["M304", "M305"] == codes(rules, source(), tree({"b": "2"}))


def test_a_source_without_a_pytree_is_refused():
    empty = AbstractCheckpoint(Path("old"), "test", {}, extras={"config": {}})
    assert ["M401"] == codes("rules: []", empty)
    assert [] == list(recorded_structure(empty))


def test_a_record_of_another_structure_names_five_leaves_that_differ_and_counts_the_others():
    then = {f"l_{i}": "2" for i in range(7)}
    checkpoint = source({**then, "l_0": "3"}, structure_hash=WRONG, leaves=tree(then).signature)
    (finding,) = recorded_structure(checkpoint)
    assert ("M306", ("l_0",)) == (finding.code, finding.paths)
    assert finding.message.endswith("`l_0` was float32[2], is float32[3]")
    (finding,) = recorded_structure(source({"x": "2"}, structure_hash=WRONG, leaves=tree(then).signature))
    assert 8 == len(finding.paths)
    assert finding.message.endswith("`l_4` was float32[2], is absent; and 3 more")


def test_a_record_of_the_same_leaves_is_no_finding():
    leaves = {"a": "2"}
    assert [] == list(recorded_structure(source(leaves, structure_hash=WRONG, leaves=tree(leaves).signature)))


def test_a_rule_file_for_another_model_or_version_is_refused_where_the_record_tells():
    rules = "source: {model: vit, version: 2}\nrules: []"
    assert ["M308", "M308"] == codes(rules, source(model="gpt", version=1))
    assert [] == codes(rules, source(model="vit", version="2"))
    assert [] == codes(rules, source())


def test_rules_that_were_applied_before_are_refused_and_an_empty_rule_file_never_is():
    digests = {text: parse_rules(f"migrate: 1\n{text}", "rules.yaml").digest for text in (RULES, "rules: []")}
    for text, expected in ((RULES, ["M502"]), ("rules: []", [])):
        applied = Migration("rules.yaml", digests[text], WRONG, WRONG, "2026-01-01")
        assert expected == codes(text, source(history=(applied,)))
        assert [] == codes(text, source(history=(Migration("rules.yaml", WRONG, WRONG, WRONG, "2026-01-01"),)))
