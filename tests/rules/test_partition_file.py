"""Partition files: the first matching entry applies, and every mistake is reported with its location.

`tests/planning/test_partition.py` applies them to trees.
"""

import pytest

from migrate.errors import RuleFileError
from migrate.rules.partition_file import load_partition


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(text):
        (tmp_path / "p.yaml").write_text(text)
        return load_partition("p.yaml")

    return load


def refused(load, text):
    with pytest.raises(RuleFileError) as caught:
        load(text)
    return [(d.code, str(d.span)) for d in caught.value.diagnostics]


def test_the_first_entry_that_matches_applies(load):
    partition = load('- "a/**": [model]\n- "**": [null, [data, model]]\n')
    assert [(("model",),), (None, ("data", "model"))] == [partition.find(path).spec for path in [("a", "b"), ("b",)]]
    assert ("p.yaml", 2) == (partition.find(("b",)).span.file, partition.find(("b",)).span.line)


def test_a_leaf_without_an_entry_has_none(load):
    assert load("- a: []\n").find(("b",)) is None


def test_an_empty_list_of_axes_is_no_axis(load):
    assert (None, ("x",)) == load("- a: [[], x]\n").find(("a",)).spec


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("", [("M003", "p.yaml:1:1")]),
        ("text", [("M003", "p.yaml:1:1")]),
        ("- a\n- b: x\n", [("M104", "p.yaml:1:3"), ("M104", "p.yaml:2:6")]),
        ("- c: [1, x, [2]]\n", [("M104", "p.yaml:1:7"), ("M104", "p.yaml:1:13")]),
        ('- "{i%2}": []\n', [("M106", "p.yaml:1:4")]),
        ("- a: [\n", [("M001", "p.yaml:2:1")]),
    ],
)
def test_every_mistake_is_reported_at_its_place(load, text, findings):
    assert findings == refused(load, text)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(RuleFileError) as caught:
        load_partition(tmp_path / "none.yaml")
    assert ["M004"] == [d.code for d in caught.value.diagnostics]
