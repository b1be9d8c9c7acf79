"""A suggestion is composed again from other drafts."""

from migrate.planning.suggest.composition import ProbeFindings, fills_target, probe_sentence
from migrate.tree import parse_path
from tests.planning.suggest.trees import suggested

OLD = {"params/alpha/kernel": (4, 4), "params/beta/kernel": (4, 4)}
NEW = {"rho/kernel": (4, 4), "sigma/kernel": (4, 4)}


def test_the_same_drafts_make_the_same_suggestion():
    first = suggested(OLD, NEW)
    again = first.composition.suggestion(first.drafts)
    assert (first.text, first.plan.digest, first.doubts) == (again.text, again.plan.digest, again.doubts)


def test_a_plan_that_leaves_targets_open_is_not_exact():
    first = suggested(OLD, NEW)
    assert first.composition.exact_plan(first.drafts) is not None
    assert first.composition.exact_plan(first.drafts[:1]) is None


def test_leaves_of_the_source_without_a_target_do_not_matter_to_the_model():
    assert fills_target(suggested({**OLD, "params/old/table": (9, 7)}, NEW).plan)
    assert not fills_target(suggested(OLD, {**NEW, "table": (9, 7)}).plan)


def test_findings_are_one_line():
    leaf = frozenset({parse_path("a/b")})
    passed = ProbeFindings("p:f", 3, 4, True, 1, leaf, leaf, leaf)
    assert (
        "Probe: `p:f`, 3 runs: all outputs agree; 1 leaf in doubt proved by value; 1 assignment changed for this; "
        "1 leaf that it cannot tell apart; 1 leaf not tried: `--probe-budget` above 4 tries them."
        == probe_sentence(passed)
    )
    assert "Probe: `p:f`, 1 run: no." == probe_sentence(ProbeFindings("p:f", 1, 4, False, reason="no"))
