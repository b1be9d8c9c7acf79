"""Leaves that nothing covers: a finding for each group, with a rule that covers exactly this group."""

import pytest

from migrate.planning.unmatched import count, names
from tests.planning.trees import codes, planned

ADAM = {"opt_state/0/count": "int32:", "opt_state/0/mu/w": "2", "opt_state/0/nu/w": "2"}


@pytest.mark.parametrize(("paths", "expected"), [([("a",)], "1 leaf is"), ([("a",), ("b",)], "2 leaves are")])
def test_the_verb_agrees_with_the_number(paths, expected):
    assert expected == count(paths, "leaf is", "leaves are")


def test_three_names_are_written_and_the_others_counted():
    assert "`a`, `b`, `c`" in names([(name,) for name in "abcde"])
    assert "`d`" not in names([(name,) for name in "abcde"])
    assert "2 more" in names([(name,) for name in "abcde"])


def test_a_leftover_leaf_names_the_most_similar_path_of_the_template():
    plan = planned("", {"w": "2", "head/kernel": "3"}, {"w": "2", "heads/kernel": "3"})
    (finding,) = [each for each in plan.diagnostics if each.code == "M205"]
    assert finding.help.startswith("`head/kernel` is most similar to the template's `heads/kernel`; move it")


def test_an_optimizer_that_only_the_source_has_is_one_finding_and_other_leaves_another():
    plan = planned("", {"params/w": "2", "extra": "3", **ADAM}, {"params/w": "2"})
    assert ["M205", "M205"] == codes(plan)
    state, rest = plan.diagnostics
    assert (3, '`- drop: "opt_state/**"` leaves it behind') == (len(state.paths), state.help)
    assert ("extra",) == rest.paths


def test_each_suggested_rule_covers_its_group():
    source = {"params/w": "2", **ADAM}
    assert [] == codes(planned('- drop: "opt_state/**"', source, {"params/w": "2"}))
    (finding,) = planned("", {"params/w": "2"}, source).diagnostics
    rule = finding.help.split("`")[1]
    assert [] == codes(planned(rule, {"params/w": "2"}, source))
