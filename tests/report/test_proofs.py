from dataclasses import replace

import pytest

from migrate.engine.probing.output_pair import Difference, Tolerance
from migrate.engine.probing.probe import PairFigures, Probed
from migrate.report.proofs import (
    left_to_probe,
    pair_lines,
    probe_data,
    probe_sentence,
    proof_counts,
    proof_data,
    unproved_lines,
    unseen_orders,
)
from migrate.tree import parse_path
from tests.planning.trees import planned
from tests.report import vit


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"shape": 20, "value": 1234, "none": 2}, "Leaves: 20 proved by shape, 1,234 proved by value, 2 unproved"),
        ({"none": 1}, "Leaves: 1 unproved"),
        ({"name": 3, "none": 0}, "Leaves: 3 proved by name"),
        ({}, ""),
    ],
)
def test_counts_as_text(counts, text):
    assert text == proof_counts(counts)


def test_counts_for_programs_have_zeros():
    assert {"name": 0, "shape": 2, "value": 0, "none": 0} == proof_data({"shape": 2})


def unproved(path, follows=None):
    task = vit.rename(f"old/{path}", f"new/{path}", vit.leaf(2).aval, 3)
    return replace(task, proved="none", follows=follows)


def test_unproved_tasks_are_listed_and_their_moments_counted():
    moments = [unproved(f"mu/{i}", parse_path(f"old/{i}")) for i in range(3)]
    proved = replace(unproved("head"), proved="shape")
    assert [
        "Unproved (assigned by the rule file alone):",
        "  old/{0..1} → new/{0..1}",
        "  and 3 moments that follow them",
    ] == list(unproved_lines([unproved("0"), unproved("1"), proved, *moments]))
    assert "  and 1 moment that follows them" == list(unproved_lines(moments[:1]))[-1]


def test_split_axes_are_listed_with_the_factors_whose_order_only_a_probe_shows():
    rule = '- {from: "{x}/w", to: "{x}/w", ops: [{rearrange: "(n h) d -> d n h"}]}'
    source, target = {"0/w": "96,48", "1/w": "96,48", "v/w": "32,48"}, {"0/w": "48,6,16", "1/w": "48,6,16"}
    plan = planned(rule, source, target | {"v/w": "48,2,16"})

    assert [
        "Split or merged axes, whose order only a probe shows:",
        "  {0..1}/w → {0..1}/w  (n h) = 6 × 16",
        "  v/w → v/w  (n h) = 2 × 16",
    ] == list(unseen_orders(plan.tasks))
    assert [] == list(unseen_orders([replace(task, proved="value") for task in plan.tasks]))


def test_nothing_unproved_draws_nothing():
    assert [] == list(unproved_lines([replace(unproved("a"), proved="name")]))
    assert [] == list(left_to_probe([replace(unproved("a"), proved="name")], "p:f"))


def test_what_a_probe_must_prove_names_the_first_three_leaves():
    assert ["The probe `p:f` has not run yet; it must prove 1 unproved leaf: `new/a`."] == list(
        left_to_probe([unproved("a")], "p:f")
    )
    (sentence,) = left_to_probe([unproved(letter) for letter in "abcd"], "p:f")
    assert sentence.endswith("must prove 4 unproved leaves: `new/a`, `new/b`, `new/c` and 1 more.")


FIGURES = (
    PairFigures("layer `a`", "a", 3, Difference(0.0, 0.0, 0)),
    PairFigures("pair 2", "", 4096, Difference(1.2e-6, 3e-7, 0)),
)
PROBED = Probed("p:f", Tolerance(1e-5, 1e-4), FIGURES, frozenset())


def test_a_probe_that_passed_as_text_and_for_programs():
    assert (
        "Proved by value: `p:f` compared 2 pairs of outputs; the largest difference is 1.2e-06 "
        "(tolerance 1e-05 + 0.0001·|old|)." == probe_sentence(PROBED)
    )
    data = probe_data(PROBED)
    figures = data.pop("figures")
    assert {
        "function": "p:f",
        "tolerance": 1e-5,
        "rtol": 1e-4,
        "pairs": 2,
        "largest_difference": 1.2e-6,
    } == data
    assert {
        "name": "",
        "elements": 4096,
        "largest_difference": 1.2e-6,
        "largest_relative_difference": 3e-7,
    } == figures[1]


def test_the_figures_of_every_pair_are_listed_in_the_order_of_the_probe():
    assert [
        "  layer `a`: 3 values, equal",
        "  pair 2: 4,096 values, max |old − new| = 1.2e-06 (relative 3e-07)",
    ] == list(pair_lines(PROBED))


def test_of_many_pairs_those_that_differ_most_are_listed():
    figures = tuple(PairFigures(f"pair {i}", "", 1, Difference(float(i), 1.0, 0)) for i in range(20))
    lines = list(pair_lines(replace(PROBED, figures=figures)))
    assert "  pair 8: 1 value, max |old − new| = 8 (relative 1)" == lines[0]
    assert "  … 8 pairs that differ no more (--json lists all)" == lines[-1]
    assert probe_data(None) is None
