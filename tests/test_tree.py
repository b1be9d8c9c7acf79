"""Key paths and abstract trees: text and back, order, sizes, shardings, structure hashes."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.printable import printable
from migrate.tree import (
    AbstractArray,
    AbstractLeaf,
    AbstractTree,
    Sharding,
    format_path,
    is_below,
    natural_key,
    parse_path,
    stored_path,
)

segments = st.text("ab0.*{}\\/é ", max_size=5) | st.text(max_size=3) | st.sampled_from(["", ".", "..", "\\e", "\\n"])
paths = st.lists(segments, max_size=4).map(tuple)
encodable = paths.filter(lambda path: "/".join(path).encode(errors="ignore").decode() == "/".join(path))


def array(*shape, dtype="float32"):
    return AbstractLeaf("array", AbstractArray(shape, dtype))


def tree(*names, **leaves):
    """A tree with arrays of two elements under the names, and other leaves by name."""
    arrays = [(parse_path(name), array(2)) for name in names]
    return AbstractTree.build(arrays + [(parse_path(name), leaf) for name, leaf in leaves.items()])


@given(paths)
def test_a_printed_key_path_is_read_back(path):
    assert path == parse_path(format_path(path)) == parse_path(printable(format_path(path)))


@given(paths, paths)
def test_no_two_key_paths_are_printed_alike(one, other):
    assert (one == other) == (format_path(one) == format_path(other))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "."),
        (("a", "b"), "a/b"),
        (("a/b", "c"), r"a\/b/c"),
        (("{x}", "*"), r"\{x\}/\*"),
        (("\\",), r"\\"),
        (("a", "", "b"), "a//b"),
        (("", "a"), "/a"),
        (("",), r"\e"),
        (("", ""), "/"),
        ((".",), r"\."),
        ((".", "a"), "./a"),
    ],
)
def test_special_characters_are_escaped(path, text):
    assert text == format_path(path)


def test_a_path_is_below_itself_and_its_nodes_and_not_below_similar_names():
    assert is_below(("a", "b"), ("a", "b"))
    assert is_below(("a", "b"), ("a",))
    assert is_below(("a",), ())
    assert not is_below(("ab",), ("a",))
    assert not is_below(("a",), ("a", "b"))


def test_integers_sort_as_integers():
    names = ["layer_10", "layer_2", "10", "2", "b", "layer_2/a"]
    expected = ["2", "10", "b", "layer_2", "layer_2/a", "layer_10"]
    assert expected == [format_path(path) for path in sorted(map(parse_path, names), key=natural_key)]


def test_a_tree_is_in_natural_order_whatever_the_order_of_its_leaves():
    assert ["a/2", "a/10"] == [format_path(path) for path in tree("a/10", "a/2").leaves]


@pytest.mark.parametrize(
    ("array", "size", "nbytes", "text"),
    [
        (AbstractArray((3, 4), "float32"), 12, 48, "float32[3,4]"),
        (AbstractArray((), "bool"), 1, 1, "bool[]"),
        (AbstractArray((0, 4), "float64"), 0, 0, "float64[0,4]"),
        (AbstractArray((2,), "key<fry>"), 2, 16, "key<fry>[2]"),
    ],
)
def test_arrays_have_sizes_and_print(array, size, nbytes, text):
    assert (size, nbytes, text) == (array.size, array.nbytes, str(array))


@pytest.mark.parametrize(
    ("leaf", "has_data", "is_numeric", "nbytes", "text"),
    [
        (array(3), True, True, 12, "float32[3]"),
        (AbstractLeaf("scalar", AbstractArray((), "int64")), True, True, 8, "int64 scalar"),
        (AbstractLeaf("string"), True, False, 0, "string"),
        (AbstractLeaf("none"), False, False, 0, "none"),
        (AbstractLeaf("empty", container="list"), False, False, 0, "empty list"),
    ],
)
def test_kinds_of_leaves(leaf, has_data, is_numeric, nbytes, text):
    assert (has_data, is_numeric, nbytes, text) == (leaf.has_data, leaf.is_numeric, leaf.nbytes, str(leaf))


def test_a_box_is_a_level_below_the_canonical_path():
    assert ("a", "value") == stored_path(("a",), AbstractLeaf("array", AbstractArray((), "int8"), box="value"))
    assert ("a",) == stored_path(("a",), array())


def test_a_shard_is_the_part_of_one_device():
    sharding = Sharding((("data", 2), ("model", 4), ("open", -1)), (("data", "model"), None, ("open",)))
    assert (2, 3, 5) == sharding.shard_shape((16, 3, 5))
    assert (16, 3) == Sharding((("data", 2),)).shard_shape((16, 3))
    assert "data=2,model=4,open=-1(data+model,-,open)" == str(sharding)
    assert sharding.placed
    assert not Sharding((), (("data",),)).placed


@pytest.mark.parametrize(
    ("spec", "shape", "message"),
    [
        ((("data",),), (3,), "dimension 0 of (3,) is not divisible by 2 (`data`)"),
        ((("x",),), (4,), "the mesh has no axis `x`"),
        ((None, None), (4,), "the spec has 2 entries for 1 dimensions"),
    ],
)
def test_a_sharding_that_does_not_fit_is_an_error(spec, shape, message):
    with pytest.raises(ValueError) as caught:
        Sharding((("data", 2),), spec).shard_shape(shape)
    assert message == str(caught.value)


def test_a_prefix_moves_leaves_and_containers():
    moved = AbstractTree(tree("a/0").leaves, {("a",): "list"}).prefixed(("item",))
    assert [("item", "a", "0")] == list(moved.leaves)
    assert ("list", "dict") == (moved.container(("item", "a")), moved.container(("a",)))


def test_the_size_of_a_tree_is_that_of_its_arrays():
    assert 16 == tree("a", "b").nbytes


def test_the_structure_hash_depends_on_paths_dtypes_and_shapes_alone():
    expected = tree("a", "b").structure_hash
    assert expected == tree("b", "a").structure_hash
    assert expected == AbstractTree(tree("a", "b").leaves, {(): "list"}).structure_hash
    others = [tree("a"), tree("a", "c"), tree("a", b=array(3)), tree("a", b=array(2, dtype="int8"))]
    others.append(tree("a", "b", c=AbstractLeaf("none")))
    assert len(others) == len({other.structure_hash for other in others} - {expected})


def test_the_structure_hash_of_a_tree_is_stable():
    # Checkpoints and rule files record it.
    expected = "sha256:52070256a6bcaef11db0b0a61659869cf2ca0c253c8d50e167b62103c425654b"
    assert expected == tree("params/a", n=AbstractLeaf("none")).structure_hash


@given(
    st.dictionaries(
        encodable, st.sampled_from([array(), array(3, 10), array(2, dtype="key<fry>"), AbstractLeaf("none")])
    )
)
def test_the_structure_hash_is_that_of_the_sorted_rows_as_canonical_json(leaves):
    rows = [
        [format_path(path), leaf.aval.dtype if leaf.aval else str(leaf), leaf.aval and list(leaf.aval.shape)]
        for path, leaf in leaves.items()
    ]
    text = json.dumps(sorted(rows, key=json.dumps), separators=(",", ":"), ensure_ascii=False)

    assert f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" == AbstractTree.build(leaves.items()).structure_hash


def test_a_function_of_a_tree_is_called_once():
    calls = []

    def count(one):
        calls.append(one)
        return len(one.leaves)

    one = tree("a", "b")
    assert (2, 2, [one]) == (one.once(count), one.once(count), calls)
    assert 1 == tree("a").once(count)


def test_ranks_are_in_natural_order():
    assert {("a", "2"): 0, ("a", "10"): 1, ("b",): 2} == tree("b", "a/10", "a/2").ranks


def test_the_signature_describes_every_leaf():
    assert {"a/b": "float32[2]", "n": "none"} == tree("a/b", n=AbstractLeaf("none")).signature
