from pathlib import Path

import pytest

from migrate.codes import UnrecoverableDrop
from migrate.errors import Span
from migrate.rules.policy_file import load_policy


@pytest.fixture
def project(tmp_path, monkeypatch):
    """`project("text")` writes `pyproject.toml` beside `rules/`, and reads its policies."""
    monkeypatch.chdir(tmp_path)
    Path("rules").mkdir()
    Path("rules/2.yaml").touch()

    def read(text):
        Path("pyproject.toml").write_text(f"[project]\nname = 'allow'\n{text}")
        return load_policy("rules")

    return read


def test_without_a_file_or_a_table_there_are_no_policies(project):
    assert ((), []) == (load_policy("rules")[0].entries, load_policy("rules")[1])
    assert [] == project("")[1]


def test_all_fields_are_read(project):
    policy, mistakes = project(
        '[tool.migrate]\nerror = ["M608"]\nwarn = ["M212"]\nallow = ["M610", "M605"]\n'
        '[tool.migrate.per-file]\n"rules/2*" = {allow = ["M608"]}\n'
        '[tool.migrate.per-leaf]\n"opt_state/**" = {error = ["M609"]}\n'
    )
    assert [] == mistakes
    assert [("all", ""), ("per-file", "rules/2*"), ("per-leaf", "opt_state/**")] == [
        (one.scope, one.text) for one in policy.entries
    ]
    assert {"M608": "error", "M212": "warn", "M610": "allow", "M605": "allow"} == policy.entries[0].levels
    assert ["pyproject.toml:8:2", "pyproject.toml:10:2"] == [str(one.span) for one in policy.entries[1:]]


def test_the_nearest_file_counts_for_a_folder_and_for_a_file_in_it(project):
    project('[tool.migrate]\nallow = ["M610"]\n')
    Path("rules/pyproject.toml").write_text('[tool.migrate]\nallow = ["M609"]\n')

    for place in ("rules", "rules/2.yaml"):
        assert {"M609": "allow"} == load_policy(place)[0].entries[0].levels
    assert {"M610": "allow"} == load_policy(".")[0].entries[0].levels


@pytest.mark.parametrize(
    ("text", "message", "place", "advice"),
    [
        ("[tool.migrate]\nalow = []\n", "has no field `alow`", "4:1", "did you mean `allow`?"),
        ('[tool.migrate]\nallow = ["M6O8"]\n', "`M6O8` is not a code", "4:11", "did you mean `M60"),
        ('[tool.migrate]\nallow = "M608"\n', "`allow` is not a list of codes", "4:1", 'write `allow = ["CODE", …]`'),
        ('[tool.migrate]\nallow = ["M201"]\n', "M201 is an error that cannot be lowered", "4:11", "explain M201"),
        ('[tool.migrate]\nwarn = ["M612"]\n', "M612 is an error that cannot be lowered", "4:10", "explain M612"),
        ('[tool.migrate]\nwarn = ["M608"]\nallow = ["M608"]\n', "M608 is in `warn` and in `allow`", "4:10", "keep it"),
        ('[tool.migrate.per-file]\n"rules/*" = ["M608"]\n', "`rules/*` is not a table", "4:2", '= {allow = ["CODE"]}'),
        ('[tool.migrate.per-file]\n"rules/*" = {alow = []}\n', "`rules/*` has no field `alow`", "4:14", "`allow`?"),
        ('[tool.migrate.per-leaf]\n"a/{i" = {allow = ["M608"]}\n', "invalid pattern `a/{i`", "4:2", None),
        ('[tool.migrate.per-leaf]\n"{i%2}" = {allow = ["M608"]}\n', "invalid pattern `{i%2}`", "4:2", None),
        ("[tool.migrate]\nper-file = 1\n", "`per-file` is not a table", "4:1", None),
        ("[tool]\nmigrate = 1\n", "`[tool.migrate]` is not a table", "4:1", None),
        ("[tool.migrate\n", "pyproject.toml is not valid TOML", "3:14", None),
    ],
)
def test_a_mistake_is_named_with_its_line(project, text, message, place, advice):
    (mistake,) = project(text)[1]

    assert "M616" == mistake.code
    assert message in mistake.message
    assert f"pyproject.toml:{place}" == str(mistake.span)
    assert advice is None or advice in mistake.help


def test_mistakes_do_not_hide_one_another(project):
    policy, mistakes = project('[tool.migrate]\nalow = []\nallow = ["M999", "M610"]\n')

    assert ["M616", "M616"] == [one.code for one in mistakes]
    assert {"M610": "allow"} == policy.entries[0].levels


def test_a_file_that_is_not_text_is_named(project):
    Path("pyproject.toml").write_bytes(b"\xff")

    assert ["M004"] == [one.code for one in load_policy("rules")[1]]


def test_files_behind_a_link_are_those_of_the_project_that_has_them(project, tmp_path):
    project('[tool.migrate.per-file]\n"rules/2.yaml" = {allow = ["M608"]}\n')
    Path("elsewhere").mkdir()
    Path("elsewhere/link").symlink_to(tmp_path / "rules")
    policy, _ = load_policy("elsewhere/link")
    found = UnrecoverableDrop.at("dropped", span=Span("elsewhere/link/2.yaml", 1, 1, 1, 2))

    assert () == policy.applied([found])
    assert [] == list(policy.idle(["elsewhere/link/2.yaml"], None))
