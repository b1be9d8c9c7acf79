from dataclasses import replace

import pytest

from migrate.planning.versions.graph import VersionGraph
from migrate.planning.versions.graph_findings import graph_findings, newest
from migrate.rules.folder import RuleFolder
from migrate.rules.recorded_tree import RecordedTree
from migrate.tree import AbstractTree
from tests.planning.versions.test_every_path import rule_file


def graph(*ends):
    """A graph with a rule file for each pair of versions."""
    return VersionGraph(RuleFolder("rules", tuple(rule_file(*pair, name=f"{pair[0]}_{pair[1]}") for pair in ends)))


def trees(*versions, model="m"):
    return [RecordedTree(f"rules/{version}.tree.json", model, version, AbstractTree({})) for version in versions]


def found(graph, recorded=()):
    return [(one.code, one.message) for one in graph_findings(graph, recorded)]


CHAIN = graph((1, 2), (2, 3))


@pytest.mark.parametrize("recorded", [[], trees(1, 2, 3), trees(1, 2, 3, model=None)])
def test_a_chain_has_no_findings_and_one_newest_version(recorded):
    assert [] == found(CHAIN, recorded)
    assert ["m 3"] == list(map(str, newest(CHAIN, recorded)))


def test_a_lone_tree_is_the_newest_version():
    assert ["m 1"] == list(map(str, newest(graph(), trees(1))))
    assert [] == found(graph(), trees(1))


def test_two_newest_versions_are_drawn():
    (one,) = graph_findings(graph((1, 2), (2, 3), (2, 4)))

    assert ("M603", "rules has 2 newest versions: m 3, m 4") == (one.code, one.message)
    assert "rules/2_4.yaml:3:1" == str(one.span)
    assert ("m 1", "↓  m 2   rules/1_2.yaml", "├─ m 3   rules/2_3.yaml", "└─ m 4   rules/2_4.yaml") == one.snippet


def test_a_circle_is_drawn():
    (one,) = graph_findings(graph((1, 2), (2, 3), (3, 2)))

    assert ("M604", "rule files in rules lead in a circle: m 2 → m 3 → m 2") == (one.code, one.message)
    assert "rules/3_2.yaml:3:1" == str(one.span)


def test_a_gap_is_named_with_both_ends():
    (one,) = graph_findings(graph((1, 2), (3, 4)))

    assert ("M602", "no rule files of rules lead from m 2 to m 3") == (one.code, one.message)
    assert "rules/3_4.yaml:2:1" == str(one.span)
    assert ("m 1", "↓  m 2   rules/1_2.yaml", "m 3", "↓  m 4   rules/3_4.yaml") == one.snippet


def test_a_recorded_version_without_a_rule_file_is_a_gap():
    assert [("M602", "no rule files of rules lead from m 3 to m 7")] == found(CHAIN, trees(1, 2, 3, 7))


def test_two_chains_between_two_versions_are_ambiguous():
    ((code, message),) = found(graph((1, 2), (2, 3), (1, 3)))

    assert ("M603", "2 or more chains of rule files lead from m 1 to m 3") == (code, message)


def test_several_problems_are_found_at_once():
    several = graph((1, 2), (1, 3), (5, 6), (6, 5), (8, 9))

    assert ["M602", "M602", "M603", "M604"] == [code for code, _ in found(several)]


def test_two_models_are_no_gap():
    one, other = rule_file(1, 2), rule_file(1, 2, name="other")
    other = replace(other, source=replace(other.source, model="n"), target=replace(other.target, model="n"))
    two = VersionGraph(RuleFolder("rules", (one, other)))

    assert [] == found(two)
    assert ["m 2", "n 2"] == list(map(str, newest(two)))
