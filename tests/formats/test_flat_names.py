import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.formats.flat_names import OTHERS, collisions, forms_tree, separator_of, split_names

NAMES = st.lists(st.text("ab./,:_", min_size=1, max_size=8), unique=True, max_size=6)
KEYS = st.lists(st.lists(st.sampled_from(["a", "layer_0", "w", "0"]), min_size=2, max_size=4).map(tuple), min_size=1)


@pytest.mark.parametrize(
    ("names", "separator"),
    [
        ([], "."),
        (["w", "b"], "."),
        (["a.b"], "."),
        (["a.b", "c/d"], "/"),
        (["a/b", "a/c//d"], "/"),
        (["a//b", "a//c"], "//"),
        (["params,Dense_0,kernel", "params,norm.1,mean"], ","),
        (["params::dense::w", "step"], "."),
        (["params::dense::w", "params::dense::b"], "::"),
        (["params:dense:w", "params:dense:b"], ":"),
        (["params__dense__w", "params__dense_0__b"], "__"),
        (["model.layers.0.mlp__x", "model.layers.0.w"], "."),
        (["__version__", "__name__"], "."),
        (["a", "a/b", "c.d"], "."),
        (["a", "a/b", "c"], "/"),
        (["head", "head.scale"], "."),
    ],
)
def test_the_separator_is_the_one_under_which_names_form_a_tree(names, separator):
    assert separator == separator_of(names)


@given(KEYS, st.sampled_from(("/", "//", *OTHERS)))
def test_the_names_of_a_tree_are_split_where_they_were_joined(keys, separator):
    names = {separator.join(key): key for key in keys}
    assert separator_of(names) == separator or not forms_tree(names, separator)
    if forms_tree(names, separator):
        assert names == split_names(names, separator_of(names))


@given(NAMES)
def test_the_separator_does_not_depend_on_the_order_of_names(names):
    assert separator_of(names) == separator_of(names[::-1])


@given(NAMES, st.sampled_from(("/", "//", *OTHERS)))
def test_a_key_path_joins_back_to_its_name_and_none_is_below_another(names, separator):
    paths = split_names(names, separator)
    assert {name: name for name in names} == {name: separator.join(path) for name, path in paths.items()}
    leaves = set(paths.values())
    assert len(names) == len(leaves)
    assert not any(path[:depth] in leaves for path in leaves for depth in range(len(path)))


def test_an_empty_separator_splits_nothing():
    assert {"a.b": ("a.b",)} == split_names(["a.b"], "")
    assert [] == collisions({"a.b": ("a.b",)}, "")


def test_a_name_that_another_begins_with_is_noted():
    paths = split_names(["head", "head.scale", "a.b"], ".")
    assert {"head": ("head",), "head.scale": ("head.scale",), "a.b": ("a", "b")} == paths
    (note,) = collisions(paths, ".")
    assert ("note", ("head.scale",)) == (note.severity, note.paths)
    assert [] == collisions(split_names(["a.b"], "."), ".")
