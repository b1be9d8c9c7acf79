from hypothesis import given
from hypothesis import strategies as st

from migrate.planning.moments.nodes import below, children, holders, paths_below
from tests.planning.trees import tree

SEGMENTS = st.sampled_from(["a", "b", "mu", "2", "10", "b_2", "b_10"])
TREES = st.sets(st.lists(SEGMENTS, min_size=1, max_size=4).map(tuple), max_size=12).map(
    lambda paths: tree({"/".join(path): "none" if path[-1] == "b" else "2" for path in paths})
)


def nodes_above(paths):
    """Returns every inner node above these leaves, in the order of their first leaves."""
    return list(dict.fromkeys(path[:depth] for path in paths for depth in range(1, len(path))))


def test_the_leaves_with_data_below_a_node_are_in_natural_order():
    one = tree({"a/2/w": "2", "a/10/w": "2", "a/b/none": "none", "a0": "2", "c": "2"})

    assert [("a", "2", "w"), ("a", "10", "w")] == list(paths_below(one, ("a",)))
    assert [("a0",), ("c",)] == list(paths_below(one, ()))[2:]
    assert [] == list(paths_below(one, ("a", "b")))


def test_a_leaf_is_not_below_itself():
    one = tree({"a": "2", "a/b": "2"})

    assert [("a", "b")] == list(paths_below(one, ("a",)))
    assert [] == list(paths_below(one, ("a", "b")))


def test_paths_below_a_node_are_relative():
    one = tree({"a/b": "2", "a/c/d": "2", "e": "2"})

    assert {("b",), ("c", "d")} == below(one, ("a",))
    assert frozenset() == below(one, ("x",))


def test_children_without_data_do_not_count():
    assert {"b", "v"} == children(tree({"a/b/w": "2", "a/n/none": "none", "a/v": "2"}), ("a",))


@given(TREES)
def test_the_paths_below_every_node_are_those_that_pass_through_it(one):
    for node in [(), *nodes_above(one.leaves)]:
        expected = [path for path in one.with_data if path[: len(node)] == node and path != node]
        assert expected == list(paths_below(one, node))


@given(TREES, st.sets(SEGMENTS))
def test_nodes_are_found_by_the_names_of_their_children(one, names):
    found = holders(one, names)

    assert {node for node in nodes_above(one.with_data) if children(one, node) & names} == {*found}
    whole = [node for node in nodes_above(one.with_data) if children(one, node) <= names]
    assert whole == [node for node in found if node in whole]
