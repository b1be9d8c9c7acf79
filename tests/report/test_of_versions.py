from migrate.metadata import Metadata, Migration
from migrate.report.of_versions import heads_report, history_report
from migrate.rules.folder import RuleFolder
from migrate.rules.loader import parse_rules
from migrate.rules.recorded_tree import RecordedTree
from migrate.tree import AbstractTree

STEP = "migrate: 1\nsource: {model: m, version: 1}\ntarget: {model: m, version: 2}\nrules: []\n"


def test_recorded_versions_are_marked_for_programs():
    tree = RecordedTree("2.tree.json", "m", 2, AbstractTree({}))
    report = heads_report(RuleFolder("rules", (parse_rules(STEP, "2.yaml"),), (), (tree,)))

    assert report.ok
    assert [False, True] == [one["recorded"] for one in report.data["versions"]]


def test_a_migration_is_a_line():
    row = Migration("2.yaml", "sha256:1", "sha256:2", "sha256:0123456789abcdef", "2026-01-02T03:04:05+00:00")
    report = history_report("new", Metadata(model="m", version=2, history=(row,)))

    assert "new: m 2, 1 migration" == report.title
    (line,) = report.rows
    assert ("  2026-01-02T03:04:05+00:00", "2.yaml  (plan 0123456789ab)") == (line.subject, line.detail)
