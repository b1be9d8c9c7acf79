from migrate.planning.diff import diff
from migrate.report.picture_of_trees import diff_picture, tree_picture
from tests.planning.trees import tree
from tests.report.large import checkpoint


def test_every_leaf_of_a_tree_is_drawn_with_how_it_is_stored():
    found = checkpoint().tree
    picture = tree_picture("run", found)
    assert len(found.leaves) == len(picture.links) == len(picture.trees[0].leaves)
    assert ("compression", "zstd:1") in picture.links[0].facts


def test_a_comparison_shows_what_differs_and_where():
    found = diff(tree({"a": "2", "b": "2", "c": "2", "d": "2"}), tree({"a": "2", "b": "3", "c": "2", "e": "2"}))
    picture = diff_picture(found, "old", "new", changed=[("c",)])
    kinds = {}
    for link in picture.links:
        side, ends = (0, link.sources) if link.sources else (1, link.targets)
        kinds[picture.trees[side].leaves[ends[0]].path[0]] = (link.kind, dict(link.facts).get("differs in"))
    assert {
        "a": ("kept", None),
        "b": ("changed", "shape"),
        "c": ("changed", "values"),
        "d": ("dropped", None),
        "e": ("created", None),
    } == kinds
