"""The metadata of a new checkpoint: its structure, its history, and the source's own metadata."""

from dataclasses import replace

import pytest

from migrate.engine.items import recorded_tree
from migrate.engine.outputs.provenance import new_metadata
from migrate.metadata import ITEMS, KEY, Metadata
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


FACTS = {"graph_digest": "g", "code_digests": {"net": "c"}, "hyperparameters": {"heads": 2}, "transforms": ("adam",)}


def recorded_after(plan, **before):
    source = replace(plan.source, metadata={KEY: Metadata(**before).to_json()} if before else {})
    return Metadata.from_json(new_metadata(replace(plan, source=source)))


def test_the_model_is_that_of_the_template(plan):
    with_facts = replace(plan, model_facts=FACTS)
    record = recorded_after(with_facts, graph_digest="old", hyperparameters={"depth": 1}, transforms=("sgd",))
    assert FACTS == {name: getattr(record, name) for name in FACTS}
    target = replace(plan.rules.target, args={"heads": 4})
    with_args = replace(with_facts, rules=replace(plan.rules, target=target))
    assert {"heads": 4} == recorded_after(with_args).hyperparameters


def test_without_a_template_what_rules_do_not_change_is_kept(plan):
    record = recorded_after(plan, **FACTS)
    assert (None, {}, {"heads": 2}, ("adam",)) == tuple(getattr(record, name) for name in FACTS)
    unchanged = replace(plan, rules=replace(plan.rules, rules=()))
    assert FACTS == {name: getattr(recorded_after(unchanged, **FACTS), name) for name in FACTS}


def test_a_pytree_without_modules_keeps_what_was_recorded(plan):
    empty = {"graph_digest": None, "code_digests": {}, "hyperparameters": {}, "transforms": ()}
    record = recorded_after(replace(plan, model_facts=empty), **FACTS)
    assert (None, {}, {"heads": 2}, ("adam",)) == tuple(getattr(record, name) for name in FACTS)
