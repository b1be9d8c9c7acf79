"""Strict accounting for each of several sources. Covers `near_patterns.unknown_source` as well."""

import pytest

from migrate.errors import PlanError
from migrate.planning.invert.pipeline import invert
from migrate.planning.plan_file.read import read_plan
from migrate.planning.plan_file.write import plan_text
from migrate.planning.planner import make_plan
from migrate.rules.files import RuleFile
from migrate.rules.loader import parse_rules
from migrate.source_names import source_of
from tests.planning.trees import Template, checkpoint, codes, moves

NAMES = "sources: {lora: null}\n"
MERGE = (
    NAMES
    + """rules:
- from: {base: "m/{p:**}/w", a?: "lora:{p:**}/a", b?: "lora:{p:**}/b"}
  to: "m/{p}/w"
  ops: [{lora: {scale: 2.0}}]
"""
)
BASE = {"m/0/w": "4,3", "m/1/w": "4,3"}
ADAPTER = {"0/a": "2,3", "0/b": "4,2"}


def planned(text, main, named, target=None):
    sources = {name: checkpoint(leaves) for name, leaves in named.items()}
    rules = parse_rules(f"migrate: 1\n{text}", "rules.yaml")
    return make_plan(checkpoint(main, sources=sources), rules, Template(target) if target else None)


@pytest.mark.parametrize("target", [None, BASE], ids=["derived", "template"])
def test_leaves_of_two_sources_make_one(target):
    plan = planned(MERGE, BASE, {"lora": ADAPTER}, target)
    assert plan.applicable, plan.diagnostics
    assert {("m/0/w", "lora:/0/a", "lora:/0/b"): ("m/0/w",), ("m/1/w",): ("m/1/w",)} == moves(plan)
    assert [*map(tuple, (path.split("/") for path in BASE))] == list(plan.target.leaves)


def test_the_digest_covers_every_source():
    one, other = (planned(MERGE, BASE, {"lora": ADAPTER | {"x": n}}) for n in ("2", "3"))
    assert one.source.structure_hash != other.source.structure_hash
    assert one.digest != other.digest


@pytest.mark.parametrize("target", [None, {"a": "2", "w": "2"}], ids=["derived", "template"])
def test_a_leaf_of_a_named_source_never_keeps_its_path(target):
    plan = planned(NAMES + 'rules: ["lora:a -> w"]', {"a": "2"}, {"lora": {"a": "2", "b/c": "3", "b/d": "3"}}, target)
    assert ["M205"] == codes(plan)
    (found,) = plan.diagnostics
    assert "2 leaves of the source `lora` are neither used nor dropped: `lora:/b/c`, `lora:/b/d`" == found.message
    assert '`- drop: "lora:/b/**"`' in found.help
    assert ("lora:", "b", "c") in plan.unexpected


def test_a_dropped_leaf_is_accounted_for():
    plan = planned(NAMES + 'rules: ["lora:a -> w", {drop: "lora:b/**"}]', {"a": "2"}, {"lora": {"a": "2", "b/c": "3"}})
    assert plan.applicable, plan.diagnostics
    assert ["lora"] == [source_of(drop.source) for drop in plan.dropped]


def test_a_source_that_no_rule_uses_is_named():
    text = "sources: {lora: null, other: null}\nunmatched: {source: drop}\nrules: ['lora:a -> w']"
    plan = planned(text, {"a": "2"}, {"lora": {"a": "2"}, "other": {"a": "2"}})
    assert ["M632"] == codes(plan)
    assert ("no rule uses the source `other`", 2) == (plan.diagnostics[0].message, plan.diagnostics[0].span.line)


def test_a_source_whose_task_fails_is_used():
    plan = planned(MERGE, BASE, {"lora": {"0/a": "2,9", "0/b": "4,2"}})
    assert ["M303"] == codes(plan)


@pytest.mark.parametrize(
    ("pattern", "code", "label"),
    [
        ("lorra:a", "M630", "did you mean `lora`?"),
        ("lorra:/a", "M630", "did you mean `lora`?"),
        ("lora:aa", "M201", "did you mean `lora:/a`?"),
        ("kernel:1", "M201", "did you mean `kernel:0`?"),
    ],
)
def test_a_key_path_of_no_source_is_told_from_one_that_does_not_exist(pattern, code, label):
    text = NAMES + f"rules: ['lora:a -> w', {{drop: '{pattern}'}}]"
    plan = planned(text, {"kernel:0": "2"}, {"lora": {"a": "2"}})
    assert [(code, label)] == [(one.code, one.label) for one in plan.diagnostics]


def test_a_colon_is_ordinary_where_there_is_one_source():
    plan = planned("rules: [{drop: 'x:a'}]", {"kernel:0": "2"}, {})
    assert ["M201"] == codes(plan)
    assert ["M630"] == codes(planned("rules: [{drop: 'x:/a'}]", {"kernel:0": "2"}, {}))


def test_a_declared_source_that_is_missing_is_named():
    plan = planned(NAMES + "rules: []", {"a": "2"}, {})
    assert ["M631"] == codes(plan)
    assert "`--source lora=PATH`" in plan.diagnostics[0].help


def test_the_requirements_of_a_source_are_compared_with_its_record():
    text = "sources: {lora: {path: null, model: adapter, version: 2}}\nrules: ['lora:a -> w']"
    record = {"migrate": {"model": "adapter", "version": 1}}
    source = checkpoint({"a": "2"}, sources={"lora": checkpoint({"a": "2"}, metadata=record)})
    plan = make_plan(source, parse_rules(f"migrate: 1\n{text}", "rules.yaml"), None)
    assert ["M308"] == codes(plan)
    assert plan.diagnostics[0].message.startswith("source `lora`: ")


def test_a_pinned_structure_is_that_of_the_main_source_alone():
    pinned = checkpoint(BASE).structure_hash
    plan = planned(f"source: {{structure: '{pinned}'}}\n{MERGE}", BASE, {"lora": ADAPTER})
    assert plan.applicable, plan.diagnostics


STATE = {
    "params/a/w": "3,4",
    "opt_state/0/count": "int32:",
    "opt_state/0/mu/a/w": "3,4",
    "opt_state/0/nu/a/w": "3,4",
}


def test_moments_follow_params_of_their_own_source():
    text = (
        NAMES
        + """rules:
- "params/a/w -> params/b/w"
- "lora:params/a/w -> params/c/w"
- drop: "lora:opt_state/**"
"""
    )
    plan = planned(text, STATE, {"lora": STATE})
    assert plan.applicable, plan.diagnostics
    assert ("opt_state/0/mu/b/w",) == moves(plan)["opt_state/0/mu/a/w",]
    assert 3 == sum(source_of(drop.source) == "lora" for drop in plan.dropped)


def test_a_copy_of_the_params_in_another_source_is_no_average_of_them():
    plan = planned(
        NAMES + 'rules: ["params/a/w -> params/b/w"]', {"params/a/w": "3,4"}, {"lora": {"params/a/w": "3,4"}}
    )
    assert ["M632"] == codes(plan)
    assert {("params/a/w",): ("params/b/w",)} == moves(plan)


def test_a_leaf_may_be_asserted_to_equal_one_of_another_source():
    text = NAMES + "rules: ['lora:a -> w', {drop: {from: b, assert: {equal: 'lora:a'}}}]"
    plan = planned(text, {"b": "2"}, {"lora": {"a": "2"}})
    assert plan.applicable, plan.diagnostics
    assert [("lora:", "a")] == [drop.equal for drop in plan.dropped]


def test_the_inverse_leads_back_to_the_main_source_and_says_what_it_does_not_restore():
    text = "sources: {lora: null, tower: null}\n" + MERGE.removeprefix(NAMES) + '- "tower:** -> tower/**"\n'
    plan = planned(text, BASE | {"k": "5"}, {"lora": ADAPTER, "tower": {"x": "7"}})
    made = invert(plan)
    assert {"lora:/0/a", "lora:/0/b", "m/0/w", "tower:/x"} == {"/".join(one.path) for one in made.lost}
    reasons = {"/".join(one.path): one.reason for one in made.lost}
    assert "a merged weight does not tell which part of it was the adapter" == reasons["m/0/w"]
    assert "leaves of the source `tower` are in it" in reasons["tower:/x"]
    assert {("m", "1", "w"), ("k",)} == set(made.plan.target.leaves)


def test_a_plan_file_keeps_the_sources_apart():
    text = "sources: {lora: {path: x, model: adapter}}\n" + MERGE.removeprefix(NAMES) + '- drop: "lora:z"\n'
    plan = planned(text, BASE, {"lora": ADAPTER | {"z": "2"}})
    assert plan.applicable, plan.diagnostics
    read = read_plan(plan_text(plan), RuleFile("plan.json", plan.source.path), "plan.json")
    assert plan.digest == read.digest
    assert ["lora"] == list(read.source.sources)
    assert "adapter" == read.rules.sources["lora"].guard.model
    tasks = {path for task in read.tasks for path in task.sources} | {drop.source for drop in read.dropped}
    assert {"", "lora"} == set(map(source_of, tasks))


def test_rules_with_several_sources_cannot_be_reversed():
    import migrate
    from migrate.checkpoint import Checkpoint

    class Reader:
        def abstract(self):
            return checkpoint(BASE)

    with pytest.raises(PlanError) as caught:
        migrate.plan(Checkpoint(Reader()), parse_rules(f"migrate: 1\n{MERGE}", "rules.yaml"), reverse=True)
    assert ["M633"] == [one.code for one in caught.value.diagnostics]
