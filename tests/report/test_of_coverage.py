"""Dropped and created leaves as rows."""

from dataclasses import replace

from migrate.report.of_coverage import creation_rows, drop_rows
from tests.report import vit


def test_dropped_leaves_have_their_size_and_are_not_recoverable():
    (row,) = drop_rows(vit.plan().dropped)
    assert ("-", "drop", "params/head/{bias,kernel}") == (row.symbol, row.verb, row.subject)
    assert "2 leaves, 2.9 MiB, not recoverable" == row.detail


def test_leaves_that_are_dropped_only_if_zero_say_so():
    (row,) = drop_rows(replace(drop, assert_zero=True) for drop in vit.plan().dropped)
    assert row.detail.endswith("only if all zero")


def test_created_leaves_have_their_initial_value():
    (row,) = creation_rows(vit.plan().created)
    assert ("+", "create", "zeros: float32[768,10], float32[10]") == (row.symbol, row.verb, row.detail)
