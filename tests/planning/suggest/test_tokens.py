"""Names: words, numbers and synonyms, and how alike they are."""

import pytest

from migrate.planning.rule_text.numbers import numbers_in, split_number
from migrate.planning.suggest.tokens import agrees, alike, similarity, usual_rank, words


@pytest.mark.parametrize(
    ("segment", "expected"),
    [("Dense_3", ("Dense_", 3)), ("3", ("", 3)), ("kernel", ("kernel", None)), ("a_01", ("a_0", 1))],
)
def test_a_number_at_the_end_is_split_off(segment, expected):
    assert expected == split_number(segment)


@pytest.mark.parametrize(
    ("segment", "expected"),
    [("expert_3_1", ("expert_#_#", (3, 1))), ("conv3", ("conv#", (3,))), ("conv3d", ("conv3d", ()))],
)
def test_numbers_are_between_underscores_or_at_the_end(segment, expected):
    assert expected == numbers_in(segment)


def test_words_have_no_case_and_no_numbers():
    assert (("layer", "norm"), ("self", "attn")) == (words("LayerNorm_0"), words("selfAttn"))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("query", "query", True), ("query", "q_proj", True), ("query", "key", False), ("a_1", "a_2", False)],
)
def test_spellings_of_one_name_agree(one, other, expected):
    assert expected == agrees(one, other)


def test_only_equal_words_are_fully_alike():
    assert (1.0, 0.9) == (alike("LayerNorm_0", "layer_norm"), alike("query", "q_proj"))
    assert alike("query", "output") < 0.5


def test_the_last_name_counts_most_and_an_index_counts_nothing():
    assert similarity(("a", "kernel"), ("b", "kernel")) > similarity(("a", "kernel"), ("a", "bias"))
    assert similarity(("a", "0"), ("a",)) == similarity(("a",), ("a",))
    assert 0.0 == similarity(("0",), ("a",))


def test_some_names_have_a_usual_rank():
    assert [0, 1, 2, None] == [usual_rank(name) for name in ("query", "key", "out", "zzz")]
