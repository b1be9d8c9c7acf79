"""The assignment is the best in sum, and leaves worthless pairs out."""

from migrate.planning.suggest.assign import assign


def assigned(table):
    return assign(len(table), len(table[0]) if table else 0, lambda i, j: table[i][j])


def test_the_sum_counts_and_not_the_best_single_pair():
    assert [(0, 1), (1, 0)] == assigned([[3.0, 2.5], [2.0, 0.1]])


def test_more_rows_than_columns_leave_the_least_worthy_out():
    assert [(1, 0)] == assigned([[1.0], [2.0]])


def test_pairs_that_are_worth_nothing_are_no_pairs():
    assert [(0, 0)] == assigned([[1.0, 0.0], [0.0, 0.0]])
    assert [] == assigned([])
