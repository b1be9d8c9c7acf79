import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.formats.flat_names import collisions, separator_of, split_names

NAMES = st.lists(st.text("ab./", min_size=1, max_size=6), unique=True, max_size=6)


@pytest.mark.parametrize(("names", "separator"), [(["a.b"], "."), (["a.b", "c/d"], "/"), ([], ".")])
def test_a_slash_in_any_name_is_the_separator_of_all(names, separator):
    assert separator == separator_of(names)


@given(NAMES, st.sampled_from("./"))
def test_a_key_path_joins_back_to_its_name_and_none_is_below_another(names, separator):
    paths = split_names(names, separator)
    assert {name: name for name in names} == {name: separator.join(path) for name, path in paths.items()}
    leaves = set(paths.values())
    assert len(names) == len(leaves)
    assert not any(path[:depth] in leaves for path in leaves for depth in range(len(path)))


def test_a_name_that_another_begins_with_is_noted():
    paths = split_names(["head", "head.scale", "a.b"], ".")
    assert {"head": ("head",), "head.scale": ("head.scale",), "a.b": ("a", "b")} == paths
    (note,) = collisions(paths, ".")
    assert ("note", ("head.scale",)) == (note.severity, note.paths)
    assert [] == collisions(split_names(["a.b"], "."), ".")
