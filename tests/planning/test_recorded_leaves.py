"""Leaves that a record lists, compared with those of a checkpoint in which the model may be a part."""

from pathlib import Path

import pytest

from migrate.formats.reader import AbstractCheckpoint
from migrate.metadata import Metadata
from migrate.planning.recorded_leaves import LeafChange, changes_since_record, leaf_changes, listed_changes, part_like
from tests.planning.trees import tree

MODEL = {"a/w": "f", "b/w": "g"}


def test_changes_name_both_sides():
    changes = leaf_changes({"a": "f", "b": "g"}, {"b": "h", "c": "i"})
    assert [LeafChange("a", "f", "absent"), LeafChange("b", "g", "h"), LeafChange("c", "absent", "i")] == changes
    assert "`a` was f, is absent; `b` was g, is h; `c` was absent, is i" == listed_changes(changes)
    assert listed_changes(changes * 3).endswith("; and 4 more")


@pytest.mark.parametrize(
    ("found", "part"),
    [
        (MODEL, MODEL),
        ({**MODEL, "opt/mu/a/w": "f"}, MODEL),
        ({"model/a/w": "f", "model/b/w": "g", "opt/mu/a/w": "f", "opt/mu/b/w": "x", "step": "i"}, MODEL),
        ({"s/model/a/w": "f", "s/model/b/w": "other", "step": "i"}, {"a/w": "f", "b/w": "other"}),
        ({"model/a/w": "f", "model/c/w": "g"}, {"a/w": "f", "c/w": "g"}),
        ({"x": "f"}, {"x": "f"}),
    ],
)
def test_the_part_is_the_subtree_that_is_most_like_the_model(found, part):
    assert part == part_like(MODEL, found)


def checkpoint(items, unread=()):
    return AbstractCheckpoint(
        Path("old"), "test", {name: tree(leaves) for name, leaves in items.items()}, unread=unread
    )


def record(leaves, **fields):
    return Metadata(leaves=tree(leaves).signature, **fields)


def test_a_record_of_a_model_ignores_the_state_beside_it_and_that_of_a_migration_does_not():
    saved = checkpoint({"": {"model/w": "2", "step": "int32:"}})
    assert [] == changes_since_record(saved, record({"w": "2"}))
    changes = changes_since_record(saved, record({"model/w": "2"}, source_structure_hash="sha256:00"))
    assert ["step"] == [change.path for change in changes]


def test_of_one_item_of_several_only_its_own_leaves_are_compared():
    recorded = record({"model/w": "2", "opt/mu": "2"}, source_structure_hash="sha256:00")
    assert [] == changes_since_record(checkpoint({"model": {"w": "2"}}, unread=("opt",)), recorded)
    assert ["w"] == [c.path for c in changes_since_record(checkpoint({"model": {"w": "3"}}, unread=("opt",)), recorded)]
    assert [] == changes_since_record(checkpoint({"state": {"w": "2"}}), record({"w": "2"}, source_structure_hash="x"))
