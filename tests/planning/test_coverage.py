"""Coverage: targets are written once and fit, and no two leaves share a stored name."""

from pathlib import Path

import pytest

from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.coverage import refuse_collisions
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from migrate.template import Template
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree
from tests.planning.trees import codes, planned, tree


def collisions(leaves):
    return [finding.paths for finding in refuse_collisions(tree(leaves))]


def test_leaves_that_join_to_one_stored_name_are_one_finding():
    assert [("a/b.c", "a.b/c")] == collisions({"a.b/c": "2", "a/b.c": "2", "a/b": "2"})


@pytest.mark.parametrize("kind", ["none", "{}"])
def test_a_leaf_without_data_has_no_stored_name_to_share(kind):
    assert [] == collisions({"a.b": kind, "a/b": "2"})
    assert [] == collisions({"a.b": "2", "a/b": kind})
    assert [] == codes(planned("", {"a.b": kind, "a/b": "2"}))


def test_a_string_has_a_stored_name():
    assert [("a/b", "a.b")] == collisions({"a.b": "string", "a/b": "2"})


def test_a_target_written_three_times_names_the_other_writers_and_the_last_rule():
    plan = planned('- "a -> x"\n- "b -> x"\n- "c -> x"', {"a": "2", "b": "2", "c": "2"})
    (finding,) = plan.diagnostics
    assert ("M203", ("x",), 5) == (finding.code, finding.paths, finding.span.line)
    assert "`x` is written 3 times: also by rules.yaml:3:4, rules.yaml:4:4" == finding.message


def test_misfits_of_one_rule_are_one_finding_that_counts_them():
    plan = planned('- "{n} -> x/{n}"', {"a": "2", "b": "3"}, {"x/a": "4", "x/b": "4"})
    (finding,) = plan.diagnostics
    assert ("M301", ("x/a", "x/b")) == (finding.code, finding.paths)
    assert "`x/a` (from `a`) is float32[2], but the template expects float32[4], and 1 more like it" == finding.message


def test_a_leaf_that_differs_in_shape_and_dtype_is_in_both_lists():
    plan = planned("", {"a": "int32:2"}, {"a": "3"})
    assert ({"M301", "M302"}, (("a",),), (("a",),)) == ({*codes(plan)}, plan.shape_mismatch, plan.dtype_mismatch)


def test_a_create_rule_without_a_template_or_without_a_match_is_refused():
    rule = '- create: {to: "new", init: zeros}'
    assert "`new` cannot be created without a template" in planned(rule, {"a": "2"}).diagnostics[0].message
    assert "`new` matches nothing in the template" == planned(rule, {"a": "2"}, {"a": "2"}).diagnostics[0].message
    assert [] == codes(planned('- create: {to: "new", init: zeros, optional: true}', {"a": "2"}, {"a": "2"}))


def test_except_keeps_a_target_from_being_created():
    plan = planned('- create: {to: "*", except: [a], init: zeros}', {"a": "2"}, {"a": "2", "b": "2"})
    assert ([], [("b",)]) == (codes(plan), [creation.target for creation in plan.created])


@pytest.mark.parametrize(("path", "expected"), [("rngs/count", []), ("rngs/words", ["M302"])])
def test_rng_creates_keys_and_counts_and_no_other_integers(path, expected):
    rule = f"- create: {{to: {path}, init: {{rng: {{seed: 0}}}}}}"
    assert expected == codes(planned(rule, {"a": "2"}, {"a": "2", path: "uint32:"}))


def test_a_template_that_is_narrow_because_x64_is_off_is_not_answered_with_a_cast_first():
    wide = AbstractTree({("a",): AbstractLeaf("array", AbstractArray((2,), "complex128"))})
    narrow = AbstractTree({("a",): AbstractLeaf("array", AbstractArray((2,), "complex64"))})
    source = AbstractCheckpoint(Path("old"), "orbax", {"": wide})
    rules = parse_rules("migrate: 1\nrules: []", "rules.yaml")
    (off,) = make_plan(source, rules, Template("m:f", narrow, x64=False)).diagnostics
    assert "M302" == off.code
    assert off.help.index("JAX_ENABLE_X64=1") < off.help.index("cast")
    (on,) = make_plan(source, rules, Template("m:f", narrow)).diagnostics
    assert "add `ops: [{cast: template}]`" == on.help


def test_a_slash_too_many_in_a_target_is_a_warning_unless_the_source_or_the_template_has_empty_segments():
    (finding,) = planned('- "a -> x//y"', {"a": "2"}).diagnostics
    assert ("M106", "warning", ("x//y",)) == (finding.code, finding.severity, finding.paths)
    assert "write `x/y`" in finding.help
    assert [] == codes(planned('- "a -> x//y"', {"a": "2", "b//w": "2"}))
    assert [] == codes(planned('- "a -> x//y"', {"a": "2"}, {"x//y": "2"}))
