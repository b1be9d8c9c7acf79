import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from migrate.codes import CircularVersions, UnfusableSteps, UnusedSource
from migrate.planning.versions.every_path import plan_every_path
from migrate.planning.versions.fuse import fuse
from migrate.planning.versions.graph import ModelVersion
from migrate.rules.folder import RuleFolder
from migrate.rules.loader import parse_rules
from migrate.rules.recorded_tree import RecordedTree, tree_text
from tests.matrix import examples
from tests.planning.trees import checkpoint, tree
from tests.planning.versions import chains
from tests.planning.versions.chains import random_chains, summary


def rule_file(start, end, rules="", template="m:f", name=""):
    """A rule file of a folder, from one version to another."""
    target = f"model: m, version: {end}" + (f", template: {template!r}" if template else "")
    text = f"migrate: 1\nsource: {{model: m, version: {start}}}\ntarget: {{{target}}}\n"
    return parse_rules(text + (f"rules:\n{rules}\n" if rules else "rules: []\n"), f"rules/{name or end}.yaml")


def folder(files, trees):
    """A folder of rule files and recorded trees, the trees by version."""
    recorded = [RecordedTree(f"rules/{version}.tree.json", "m", version, tree(one)) for version, one in trees.items()]
    return RuleFolder("rules", tuple(files), trees=tuple(recorded))


RENAMES = [rule_file(1, 2, '- "a -> b"'), rule_file(2, 3, '- "b -> c"'), rule_file(3, 4, '- "c -> d"')]
TREES = {1: {"a": "2"}, 2: {"b": "2"}, 3: {"c": "2"}, 4: {"d": "2"}}


def ends(paths):
    return [(one.source.version, one.target.version) for one in paths]


def test_every_step_and_every_path_to_the_newest_version_is_planned():
    found = plan_every_path(folder(RENAMES, TREES))

    assert [{("a", "b"): []}, {("b", "c"): []}, {("c", "d"): []}] == [summary(one.plan) for one in found.steps]
    assert [("1", "4"), ("2", "4"), ("3", "4")] == ends(found.paths)
    assert [{("a", "d"): []}, {("b", "d"): []}, {("c", "d"): []}] == [summary(one.plan) for one in found.paths]
    assert [3, 2, 1] == [len(one.steps) for one in found.paths]
    assert [3, 2, 1] == [len(one.plan.applied) for one in found.paths]
    assert () == found.unrecorded


@pytest.mark.parametrize(("missing", "unplanned"), [(1, ["2"]), (3, ["3", "4"]), (4, ["4"])])
def test_a_step_without_a_recorded_tree_is_not_planned(missing, unplanned):
    trees = {version: one for version, one in TREES.items() if version != missing}
    found = plan_every_path(folder(RENAMES, trees))
    gap = ModelVersion("m", str(missing))

    assert (gap,) == found.unrecorded
    assert unplanned == [one.step.target.version for one in found.steps if one.plan is None]
    assert {(gap,)} == {one.missing for one in found.steps if one.plan is None}
    blocked = {one.source.version: [step.target.version for step in one.blocked] for one in found.paths}
    assert unplanned == blocked["1"]
    assert all((one.plan is None) == bool(one.blocked) for one in found.paths)


def test_rules_without_a_template_derive_a_tree_that_is_not_recorded():
    files = [RENAMES[0], rule_file(2, 3, '- "b -> c"', template=None), RENAMES[2]]
    found = plan_every_path(folder(files, {version: TREES[version] for version in (1, 2, 4)}))

    assert () == found.unrecorded
    assert {("a", "d"): []} == summary(found.paths[0].plan)


def test_two_rule_files_may_derive_different_trees_of_one_version():
    files = [
        rule_file(1, 3, '- "a -> c"', template=None),
        rule_file(2, 3, '- "b -> d"', template=None, name="other"),
        rule_file(3, 4, '- "** -> x/**"', template=None),
    ]
    found = plan_every_path(folder(files, {1: {"a": "2"}, 2: {"b": "2"}}))

    paths = {one.source.version: summary(one.plan) for one in found.paths}
    assert {("a", "x/c"): []} == paths["1"]
    assert {("b", "x/d"): []} == paths["2"]


def test_plans_of_paths_are_made_when_they_are_used():
    (first, _, last) = plan_every_path(folder(RENAMES, TREES)).paths

    assert ([True, True], False) == ([first.is_planned, last.is_planned], "plan" in vars(first))
    assert {("a", "d"): []} == summary(first.plan)
    assert first.plan is first.plan


def test_an_inapplicable_step_blocks_the_paths_through_it():
    found = plan_every_path(folder(RENAMES, TREES | {2: {"b": "2", "extra": "2"}}))
    first, second, third = found.steps

    assert (False, False, True) == (first.applicable, second.applicable, third.applicable)
    assert UnusedSource.number in {one.code for one in second.plan.diagnostics}
    assert [(first.step, second.step), (second.step,), ()] == [one.blocked for one in found.paths]
    assert [True, True, False] == [one.plan is None for one in found.paths]


def test_a_path_that_cannot_be_fused_has_the_reason():
    files = [
        rule_file(1, 2, "- create: {to: n, init: template}"),
        rule_file(2, 3, "- {from: [a, n], to: s, ops: [stack]}"),
    ]
    found = plan_every_path(folder(files, {1: {"a": "2"}, 2: {"a": "2", "n": "2"}, 3: {"s": "2,2"}}))
    first, second = found.paths

    assert (None, [UnfusableSteps.number]) == (first.plan, [one.code for one in first.diagnostics])
    assert second.plan is found.steps[1].plan


def test_each_head_has_its_paths():
    branch = rule_file(2, "3b", '- "b -> x"', name="branch")
    found = plan_every_path(folder([*RENAMES[:2], branch], TREES | {"3b": {"x": "2"}}))

    assert [("1", "3"), ("1", "3b"), ("2", "3"), ("2", "3b")] == ends(found.paths)
    assert [{("a", "c"): []}, {("a", "x"): []}] == [summary(one.plan) for one in found.paths[:2]]


def test_a_circle_is_the_reason_that_a_path_has_no_plan():
    files = [*RENAMES, rule_file(3, 2, '- "c -> b"', name="back")]
    found = plan_every_path(folder(files, TREES))

    assert all(one.applicable for one in found.steps)
    first = found.paths[0]
    assert ((), None, [CircularVersions.number]) == (first.steps, first.plan, [one.code for one in first.diagnostics])
    assert {("c", "d"): []} != summary(found.steps[0].plan)


def test_a_folder_without_steps_has_no_paths():
    found = plan_every_path(replace(folder([], {}), others=("part.yaml",)))

    assert ((), (), ()) == (found.steps, found.paths, found.unrecorded)


@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
@given(random_chains())
def test_the_plan_of_each_path_is_that_of_all_its_steps(chain):
    source, rules = chain
    if not rules:
        return
    plans = chains.plan_steps(checkpoint(source), chains.files(*rules), link=False)
    targets = [plans[0].source.tree, *(plan.target for plan in plans)]
    trees = tuple(RecordedTree("m:f", "m", number, one) for number, one in enumerate(targets, start=1))
    found = plan_every_path(RuleFolder("rules", tuple(plan.rules for plan in plans), trees=trees))

    assert len(plans) == len(found.paths)
    for first, path in enumerate(found.paths):
        whole = fuse([one.plan for one in found.steps[first:]], link=False)
        assert whole.applicable == (path.plan is not None)
        if path.plan is not None:
            assert (whole.tasks, whole.dropped, whole.created) == (
                path.plan.tasks,
                path.plan.dropped,
                path.plan.created,
            )
            assert (whole.digest, whole.chain, whole.rules) == (path.plan.digest, path.plan.chain, path.plan.rules)
        else:
            assert [one for one in whole.diagnostics if one.is_error] == list(path.diagnostics)


def test_neither_jax_nor_tensorstore_is_imported(tmp_path):
    for one in RENAMES:
        (tmp_path / f"{one.target.version}.yaml").write_text(one.text)
    for version, leaves in TREES.items():
        (tmp_path / f"{version}.tree.json").write_text(tree_text(RecordedTree("m:f", "m", version, tree(leaves))))
    code = f"""
import json, sys
from migrate.planning.versions.every_path import plan_every_path
from migrate.rules.folder import load_folder
found = plan_every_path(load_folder({str(tmp_path)!r}))
unwanted = {{"jax", "jaxlib", "flax", "optax", "orbax", "tensorstore"}} & {{name.split(".")[0] for name in sys.modules}}
print(json.dumps([len(found.paths), all(one.plan for one in found.paths), sorted(unwanted)]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    assert [3, True, []] == json.loads(done.stdout)
