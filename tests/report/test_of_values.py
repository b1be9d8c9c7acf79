"""Leaves whose values differ, as rows, sentences and data."""

from migrate.engine.verification.value_change import EQUAL, ValueChange
from migrate.engine.verification.value_diff import ValueDiff
from migrate.report.of_values import value_rows, value_sentences, values_data
from migrate.tree import AbstractTree, parse_path
from tests.report import vit

LAYERS = {parse_path(f"layers_{i}/kernel"): ValueChange(8, 1, float(i), 0.5, 3.0, 9.0) for i in range(4)}
TREE = AbstractTree.build([(path, vit.leaf(2, 4)) for path in (*LAYERS, parse_path("head"))])


def test_layers_are_one_row_with_their_figures_together():
    (row,) = value_rows(LAYERS, TREE)
    assert ("~", "layers_{0..3}/kernel") == (row.symbol, row.subject)
    assert "float32[2,4]  ×4  4 of 32 values differ, max |Δ| 3 (relative 0.5), ‖Δ‖ 6" == row.detail


def test_sentences_count_the_leaves():
    done = ValueDiff({**LAYERS, parse_path("head"): EQUAL}, (("old",),))
    assert [
        "Values: 4 of 5 leaves differ; 4 of 32 values differ, max |Δ| 3 (relative 0.5), ‖Δ‖ 6.",
        "Not compared, as shapes or kinds differ: 1 leaf.",
    ] == list(value_sentences(done))
    (none,) = value_sentences(ValueDiff({}))
    assert none.startswith("Values: none compared, because no leaf ")
    assert ["Values: no differences in 1 leaf, bit for bit."] == list(value_sentences(ValueDiff({("a",): EQUAL})))


def test_figures_for_programs():
    assert {
        "path": "layers_1/kernel",
        "elements": 8,
        "differing": 1,
        "largest_difference": 1.0,
        "largest_relative_difference": 0.5,
        "norm": 3.0,
        "expected_norm": 9.0,
        "nan": {"expected": 0, "found": 0},
    } == values_data(LAYERS)[1]
