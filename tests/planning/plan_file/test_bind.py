"""A plan file is bound to a structure, and what depends on the checkpoint is decided for the one at hand."""

from dataclasses import replace

import pytest

from migrate.errors import PlanError
from migrate.metadata import KEY
from migrate.planning.plan_file.bind import bound
from migrate.planning.plan_file.write import plan_text
from migrate.tree import AbstractTree, Storage
from tests.planning.plan_file.plans import SOURCE, again, read, small
from tests.planning.trees import Template, checkpoint, codes


def stale(plan, source, template=None):
    with pytest.raises(PlanError) as caught:
        bound(read(plan_text(plan)), source, template)
    (found,) = caught.value.diagnostics
    assert "M322" == found.code
    return found


def test_another_checkpoint_of_the_structure_is_fine():
    plan = small()
    other = replace(checkpoint(SOURCE), step=7)
    made = again(plan, other)
    assert 7 == made.source.step
    assert plan.digest == made.digest


def test_a_changed_structure_is_refused_leaf_by_leaf():
    found = stale(small(), checkpoint({**SOURCE, "q/1": "5", "more": "1"} | {"n": "string"}))
    changes = "`more` was absent, is float32[1]; `n` was none, is string; `q/1` was float32[4], is float32[5]"
    assert found.message.endswith(changes)
    assert ("more", "n", "q/1") == found.paths
    assert "migrate plan RULES SRC" in found.help


def test_a_plan_for_one_item_of_a_step_names_the_option():
    params, state = checkpoint({"a": "2"}), checkpoint({"s": "3"})
    step = replace(params, items={"params": params.tree, "state": state.tree})
    assert "`--item params` chooses the item that the plan is for" == stale(small("- 'a -> b'", {"a": "2"}), step).help


def test_many_changed_leaves_are_counted():
    source = {f"l{i}": "2" for i in range(9)}
    found = stale(small("rules: []", source), checkpoint(dict.fromkeys(source, "3")))
    assert found.message.endswith("; and 4 more")
    assert 9 == len(found.paths)


def test_without_a_template_lists_decide_the_target_and_with_one_they_do_not():
    source = {"a/0": "2", "a/1": "2"}
    listed = checkpoint(source, {"a": "list"})
    found = stale(small("rules: []", source), listed)
    assert "`a/` was absent, is a list" in found.message
    assert "list" == again(small("rules: []", source, containers={"a": "list"}), listed).target.container(("a",))
    assert again(small("rules: []", source, source), listed).applicable


def stored(source, driver, **fields):
    storage = Storage(driver, encoding="e", database=True)
    leaves = {
        path: replace(leaf, storage=replace(storage, chunks=leaf.aval.shape)) if leaf.aval else leaf
        for path, leaf in source.tree.leaves.items()
    }
    return replace(source, items={"": AbstractTree(leaves, source.tree.containers)}, locates_chunks=True, **fields)


@pytest.mark.parametrize("made_of", ["zarr2", "zarr3", "streamed"])
@pytest.mark.parametrize("applied_to", ["zarr2", "zarr3", "streamed"])
def test_links_are_decided_for_the_checkpoint_at_hand(made_of, applied_to):
    sources = {
        "zarr2": stored(checkpoint(SOURCE), "zarr2"),
        "zarr3": stored(checkpoint(SOURCE), "zarr3", zarr3=True),
        "streamed": checkpoint(SOURCE),
    }

    def plan_of(source):
        return small(locates_chunks=False) if source is None else _planned(source)

    plan, wanted = plan_of(sources[made_of]), plan_of(sources[applied_to])
    assert wanted.digest == again(plan, sources[applied_to]).digest
    modes = {task.mode for task in again(plan, sources[applied_to]).tasks}
    assert ("relink" in modes) == (applied_to != "streamed")
    assert {"stream"} == {task.mode for task in bound(read(plan_text(plan)), sources[applied_to], link=False).tasks}


def _planned(source):
    from migrate.planning.planner import make_plan

    return make_plan(source, small().rules, None)


def test_json_items_that_the_rules_drop_are_dropped_and_others_are_kept():
    plan = small("- 'a -> b'\n- drop: config", {"a": "2"}, extras={"config": {}, "metrics": {}})
    assert ("metrics",) == plan.extras
    other = checkpoint({"a": "2"}, extras={"config": {}, "notes": {}})
    assert ("notes",) == again(plan, other).extras


def test_guards_are_checked_again():
    plan = small("source: {model: tiny, version: 1}\nrules: ['a -> b']", {"a": "2"})
    other = checkpoint({"a": "2"}, metadata={KEY: {"model": "tiny", "version": 2}})
    assert ["M308"] == codes(again(plan, other))
    assert [] == codes(again(plan))


def test_a_migrated_checkpoint_is_refused():
    plan = small("- 'a -> b'", {"a": "2"})
    row = {"rules": "r", "rules_digest": plan.rules.digest, "source_structure_hash": "", "plan_digest": "", "date": ""}
    migrated = checkpoint({"a": "2"}, metadata={KEY: {"history": [row]}})
    assert ["M502"] == codes(again(plan, migrated))


def test_a_template_must_be_the_target():
    plan = small("- 'a -> b'", {"a": "2"}, {"b": "2"})
    found = stale(plan, plan.source, Template({"b": "3", "c": "1"}))
    assert "`b` was float32[2], is float32[3]; `c` was absent, is float32[1]" in found.message


def test_only_a_template_of_the_caller_may_be_called_without_a_need():
    plan = small("target: {template: 'tests:template'}\nrules: ['a -> b']", {"a": "2"}, {"b": "2"})
    assert plan.has_callable_model
    assert not again(plan).has_callable_model
    given = bound(read(plan_text(plan)), plan.source, Template({"b": "2"}))
    assert given.has_callable_model
    assert () == given.rules.template_code
    assert plan.digest == given.digest


def test_what_is_known_of_the_model_is_recorded_and_compared_again():
    facts = {
        "graph_digest": "sha256:1",
        "code_digests": {"m": "sha256:2"},
        "hyperparameters": {"width": 4, "names": ["a"]},
        "transforms": ("adam",),
    }
    plan = replace(small("- 'a -> b'", {"a": "2"}, {"b": "2"}), model_facts=facts)
    assert facts == again(plan).model_facts
    saved = {"hyperparameters": {"width": 8}, "code_digests": {"m": "sha256:3"}}
    other = checkpoint({"a": "2"}, metadata={KEY: saved})
    assert {"M310", "M311"} == {*codes(again(plan, other))}
    assert plan_text(plan) == plan_text(again(plan, other))
