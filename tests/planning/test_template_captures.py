"""Numbers of layers in a template."""

from collections.abc import Mapping

import pytest

from migrate.planning.template_captures import TemplateCaptures
from migrate.rules.pattern import Pattern
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree

PATHS = [
    *(("decoder", "layers", str(i), leaf) for i in range(12) for leaf in ("q", "k")),
    *(("encoder", "layers", str(i), "q") for i in range(3)),
    ("encoder", "layers", "last", "q"),
    ("head", "kernel"),
]


def tree(paths=PATHS):
    return AbstractTree({path: AbstractLeaf("array", AbstractArray((2,), "float32")) for path in paths})


def patterns(*texts):
    return [Pattern.parse(text) for text in texts]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"stack": "decoder", "leaf": ("q",)}, 12),
        ({"stack": "encoder", "leaf": ("q",)}, 3),  # `last` is no number
        ({"stack": "encoder", "leaf": ("k",)}, None),
        ({"stack": "decoder"}, 12),
        ({"stack": "decoder", "other": "1"}, 12),
        ({}, 12),
    ],
)
def test_numbers_are_counted_where_the_known_captures_have_their_values(known, expected):
    captures = TemplateCaptures(patterns("{stack}/layers/{i}/{leaf:**}"), tree())
    assert expected == captures.count("i", known)


def test_the_numbers_of_all_targets_count_once():
    captures = TemplateCaptures(patterns("decoder/layers/{i}/q", "encoder/layers/{i}/q", "head/kernel"), tree())
    assert 12 == captures.count("i", {})


def test_nothing_is_known_without_a_template():
    assert TemplateCaptures(patterns("{stack}/layers/{i}/q"), None).count("i", {"stack": "decoder"}) is None


def test_the_key_paths_are_read_once_for_all_tasks_of_a_rule():
    class Counting(Mapping):
        reads = 0

        def __getitem__(self, path):
            return leaves[path]

        def __len__(self):
            return len(leaves)

        def __iter__(self):
            type(self).reads += 1
            return iter(leaves)

    leaves = tree().leaves
    template = tree()
    object.__setattr__(template, "leaves", Counting())
    captures = TemplateCaptures(patterns("{stack}/layers/{i}/{leaf:**}"), template)
    counts = [captures.count("i", {"stack": s, "leaf": (n,)}) for s in ("decoder", "encoder") for n in ("q", "k")]
    assert [12, 12, 3, None] == counts
    assert 1 == Counting.reads
