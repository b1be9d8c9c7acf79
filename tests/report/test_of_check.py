import json
from dataclasses import replace

from migrate.codes import UnfusableSteps
from migrate.planning.versions.check import ModelComparison, check
from migrate.planning.versions.graph import ModelVersion
from migrate.report.json import payload
from migrate.report.of_check import folder_report
from migrate.report.text import draw
from migrate.rules.lock import Lock
from tests.planning.versions.test_every_path import RENAMES, TREES, folder, rule_file

LOCK = Lock("rules", exists=True)


def test_each_version_is_a_line_with_its_rule_file_leaves_and_tasks():
    broken = [RENAMES[0], rule_file(2, 3, '- "x -> c"'), rule_file(3, 4, '- "c -> d"')]
    trees = {version: one for version, one in TREES.items() if version != 4}
    report = folder_report(check(folder(broken, trees), LOCK))

    assert not report.ok
    assert [
        "rules: 4 versions, 3 rule files",
        "  m 1                1 leaf",
        "  m 2  rules/2.yaml  1 leaf  1 rename",
        "  m 3  rules/3.yaml  1 leaf  does not apply",
        "  m 4  rules/4.yaml          not planned",
    ] == draw(report).splitlines()[:5]
    assert "Check: 4 errors. 1 of 3 rule files and 0 of 3 paths to the newest version can be planned." == report.brief


def test_warnings_do_not_fail():
    made = replace(check(folder(RENAMES, TREES), LOCK), diagnostics=(UnfusableSteps.at("two", severity="warning"),))
    report = folder_report(made)

    assert report.ok
    assert "Check: OK. 3 of 3 rule files and 3 of 3 paths to the newest version can be planned." == report.brief


def test_a_check_for_programs():
    made = replace(check(folder(RENAMES[:2], TREES), LOCK), model=ModelComparison("m:f", ModelVersion("m", "3")))
    data = json.loads(json.dumps(payload(folder_report(made, ["rules/migrate.lock"], template="m:f"))))

    assert [{"model": "m", "version": "3"}, {"model": "m", "version": "4"}] == data["heads"]
    assert {"model": "m", "version": "2", "leaves": 1, "recorded": True} == data["versions"][1]
    assert {
        "file": "rules/2.yaml",
        "model": "m",
        "from": "1",
        "to": "2",
        "applies": True,
        "plan": {"tasks": {"rename": 1}, "dropped": 0, "created": 0, "config": 0},
    } == data["steps"][0]
    files = ["rules/2.yaml", "rules/3.yaml"]
    assert {"model": "m", "from": "1", "to": "3", "files": files, "planned": True} == data["paths"][0]
    assert {"file": "rules/migrate.lock", "files": [], "missing": []} == data["lock"]
    expected = {"template": "m:f", "model": "m", "version": "3", "is_newest": True, "changes": [], "draft": None}
    assert expected == data["template"]
    assert ["rules/migrate.lock"] == data["written"]


def test_the_summary_says_what_was_written_and_compared():
    made = check(folder(RENAMES, TREES), LOCK)
    model = ModelComparison("m:f", ModelVersion("m", "4"))

    assert "Wrote a, b." in folder_report(made, ["a", "b"], writes=True).summary
    assert "`m:f` is m 4, the newest version." in folder_report(replace(made, model=model), template="m:f").summary
    assert any("`m:f` was not compared" in one for one in folder_report(made, template="m:f").summary)
    broken = check(folder([RENAMES[0], RENAMES[2]], TREES), LOCK)
    assert "Nothing was written: correct the errors first." in folder_report(broken, writes=True).summary
