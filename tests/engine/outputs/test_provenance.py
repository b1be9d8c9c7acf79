"""The metadata of a new checkpoint: its structure, its history, and the source's own metadata."""

from dataclasses import replace

import pytest

from migrate.engine.items import recorded_tree
from migrate.engine.outputs.provenance import ITEMS, new_metadata
from migrate.metadata import KEY
from tests.engine.sources import opened, plan_for, save


@pytest.fixture
def plan(tmp_path):
    with opened(save(tmp_path / "old", {"a": 1.0})) as reader:
        return plan_for(reader, 'rules: ["a -> b"]')


def test_it_records_the_new_structure_and_where_it_came_from(plan):
    record = new_metadata(plan)[KEY]
    assert recorded_tree(plan.target).structure_hash == record["structure_hash"]
    assert plan.source.structure_hash == record["source_structure_hash"]
    (migration,) = record["history"]
    assert (plan.digest, plan.rules.digest) == (migration["plan_digest"], migration["rules_digest"])


def test_a_second_migration_is_appended_to_the_history(plan):
    again = replace(plan, source=replace(plan.source, metadata=new_metadata(plan)))
    assert 2 == len(new_metadata(again)[KEY]["history"])


def test_what_the_source_recorded_under_other_keys_is_kept(plan):
    with_run = replace(plan, source=replace(plan.source, metadata={"run": "x12"}))
    assert "x12" == new_metadata(with_run)["run"]


def test_json_items_are_kept_in_the_metadata_of_a_pytree_and_only_there(plan):
    with_item = replace(plan, source=replace(plan.source, extras={"config": {"lr": 1}}), extras=("config",))
    assert {"config": {"lr": 1}} == new_metadata(with_item)[KEY][ITEMS]
    assert ITEMS not in new_metadata(replace(with_item, as_step=True))[KEY]
