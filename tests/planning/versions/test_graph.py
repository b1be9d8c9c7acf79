import pytest

from migrate.codes import AmbiguousUpgradePath, CircularVersions, NoUpgradePath, UnknownVersion
from migrate.errors import MigrateError
from migrate.planning.versions.graph import ModelVersion, VersionGraph, draw
from migrate.rules.folder import RuleFolder
from migrate.rules.loader import parse_rules


def graph(*ends, model="m"):
    """The graph of rule files that lead from one version to another: `1>2` with an optional name, `1>2:a`."""
    files = []
    for end in ends:
        versions, _, name = end.partition(":")
        source, target = versions.split(">")
        named = f"model: {model}, " if model else ""
        text = f"migrate: 1\nsource: {{{named}version: {source}}}\ntarget: {{{named}version: {target}}}\nrules: []\n"
        files.append(parse_rules(text, f"rules/{name or target}.yaml"))
    return VersionGraph(RuleFolder("rules", tuple(files)))


def refused(made, start, end=None):
    with pytest.raises(MigrateError) as caught:
        made.path(made.find("m", start), made.find("m", end) if end is not None else None)
    (problem,) = caught.value.diagnostics
    return problem


def files(path):
    return [step.rules.path.removeprefix("rules/") for step in path]


def test_the_path_leads_to_the_only_head():
    made = graph("1>2", "2>3", "3>4")

    assert ["3.yaml", "4.yaml"] == files(made.path(made.find("m", 2)))
    assert ["2.yaml", "3.yaml"] == files(made.path(made.find("m", 1), made.find("m", "3")))
    assert (ModelVersion("m", "4"),) == made.heads


def test_versions_are_ordered_as_numbers():
    assert ["2", "9", "10"] == [one.version for one in graph("9>10", "2>9").versions]


def test_a_file_that_names_no_model_belongs_to_the_only_one():
    made = graph("1>2", model=None)

    assert ["2.yaml"] == files(made.path(made.find(None, 1)))
    assert ["2.yaml"] == files(made.path(made.find("any", 1)))


def test_a_missing_step_is_drawn():
    problem = refused(graph("1>2", "3>4"), 1, 4)

    assert (NoUpgradePath.number, "no rule files of rules lead from m 1 to m 4") == (problem.code, problem.message)
    assert ("m 1", "↓  m 2   rules/2.yaml", "m 3", "↓  m 4   rules/4.yaml") == problem.snippet
    assert "write the rule file from m 2 on" in problem.help


def test_two_heads_are_named():
    problem = refused(graph("1>2", "2>3:a", "2>4:b"), 1)

    assert AmbiguousUpgradePath.number == problem.code
    assert "from m 1, the rule files of rules lead to 2 newest versions: m 3, m 4" == problem.message
    assert "name one: `--to 3`; the rule files:" == problem.help
    assert ("m 1", "↓  m 2   rules/2.yaml", "├─ m 3   rules/a.yaml", "└─ m 4   rules/b.yaml") == problem.snippet


def test_two_files_for_one_step_are_ambiguous():
    problem = refused(graph("1>2:a", "1>2:b", "2>3"), 1)

    assert (AmbiguousUpgradePath.number, "2 or more chains of rule files lead from m 1 to m 3") == (
        problem.code,
        problem.message,
    )
    assert ("m 1", "├─ m 2   rules/a.yaml", "│  ↓  m 3   rules/3.yaml", "└─ m 2   rules/b.yaml (drawn above)") == (
        problem.snippet[0], *problem.snippet[1:],
    )  # fmt: skip


def test_a_circle_is_drawn():
    problem = refused(graph("1>2", "2>3", "3>2:back"), 1, 3)

    assert (CircularVersions.number, "rule files in rules lead in a circle: m 2 → m 3 → m 2") == (
        problem.code,
        problem.message,
    )
    assert ("m 2", "↓  m 3   rules/3.yaml", "↓  m 2   rules/back.yaml (drawn above)") == problem.snippet


def test_a_circle_elsewhere_does_not_matter():
    made = graph("1>2", "2>1:back", "5>6")

    assert ["6.yaml"] == files(made.path(made.find("m", 5)))
    assert 2 == len(made.circle())


def test_the_newest_version_needs_no_upgrade():
    assert "the checkpoint is m 2 already, the newest version" == refused(graph("1>2"), 2).message


def test_an_unknown_version_is_refused_with_the_known_ones():
    with pytest.raises(MigrateError) as caught:
        graph("1>2", "2>3").find("m", 9)

    (problem,) = caught.value.diagnostics
    assert UnknownVersion.number == problem.code
    assert "rules has no version m 9; it has m 1, m 2, m 3" == problem.message


def test_a_version_of_several_models_needs_the_model():
    one, other = graph("1>2"), graph("1>2", model="n")
    both = VersionGraph(RuleFolder("rules", tuple(step.rules for step in (*one.steps, *other.steps))))

    assert ModelVersion("n", "1") == both.find("n", 1)
    with pytest.raises(MigrateError, match="version 1 is one of several models in rules: m 1, n 1"):
        both.find(None, 1)


def test_many_paths_are_counted_without_listing_them_all():
    made = graph(*(f"{n}>{n + 1}:{n}{letter}" for n in range(60) for letter in "ab"))

    assert AmbiguousUpgradePath.number == refused(made, 0).code


def test_a_long_chain_is_not_indented():
    lines = draw(graph(*(f"{n}>{n + 1}" for n in range(1, 51))).steps)

    assert 51 == len(lines)
    assert "↓  m 51   rules/51.yaml" == lines[-1]
