"""Tests of `cover`, and through it of `rule_drafts`, `numbers` and `doubt`."""

from migrate.planning.rule_text.cover import patterns_for
from migrate.planning.rule_text.doubt import Alternative, Doubt
from migrate.planning.rule_text.numbers import numbers_in, split_number
from migrate.planning.rule_text.rule_drafts import with_index
from migrate.tree import parse_path

TREE = [parse_path(f"a/L_{i}/{name}") for i in range(3) for name in ("kernel", "bias")] + [parse_path("b/kernel")]


def patterns(*texts):
    return patterns_for([parse_path(text) for text in texts], TREE)


def test_a_whole_module_is_one_pattern():
    assert ["a/L_1/**"] == patterns("a/L_1/kernel", "a/L_1/bias")
    assert ["a/**"] == patterns_for(TREE[:-1], TREE)


def test_numbers_become_a_capture():
    assert ["a/L_{i}/bias"] == patterns(*(f"a/L_{i}/bias" for i in range(3)))


def test_one_leaf_is_its_key_path():
    assert ["b/kernel"] == patterns("b/kernel") or ["b/**"] == patterns("b/kernel")
    assert ["a/L_0/bias"] == patterns("a/L_0/bias")


def test_numbers_are_found_at_the_end_and_between_underscores():
    assert ("Dense_", 3) == split_number("Dense_3")
    assert ("conv3d", None) == split_number("conv3d")
    assert ("expert_#_#", (3, 1)) == numbers_in("expert_3_1")


def test_an_index_counts_from_zero_on_the_right():
    column = [parse_path(f"L_{i}/w") for i in (1, 2)]
    assert ("L_{i}", "w") == with_index(column, exact=False)
    assert with_index(column, exact=True) is None


def test_a_doubt_in_a_higher_scope_has_longer_key_paths():
    doubt = Doubt("why", others=(("w",),), alternatives=(Alternative("transposed", ("transpose: {}",)),))
    assert (("a", "w"),) == doubt.below(("a",)).others
    assert "transposed: ops: [{transpose: {}}]" == str(doubt.alternatives[0])
