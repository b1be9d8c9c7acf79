from migrate.planning.moments.nodes import below, nodes_of
from tests.planning.trees import tree


def test_every_node_has_the_leaves_with_data_below_it():
    found = nodes_of(tree({"a/b/w": "2", "a/b/none": "none", "a/v": "2", "c": "2"}))

    assert {(): 3, ("a",): 2, ("a", "b"): 1} == {node: len(one.paths) for node, one in found.items()}
    assert [("a", "b", "w"), ("a", "v")] == found["a",].paths
    assert {(): {"a", "c"}, ("a",): {"b", "v"}, ("a", "b"): {"w"}} == {
        node: one.children for node, one in found.items()
    }


def test_nodes_deep_in_a_tree_have_all_nodes_above_them():
    found = nodes_of(tree({"a/b/c/d/w": "2", "a/b/x": "2"}))

    assert [(), ("a",), ("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d")] == sorted(found)
    assert {"c", "x"} == found["a", "b"].children


def test_paths_below_a_node_are_relative():
    one = tree({"a/b": "2", "a/c/d": "2", "e": "2"})

    assert {("b",), ("c", "d")} == below(one, ("a",))
    assert frozenset() == below(one, ("x",))


def test_a_tree_without_data_has_only_the_root():
    found = nodes_of(tree({"a/b": "none"}))

    assert [()] == list(found)
    assert [] == found[()].paths
