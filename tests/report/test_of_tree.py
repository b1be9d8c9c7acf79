import pytest

from migrate.report.of_tree import MOST_ROWS, Amount, draw_tree, top_amounts
from migrate.tree import AbstractTree, parse_path
from tests.report import large, vit


def tree(*paths, leaf=None):
    return AbstractTree.build((parse_path(path), leaf or vit.leaf(2)) for path in paths)


def lines(drawn):
    return [f"{row.subject}  {row.detail}".rstrip() for row in drawn.rows]


def test_a_small_tree_is_shown_whole():
    drawn = draw_tree(tree("params/a/w", "step"))
    assert [
        "  params  1 leaf, 2 elements, 8 B",
        "    a",
        "      w  float32[2]  8 B",
        "  step  float32[2]  8 B",
    ] == lines(drawn)
    assert "" == drawn.omitted


def test_equal_layers_share_a_line_and_their_number_counts():
    drawn = draw_tree(tree(*(f"layer_{i}/w" for i in range(3))), depth=1)
    assert ["  layer_{0..2} ×3/…  3 leaves, 6 elements, 24 B"] == lines(drawn)


def test_a_level_that_does_not_fit_is_collapsed_and_smaller_nodes_are_expanded_first():
    wide = [f"wide/{letter}{other}" for letter in "abcdefgh" for other in "abcdefgh"]
    drawn = draw_tree(tree(*wide, "narrow/w"))
    assert [
        "  narrow  1 leaf, 2 elements, 8 B",
        "    w  float32[2]  8 B",
        "  wide/…  64 leaves, 128 elements, 512 B",
    ] == lines(drawn)
    assert "/… is collapsed: --depth N expands N of 2 levels, -v all" == drawn.omitted


def test_a_first_level_that_does_not_fit_is_cut():
    drawn = draw_tree(tree(*(f"{a}{b}" for a in "abcdefgh" for b in "abcdefghij")))
    assert MOST_ROWS == len(drawn.rows)
    assert "… 20 more lines (-v shows all)" == drawn.omitted


@pytest.mark.parametrize(("depth", "expected"), [(1, 1), (2, 2), (3, 3), (9, 3)])
def test_depth_is_the_number_of_levels(depth, expected):
    assert expected == len(draw_tree(tree("a/b/c"), depth=depth).rows)


def test_a_tree_of_one_leaf_has_a_name():
    assert ["  .  float32[2]  8 B"] == lines(draw_tree(AbstractTree.build([((), vit.leaf(2))])))


def test_verbose_adds_the_encoding():
    assert lines(draw_tree(tree("w"), verbose=True))[0].endswith("8 B  zarr2  zstd:1")


def test_amounts_add_up():
    assert Amount(3, 30, 120) == (Amount(1, 10, 40) + Amount(2, 20, 80))
    assert Amount(2, 20, 80) == Amount(1, 10, 40) * 2


def test_no_amount_is_lost_when_layers_are_merged():
    checkpoint = large.checkpoint()
    tops = [row.detail for row in draw_tree(checkpoint.tree, depth=1).rows if row.subject.endswith("/…")]
    assert [str(amount) for name, amount in top_amounts(checkpoint.tree).items() if name != "step"] == tops
    assert len(checkpoint.tree.leaves) == sum(amount.leaves for amount in top_amounts(checkpoint.tree).values())


def test_the_names_of_nodes_with_empty_segments_join_to_the_key_path():
    drawn = draw_tree(tree("a//w", "a//b", "a/c", "/d", "e/"))
    subjects = [row.subject for row in drawn.rows]
    assert ["  /d", "  a/", "    b", "    w", "  a", "    c", "  e/"] == subjects
    assert ["  \\e"] == [row.subject for row in draw_tree(tree("\\e")).rows]
    assert {"\\e", "a", "e"} == top_amounts(tree("a//w", "/d", "e/")).keys()
