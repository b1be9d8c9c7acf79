"""The code of a tree makes the same tree, in few lines, whatever the names are: covers `stub`."""

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.template.stub import FUNCTION, InexpressibleTreeError, stub_code, stub_tree
from migrate.template.template import described
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree


def array(*shape: int, dtype: str = "float32", box: str | None = None) -> AbstractLeaf:
    return AbstractLeaf("array", AbstractArray(shape, dtype), box=box)


def tree_of(leaves: dict[str, AbstractLeaf], **containers: Any) -> AbstractTree:
    pairs = [(tuple(path.split("/")), leaf) for path, leaf in leaves.items()]
    return AbstractTree.build(pairs, {tuple(path.split("/")): kind for path, kind in containers.items()})


def made_by(code: str) -> Any:
    names: dict[str, Any] = {}
    exec(compile(code, "template.py", "exec"), names)
    return names[FUNCTION]()


def tree_of_code(code: str) -> AbstractTree:
    return described(made_by(code), "template:make_state").tree


def same(tree: AbstractTree) -> str:
    """Checks that the code makes the tree, and returns the code."""
    code = stub_code(tree)
    made = tree_of_code(code)
    assert stub_tree(tree) == made
    assert tree.structure_hash == made.structure_hash
    return code


def lines(code: str) -> int:
    return len(code.splitlines())


def layer(prefix: str) -> dict[str, AbstractLeaf]:
    return {f"{prefix}/kernel": array(64, 64), f"{prefix}/bias": array(64), f"{prefix}/scale": array(1, 64)}


def test_numbered_layers_are_a_comprehension():
    code = same(tree_of({path: leaf for i in range(40) for path, leaf in layer(f"params/Dense_{i}").items()}))
    assert 'f"Dense_{i}"' in code
    assert "range(40)" in code
    assert 16 > lines(code)


def test_moments_are_calls_of_the_function_of_the_params():
    names = ("params", "opt_state/0/mu", "opt_state/0/nu")
    code = same(tree_of({path: leaf for name in names for path, leaf in layer(f"{name}/head").items()}))
    assert 1 == code.count("def params():")
    assert 3 == code.count("params()") - code.count("def params()")
    assert 1 == code.count("Array((64, 64)")


def test_every_kind_of_leaf():
    leaves = {
        "a/int": AbstractLeaf("scalar", AbstractArray((), "int64")),
        "a/float": AbstractLeaf("scalar", AbstractArray((), "float64")),
        "a/bool": AbstractLeaf("scalar", AbstractArray((), "bool")),
        "a/text": AbstractLeaf("string"),
        "a/nothing": AbstractLeaf("none"),
        "a/dict": AbstractLeaf("empty"),
        "a/list": AbstractLeaf("empty", container="list"),
        "a/tuple": AbstractLeaf("empty", container="tuple"),
        "a/boxed": array(2, box="value"),
        "a/old_box": array(2, box="raw_value"),
        "a/key": array(dtype="key<fry>"),
        "a/keys": array(3, dtype="key<rbg>"),
        **{f"b/{dtype}": array(2, dtype=dtype) for dtype in ("bfloat16", "int4", "float8_e4m3fn", "int64", "float64")},
    }
    code = same(tree_of(leaves))
    assert 'KEY_FRY = jax.random.key(0, impl="threefry2x32").dtype' in code.replace("'", '"')


def test_numbers_of_numpy_are_arrays_without_dimensions():
    number = AbstractLeaf("scalar", AbstractArray((), "float32"))
    made = tree_of_code(stub_code(tree_of({"a/n": number})))
    assert {("a", "n"): array()} == made.leaves


def test_lists_and_tuples():
    leaves = {f"l/{i}/w": array(2) for i in range(5)} | {"t/0": array(1), "t/1": array(2), "one/0": array(3)}
    code = same(tree_of(leaves, l="list", t="tuple", one="tuple"))
    assert "for _ in range(5)]" in code
    assert "(Array((3,), " in code
    assert isinstance(made_by(code)["one"], tuple)


def test_opaque_leaves_are_left_out():
    tree = tree_of({"l/0": AbstractLeaf("opaque", content="text[2]"), "l/1": array(2)}, l="list")
    assert {"l": {"1"}} == {name: set(node) for name, node in made_by(stub_code(tree)).items()}


@pytest.mark.parametrize("paths", [[()], [("a",), ("a", "b")], []])
def test_a_tree_that_no_pytree_has_is_refused(paths):
    with pytest.raises(InexpressibleTreeError):
        stub_code(AbstractTree.build([(path, array(1)) for path in paths]))


@pytest.mark.parametrize(
    ("numbers", "code"),
    [((0, 1, 2), "range(3)"), ((2, 3), "range(2, 4)"), ((1, 3, 5), "range(1, 6, 2)"), ((0, 1, 5), "(0, 1, 5)")],
)
def test_numbers_are_a_range_where_they_have_one_distance(numbers, code):
    assert f"for i in {code}" in same(tree_of({f"a/l{i}": array(2) for i in numbers}))


def test_ten_thousand_leaves_are_few_lines():
    blocks = {
        path: leaf
        for i in range(300)
        for name in ("q", "k", "v", "o", "up", "down", "gate", "norm", "extra", "more", "last")
        for path, leaf in layer(f"params/blocks/{i}/{name}").items()
    }
    odd = {f"params/other/{chr(97 + i % 26)}{'x' * (i // 26)}y": array(i % 3 + 1) for i in range(100)}
    code = same(tree_of({**blocks, **odd}))
    assert len(blocks) + len(odd) == 10_000
    assert 120 > lines(code)
    assert 100 >= max(map(len, code.splitlines()))


def test_a_name_that_is_taken_is_not_that_of_a_function():
    parts = ("range", "str", "dict", "i", "class", "make_state", "jax")
    leaves = {path: leaf for name in parts for n in range(2) for path, leaf in layer(f"{name}/{n}/{name}").items()}
    leaves |= {f"{name}/{n}/{name}/{name}": array(7) for name in parts for n in range(2)}
    leaves |= {f"other/{name}/{path}": leaf for name in parts for path, leaf in layer(name).items()}
    leaves |= {f"other/{name}/{name}/{name}": array(7) for name in parts}
    same(tree_of(leaves))


def test_a_deep_tree_is_code_that_python_reads():
    same(AbstractTree.build([(("a",) * depth + ("w1",), array(2)) for depth in (199, 120)]))


NAMES = st.one_of(
    st.text(min_size=1, max_size=6),
    st.sampled_from(["0", "1", "a1", "a2", "{i}", "{", "'", '"', "\"'", "\\", "\n", "fromkeys([", "a, b", "**{", "é3"]),
)
LEAVES = st.sampled_from([array(1), array(2, 3), AbstractLeaf("none"), AbstractLeaf("empty")])


@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map(tuple), LEAVES, min_size=1, max_size=40))
def test_any_names_make_code_that_makes_the_tree_and_runs_nothing_else(leaves):
    nodes = {path[:depth] for path in leaves for depth in range(1, len(path))}
    tree = AbstractTree.build([(path, leaf) for path, leaf in leaves.items() if path not in nodes])
    code = stub_code(tree)
    called = {ast.unparse(node.func) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)}
    defined = {node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
    assert called <= {"Array", "dict.fromkeys", "range", "str"} | defined
    found = made_by(code)
    for path, leaf in tree.leaves.items():
        node = found
        for name in path:
            node = node[name]
        expected = leaf.aval.shape if leaf.aval else {"none": None, "empty": {}}[leaf.kind]
        assert expected == getattr(node, "shape", node)
