import pytest

from migrate.errors import RuleFileError
from migrate.planning.partition import assign_shardings
from migrate.rules.partition_file import load_partition
from migrate.sharding import PORTABLE
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, Sharding, parse_path

MESH = (("data", 2), ("model", 4))


def array(*shape, sharding=None):
    return AbstractLeaf("array", AbstractArray(shape, "float32"), sharding=sharding)


def tree(**leaves):
    return AbstractTree.build([(parse_path(path.replace("__", "/")), leaf) for path, leaf in leaves.items()])


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text):
        (tmp_path / "p.yaml").write_text(text)
        return load_partition("p.yaml")

    return write


def mistakes(load, text):
    with pytest.raises(RuleFileError) as caught:
        load(text)
    return [(d.code, str(d.span)) for d in caught.value.diagnostics]


def shardings(tree):
    return {"/".join(path): leaf.sharding for path, leaf in tree.leaves.items()}


def test_the_first_pattern_that_matches_decides(load):
    partition = load('- "**/attn/kernel": [model]\n- "**/kernel": [null, [data, model]]\n- "**": []\n')
    assigned, findings = assign_shardings(
        tree(a__attn__kernel=array(4, 8), a__kernel=array(3, 8), b=array(5)), MESH, partition
    )
    assert () == findings
    assert {
        "a/attn/kernel": Sharding(MESH, (("model",),)),
        "a/kernel": Sharding(MESH, (None, ("data", "model"))),
        "b": Sharding(MESH, ()),
    } == shardings(assigned)


def test_one_mapping_is_as_good_as_a_list(load):
    one, two = load("a: [model]\nb: []\n").entries, load("- a: [model]\n- b: []\n").entries
    assert [("a", (("model",),)), ("b", ())] == [(split.pattern.text, split.spec) for split in one]
    assert [(split.pattern, split.spec) for split in one] == [(split.pattern, split.spec) for split in two]


def test_without_a_mesh_every_array_is_portable():
    wished = Sharding((), (("model",),))
    saved = Sharding((("x", 64),), (("x",),))
    assigned, findings = assign_shardings(
        tree(a=array(4, sharding=wished), b=array(3, sharding=saved), n=AbstractLeaf("none")), None, annotations=True
    )
    assert () == findings
    assert {"a": PORTABLE, "b": PORTABLE, "n": None} == shardings(assigned)


def test_annotations_decide_where_the_partition_says_nothing(load):
    wished = Sharding((), (("model",),))
    leaves = tree(a=array(4, sharding=wished), b=array(4, sharding=wished))
    assigned, _ = assign_shardings(leaves, MESH, load("- a: [data]\n"), annotations=True)
    assert {"a": Sharding(MESH, (("data",),)), "b": Sharding(MESH, (("model",),))} == shardings(assigned)


def test_shardings_that_are_not_annotations_are_replaced():
    saved = Sharding((("x", 64),), (("x",),))
    assigned, _ = assign_shardings(tree(a=array(4, sharding=saved)), MESH)
    assert {"a": Sharding(MESH, ())} == shardings(assigned)


def test_only_arrays_have_shardings():
    scalar = AbstractLeaf("scalar", AbstractArray((), "int64"))
    leaves = tree(n=AbstractLeaf("none"), s=AbstractLeaf("string"), c=scalar, e=AbstractLeaf("empty"))
    assigned, _ = assign_shardings(leaves, MESH)
    assert leaves == assigned


def test_an_open_axis_fits_every_dimension(load):
    _, findings = assign_shardings(tree(a=array(7)), (("data", -1),), load("a: [data]\n"))
    assert () == findings


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("[model]", "dimension 0 of (6, 8) is not divisible by 4 (`model`)"),
        ("[null, [data, model, data]]", "names the axis `data` twice"),
        ("[null, modle]", "the mesh has no axis `modle` but `data`, `model`; did you mean `model`?"),
        ("[null, null, data]", "the spec has 3 entries for 2 dimensions"),
    ],
)
def test_a_sharding_that_does_not_fit_is_an_error_at_its_line(load, spec, words):
    _, findings = assign_shardings(tree(a=array(6, 8)), MESH, load(f"- a: {spec}\n"))
    (finding,) = findings
    assert ("M307", "p.yaml:1:3", ("a",)) == (finding.code, str(finding.span), finding.paths)
    assert words in finding.message


def test_an_annotation_that_does_not_fit_names_the_leaf_and_its_cure():
    wished = Sharding((), (("embed",),))
    _, findings = assign_shardings(tree(a=array(4, sharding=wished)), MESH, annotations=True)
    (finding,) = findings
    assert (None, ("a",)) == (finding.span, finding.paths)
    assert "no axis `embed`" in finding.message
    assert "--partition" in finding.help


def test_findings_of_one_line_and_reason_are_one(load):
    _, findings = assign_shardings(tree(a=array(6), b=array(6), c=array(3)), MESH, load('"*": [model]\n'))
    assert [("a", "b"), ("c",)] == [finding.paths for finding in findings]
    assert "`a` and 1 more" in findings[0].message


def test_a_pattern_that_matches_no_array_is_an_error(load):
    _, findings = assign_shardings(tree(a=array(4), n=AbstractLeaf("none")), MESH, load("- a: []\n- n: []\n- b: []\n"))
    assert [("M201", 2), ("M201", 3)] == [(finding.code, finding.span.line) for finding in findings]


def test_a_pattern_whose_leaves_are_all_decided_above_is_no_error(load):
    _, findings = assign_shardings(tree(a=array(4)), MESH, load('- a: []\n- "**": [model]\n'))
    assert () == findings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("M003", "p.yaml:1:1")]),
        ("model", [("M003", "p.yaml:1:1")]),
        ("- a\n- [b]\n", [("M104", "p.yaml:1:3"), ("M104", "p.yaml:2:3")]),
        ("- a: model\n- b: {x: 1}\n", [("M104", "p.yaml:1:6"), ("M104", "p.yaml:2:6")]),
        ("- a: [1, [data, 2], {}, x]\n", [("M104", "p.yaml:1:7"), ("M104", "p.yaml:1:10"), ("M104", "p.yaml:1:21")]),
        ('- "a/{i": []\n', [("M106", "p.yaml:1:6")]),
        ("- a: []\n- b: [\n", [("M001", "p.yaml:3:1")]),
    ],
)
def test_every_mistake_in_the_file_has_its_place(load, text, expected):
    assert expected == mistakes(load, text)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(RuleFileError) as caught:
        load_partition(tmp_path / "no.yaml")
    assert ["M004"] == [diagnostic.code for diagnostic in caught.value.diagnostics]


def test_a_leaf_whose_sharding_does_not_fit_is_replicated(load):
    assigned, _ = assign_shardings(tree(a=array(6), b=array(8)), MESH, load('"*": [model]\n'))
    assert {"a": Sharding(MESH, ()), "b": Sharding(MESH, (("model",),))} == shardings(assigned)
