"""Checks before planning: the pinned structures, the recorded model, and the migration that was applied before."""

from pathlib import Path

from migrate.formats.reader import AbstractCheckpoint
from migrate.metadata import Metadata, Migration
from migrate.planning.guards import guard, recorded_structure
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from migrate.template.facts import ModelFacts
from tests.planning.trees import Template, tree

RULES = 'rules: ["a -> b"]'
WRONG = f"sha256:{'0' * 64}"


def findings(rules, source, template=None):
    return [(f.code, f.message) for f in guard(source, parse_rules(f"migrate: 1\n{rules}", "rules.yaml"), template)]


def hyperparameters(saved, now, args=""):
    rules = parse_rules(f"migrate: 1\ntarget: {{args: {{{args}}}}}\nrules: []", "rules.yaml")
    facts = ModelFacts(attributes=now)
    return list(guard(source(hyperparameters=saved), rules, tree({"a": "2"}), facts=facts))


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


def test_a_wrong_source_names_the_leaves_that_differ_where_the_pinned_tree_is_recorded():
    then = tree({"a": "2", "b": "3"})
    rules = f'source: {{structure: "{then.structure_hash}"}}\nrules: []'
    checkpoint = source({"a": "2", "b": "4"}, structure_hash=then.structure_hash, leaves=then.signature)
    (first, second) = findings(rules, checkpoint)
    assert ("M304", "M306") == (first[0], second[0])
    assert first[1].endswith("`b` was float32[3], is float32[4]")


def test_a_wrong_source_names_the_version_that_it_records():
    rules = f'source: {{structure: "{WRONG}"}}\nrules: []'
    ((_, message),) = findings(rules, source(model="gpt", version=3))
    assert message.endswith("the checkpoint records that it is of gpt, version 3")


def test_a_wrong_template_names_the_leaves_that_the_rules_would_have_made():
    pinned = tree({"b": "2", "c": "3"})
    rules = parse_rules(
        f'migrate: 1\ntarget: {{structure: "{pinned.structure_hash}"}}\nrules: ["a -> b"]', "rules.yaml"
    )
    checkpoint = source({"a": "2", "c": "3"})
    plan = make_plan(checkpoint, rules, Template({"b": "2", "c": "4"}))
    finding = next(f for f in plan.diagnostics if f.code == "M305")
    assert finding.message.endswith("`c` was float32[3], is float32[4]")
    assert ("c",) == finding.paths
    assert "M305" not in [f.code for f in make_plan(checkpoint, rules, Template({"b": "2", "c": "3"})).diagnostics]


def test_a_checkpoint_at_the_version_of_the_target_is_told_from_one_of_another_version():
    rules = parse_rules(
        "migrate: 1\nsource: {model: vit, version: 1}\ntarget: {model: vit, version: 2}\nrules: []", "rules.yaml"
    )
    helps = {version: next(iter(guard(source(model="vit", version=version), rules, None))).help for version in (2, 3)}
    assert "the checkpoint is at the version that the rule file leads to" in helps[2]
    assert "`migrate stamp old --model vit --version 1`" in helps[3]


def test_hyperparameters_that_differ_are_named_with_both_values():
    (finding,) = hyperparameters({"num_heads": 8, "width": 4, "old": 1}, {"num_heads": (16,), "width": (4, 5)})
    assert ("M310", "warning") == (finding.code, finding.severity)
    assert "saved with num_heads 8, the template has 16" == finding.message
    (finding,) = hyperparameters({"a": [1, 2], "b": "x"}, {"a": ([1, 3],), "b": ("y", "z")})
    assert "saved with a [1, 2], the template has [1, 3]; saved with b x, the template has y or z" == finding.message


def test_long_and_many_hyperparameters_are_cut():
    (finding,) = hyperparameters({f"n{i}": i for i in range(7)}, {f"n{i}": (-1,) for i in range(7)})
    assert finding.message.endswith("saved with n4 4, the template has -1; and 2 more")
    deep = []
    for _ in range(5000):
        deep = [deep]
    (finding,) = hyperparameters({"a": "x" * 100, "b": deep}, {"a": ("y",), "b": ("z",)})
    assert f"saved with a {'x' * 60}…, the template has y; saved with b a nested value" in finding.message


def test_arguments_of_the_rule_file_count_before_the_attributes_of_the_model():
    assert [] == hyperparameters({"num_heads": 8}, {"num_heads": (16,)}, "num_heads: 8")
    assert 1 == len(hyperparameters({"num_heads": 8}, {"num_heads": (8,)}, "num_heads: 16"))
    assert [] == hyperparameters({"sizes": [1, 2]}, {"sizes": ([1, 2],)})


def test_code_that_differs_is_named_by_module():
    saved = source(code_digests={"net.a": "1", "net.b": "2", "net.c": "3"}, code="abc")
    rules = parse_rules("migrate: 1\nrules: []", "rules.yaml")
    facts = ModelFacts(code_digests={"net.a": "1", "net.b": "9", "net.d": "4"})
    (finding,) = guard(saved, rules, None, facts=facts)
    assert ("M311", "note") == (finding.code, finding.severity)
    assert finding.message.endswith("at commit abc: `net.b` (changed), `net.c` (no longer used), `net.d` (new)")
    for other in (source(), source(code_digests=facts.code_digests)):
        assert [] == list(guard(other, rules, None, facts=facts))
    assert [] == list(guard(saved, rules, None))
