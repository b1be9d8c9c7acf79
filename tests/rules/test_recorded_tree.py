import pytest

from migrate.codes import InvalidRecordedTree
from migrate.errors import RuleFileError, UsageError
from migrate.rules.recorded_tree import RecordedTree, TracedCall, read_tree, require_callable, tree_text
from migrate.template.facts import ModelFacts
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, Sharding

TREE = AbstractTree.build(
    [
        (("layers", "0", "kernel"), AbstractLeaf("array", AbstractArray((2, 3), "bfloat16"), box="value")),
        (("layers", "1", "a/b"), AbstractLeaf("array", AbstractArray((4,), "float32"), sharding=Sharding((), (None,)))),
        (("step",), AbstractLeaf("scalar", AbstractArray((), "int64"))),
        (("name",), AbstractLeaf("string")),
        (("no",), AbstractLeaf("none")),
        (("empty",), AbstractLeaf("empty", container="tuple")),
        (("rngs", "key"), AbstractLeaf("array", AbstractArray((), "key<fry>"))),
    ],
    {("layers",): "list"},
)
RECORDED = RecordedTree("models:make", "lm", 3, TREE, frozenset({"scale_by_adam"}), x64=False)


def test_a_tree_is_read_as_it_was_written(tmp_path):
    file = tmp_path / "3.tree.json"
    file.write_text(tree_text(RECORDED))
    found = read_tree(file)

    assert (TREE, "lm", 3, RECORDED.transforms, False) == (
        found.tree,
        found.model,
        found.version,
        found.transforms,
        found.x64,
    )
    assert tree_text(RECORDED) == tree_text(found)


def test_each_leaf_has_a_line():
    lines = tree_text(RECORDED).splitlines()

    assert '    "layers/0/kernel": {"kind": "array", "dtype": "bfloat16", "shape": [2, 3], "box": "value"},' in lines


def test_a_tree_without_leaves_is_read_too(tmp_path):
    file = tmp_path / "1.tree.json"
    file.write_text(tree_text(RecordedTree("m:f", None, "1", AbstractTree({}))))

    assert {} == read_tree(file).tree.leaves


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("{", "[", "cannot be read"),
        ('"migrate": 1', '"migrate": 2', "has no field `migrate` with the value 1"),
        ('"version": 3', '"version": null', "`version` is None"),
        ('"kind": "none"', '"kind": "odd"', "`odd` is none of array"),
        ("[2, 3]", "[3, 2]", "was edited"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path, before, after, why):
    file = tmp_path / "3.tree.json"
    file.write_text(tree_text(RECORDED).replace(before, after, 1))
    with pytest.raises(RuleFileError) as caught:
        read_tree(file)

    (problem,) = caught.value.diagnostics
    assert InvalidRecordedTree.number == problem.code
    assert why in problem.message
    assert str(file) in problem.message


FACTS = ModelFacts("sha256:1", {"models": "sha256:2"}, {"width": 4}, {"width": (4,), "rate": (0.5, 1)}, ("scale",))
CALL = TracedCall("models:make", {"width": 4}, "items", FACTS, {("layers", "0", "kernel"): "Param"})
OF_NO_VERSION = RecordedTree("models:make", "lm", None, TREE, call=CALL)


def test_the_call_that_made_a_tree_is_read_as_it_was_written(tmp_path):
    file = tmp_path / "lm.tree.json"
    file.write_text(tree_text(OF_NO_VERSION))
    found = read_tree(file)

    assert (None, CALL) == (found.version, found.call)
    assert tree_text(OF_NO_VERSION) == tree_text(found)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ('"layout": "items"', '"layout": "odd"', "`odd` is none of state"),
        ('"args": {"width": 4}', '"args": 4', "`args` is 4"),
        ('"graph_digest": "sha256:1", ', "", "'graph_digest'"),
        ('"template": "models:make"', '"other": 1', "'version'"),
    ],
)
def test_an_invalid_call_is_refused(tmp_path, before, after, why):
    file = tmp_path / "lm.tree.json"
    text = tree_text(OF_NO_VERSION)
    assert before in text
    file.write_text(text.replace(before, after, 1))
    with pytest.raises(RuleFileError) as caught:
        read_tree(file)

    assert why in caught.value.diagnostics[0].message


def test_code_is_refused_where_only_a_tree_is_recorded(tmp_path):
    file = tmp_path / "lm.tree.json"
    file.write_text(tree_text(OF_NO_VERSION))
    require_callable("models:make", "a probe runs")
    with pytest.raises(UsageError) as caught:
        require_callable(str(file), "a probe runs")

    (problem,) = caught.value.diagnostics
    assert f"a probe runs the model, and {file} records only its tree" == problem.message
    assert "name the model: `--template models:make`" == problem.help
