"""Defaults of options from `[tool.migrate]` of `pyproject.toml`: covers `defaults`."""

import json
from pathlib import Path

import click
import pytest

from migrate.cli.defaults import CODE, NEVER, NEVER_OF, OPTIONS, defaults_of, nearest_file, read_defaults
from migrate.cli.main import COMMANDS, WITHOUT_DEFAULTS
from migrate.cli.main import migrate as group
from migrate.errors import nearest
from migrate.rules.policy_fields import FIELDS
from tests.cli.test_main import modules_after


def configure(text, folder="."):
    Path(folder, "pyproject.toml").write_text(text)


def options():
    """The options of all commands: name, command and option."""
    for name in COMMANDS:
        for option in group.get_command(None, name).params:
            if isinstance(option, click.Option):
                yield from ((text.removeprefix("--"), name, option) for text in option.opts if text.startswith("--"))


def diagnostics(result):
    return [
        (found["code"], found["span"]["line"] if found["span"] else None, found["message"], found["help"])
        for found in json.loads(result.stdout)["diagnostics"]
    ]


def test_the_list_of_options_is_that_of_the_commands():
    assert OPTIONS == {name for name, _, _ in options()}
    assert NEVER.keys() <= OPTIONS
    assert NEVER_OF.keys() <= set(COMMANDS)
    assert set(CODE) <= OPTIONS


def test_every_flag_is_one_that_may_have_a_default_or_one_that_may_not():
    """A new flag has to be decided on."""
    flags = {name for name, _, option in options() if option.is_flag}
    harmless = {"compact", "families", "quiet", "require-proof", "root", "values", "verbose"}
    assert harmless == flags - NEVER.keys()


def test_every_option_that_names_code_is_known():
    specs = {name for name, _, option in options() if "M:F" in (option.metavar or "")}
    assert set(CODE) == specs


# The values


def test_a_default_is_used_and_the_command_line_wins(run, here):
    configure('[tool.migrate]\nformat = "json"\n')
    assert "inspect" == json.loads(run("inspect", "old.msgpack").stdout)["command"]
    assert run("inspect", "old.msgpack", "--format", "text").stdout.startswith("old.msgpack")


def test_the_table_of_a_command_comes_before_the_shared_one(run, here):
    configure('[tool.migrate]\nformat = "json"\n\n[tool.migrate.inspect]\nformat = "github"\n')
    assert not run("inspect", "old.msgpack").stdout.startswith("{")
    assert "check" == json.loads(run("check", "rules.yaml").stdout)["command"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("max-ram = 1", "1 is too small; the minimum is"),
        ('max-ram = "2 parsecs"', "`2 parsecs` is not a size"),
        ("jobs = 0", "0 is not in the range"),
        ("jobs = true", "write text or a number"),
        ("jobs = [1]", "write one value, and no list"),
        ("jobs = 2026-01-01", "write text or a number"),
        ('verify = "everything"', "'everything' is not one of"),
        ('compression = "gzip"', "`gzip` is neither"),
        ('for = "any"', "write a list"),
        ('step = "best"', "best"),
        ('require-proof = "yes"', "write `true` or `false`"),
        ("require-proof = 1", "write `true` or `false`"),
        ('config = "gs://bucket/config.json"', "URLs are named on the command line"),
        ('source = ["ema=s3://bucket/ema"]', "URLs are named on the command line"),
    ],
)
def test_a_wrong_value_is_reported_with_its_line(run, here, line, shown):
    configure(f"[project]\nname = 'x'\n\n[tool.migrate.apply]\n# a comment\n{line}\n")
    result = run("apply", "rules.yaml", "old.msgpack", "new", "--json")

    assert 2 == result.exit_code, result.stdout
    ((code, at, message, advice),) = diagnostics(result)
    assert ("M643", 6) == (code, at)
    assert shown in message
    assert "`migrate --isolated apply rules.yaml old.msgpack new --json`" in advice
    assert not Path("new").exists()


GOOD = """
[tool.migrate]
max-ram = "1GiB"
verify = "decode"
jobs = 1
color = "never"
mesh = "data=-1"
max-shard-size = 100000000
rtol = 1e-4
require-proof = false

[tool.migrate.apply]
compression = "zstd:3"
processes = 1
for = ["data=2", "data=4"]
step = "latest"
"""


def params_of(name, *words):
    """The parameters that a command gets: the defaults of the file in the current directory, and words."""
    command = group.get_command(None, name)
    defaults = defaults_of(read_defaults(), name, command, COMMANDS)
    return command.make_context(name, list(words), default_map=dict(defaults.values)).params


def test_valid_values_are_those_that_the_command_gets(here):
    configure(GOOD)
    seen = params_of("apply", "rules.yaml", "old.msgpack", "new", "--jobs", "2")
    expected = {
        "max_ram": 2**30, "verify": "decode", "jobs": 2, "color": "never", "mesh": "data=-1", "rtol": 1e-4,
        "max_shard_size": 10**8, "require_proof": False, "compression": "zstd:3", "processes": 1,
        "load_meshes": ("data=2", "data=4"),
    }  # fmt: skip
    assert expected == {name: seen[name] for name in expected}
    assert "latest" == seen["step"].text
    assert 2**30 == params_of("stage", "rules.yaml", "old.msgpack", "new", "--share", "0/2")["max_ram"]


def test_a_plan_has_the_chosen_options(run, here):
    configure('[tool.migrate.apply]\ncompression = "zstd:7"\n')
    assert 0 == run("apply", "rules.yaml", "old.msgpack", "new").exit_code
    assert "zstd:7" in run("inspect", "new", "-v").stdout
    assert 0 == run("apply", "rules.yaml", "old.msgpack", "new2", "--compression", "zstd:5").exit_code
    assert "zstd:5" in run("inspect", "new2", "-v").stdout


def test_environment_variables_come_before_a_default_of_color(run, here, monkeypatch):
    configure('[tool.migrate]\ncolor = "always"\n')
    assert "\x1b[" in run("check", "broken.yaml").stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run("check", "broken.yaml").stdout
    assert "\x1b[" in run("check", "broken.yaml", "--color", "always").stdout


def test_errors_have_the_format_and_the_color_of_the_file(run, here):
    configure('[tool.migrate]\nformat = "json"\n')
    assert "M401" == json.loads(run("inspect", "missing").stdout)["diagnostics"][0]["code"]
    assert "M412" == json.loads(run("inspect", "--wrong").stdout)["diagnostics"][0]["code"]
    assert "" == run("inspect", "missing", "--format", "text").stdout
    configure('[tool.migrate]\ncolor = "always"\n')
    assert "\x1b[" in run("inspect", "missing").stderr


# The file


def test_the_nearest_file_with_the_table_is_read(run, here, monkeypatch):
    configure('[tool.migrate]\nformat = "json"\n')
    Path("a/b/c").mkdir(parents=True)
    configure("[project]\nname = 'migrate-user'\n[tool.ruff]\nline-length = 100\n[tool]\nother = {}\n", "a/b")
    monkeypatch.chdir("a/b/c")
    assert here / "pyproject.toml" == nearest_file()
    assert f"defaults {here / 'pyproject.toml'}" == run("--version").stdout.splitlines()[-1]
    assert "{" == run("inspect", "../../../old.msgpack").stdout[0]
    configure("[tool.migrate]\n", "..")
    assert "{" != run("inspect", "../../../old.msgpack").stdout[0]


@pytest.mark.parametrize(
    "header", ["[tool.migrate]", "[ tool . migrate ]", '["tool"."migrate"]', "[tool]\n[tool.migrate]"]
)
def test_headers_in_other_spellings(run, here, header):
    configure(f"{header}\nformat = 'json'\n")
    assert "{" == run("inspect", "old.msgpack").stdout[0]


DOTTED = (
    "tool.migrate.format = 'json'",
    "[tool]\nmigrate.format = 'json'",
    "[tool]\nmigrate = {format = 'json'}",
)


@pytest.mark.parametrize("text", DOTTED)
def test_dotted_and_inline_tables(run, here, text):
    configure(text)
    assert "{" == run("inspect", "old.msgpack").stdout[0]


def test_isolated_ignores_the_file(run, here):
    configure('[tool.migrate]\nformat = "json"\nother = 1\n')
    assert 0 == run("--isolated", "inspect", "old.msgpack").exit_code
    result = run("inspect", "old.msgpack", "--json")
    assert [("M642", 3)] == [found[:2] for found in diagnostics(result)]


def test_help_and_explanations_do_not_read_the_file(run, here):
    configure("[tool.migrate\n")
    assert 0 == run("apply", "-h").exit_code
    assert 0 == run("-h").exit_code
    assert 0 == run("--version").exit_code
    assert all(0 == run(*words).exit_code for words in (["explain", "M643"], ["schema"], ["completion", "bash"]))
    assert {"explain", "schema", "completion"} == set(WITHOUT_DEFAULTS)


def test_a_file_that_is_no_toml_is_reported_with_its_line(run, here):
    configure("[tool.migrate]\njobs = 2\nverify = decode\n")
    ((code, at, message, advice),) = diagnostics(run("inspect", "old.msgpack", "--json"))
    assert ("M643", 3) == (code, at)
    assert "pyproject.toml cannot be read" in message
    assert "migrate --isolated inspect" in advice


def test_a_broken_file_without_the_table_is_passed_over(run, here):
    configure("[project\nname = 'migrate'\n")
    assert 0 == run("inspect", "old.msgpack").exit_code


def test_without_a_table_nothing_is_parsed(here):
    configure("[project]\nname = 'migrate'\n")
    assert not {"tomllib", "migrate.rules.toml_lines"} & modules_after("inspect", "old.msgpack")
    configure("[tool.migrate]\n")
    assert "tomllib" in modules_after("inspect", "old.msgpack")


def test_a_directory_of_that_name_is_no_file(run, here):
    Path("pyproject.toml").mkdir()
    assert 0 == run("inspect", "old.msgpack").exit_code


# Keys


def test_all_mistakes_are_reported_at_once(run, here, golden):
    configure(
        """\
[tool.migrate]
max_ram = "1GiB"
overwrite = true
text = \"\"\"
jobs = 3
\"\"\"
json = true

[tool.migrate.inspect]
depth = "deep"
jobs = 2

[tool.migrate.aply]
jobs = 2

[tool.migrate.contract]
keep = "params"
kep = 1

[tool.migrate.jobs]
a = 1
"""
    )
    result = run("inspect", "old.msgpack")
    assert 2 == result.exit_code
    assert "" == result.stdout
    golden("cli/defaults.txt", result.stderr)


def test_keys_of_commands_without_the_option_are_ignored_by_them(run, here):
    configure(
        '[tool.migrate]\nmax-ram = "1GiB"\nkeep = 2\n\n[tool.migrate.apply]\njobs = "wrong, but not of inspect"\n'
    )
    assert 0 == run("inspect", "old.msgpack").exit_code
    assert 2 == run("contract", "old.msgpack").exit_code  # `keep` is no default of `contract --keep`
    assert "Missing option '--keep'" in run("contract", "old.msgpack").stderr


@pytest.mark.parametrize("key", sorted(NEVER))
def test_forbidden_options_are_refused(run, here, key):
    configure(f"[tool.migrate]\n{key} = true\n")
    (found,) = diagnostics(run("inspect", "old.msgpack", "--json"))
    assert ("M644", 2) == found[:2]


def test_wrong_usage_names_the_defaults(run, here):
    assert 0 == run("plan", "rules.yaml", "old.msgpack", "-o", "plan.json").exit_code
    configure('[tool.migrate]\nmesh = "data=-1"\n')
    result = run("apply", "plan.json", "old.msgpack", "new")
    assert 2 == result.exit_code
    assert "pyproject.toml has defaults for this command: `mesh`" in result.stderr
    assert "`migrate --isolated apply plan.json old.msgpack new` ignores them" in result.stderr
    assert 0 == run("--isolated", "apply", "plan.json", "old.msgpack", "new").exit_code


# Paths


def test_paths_are_relative_to_the_file(run, here, monkeypatch):
    Path("sub").mkdir()
    Path("mesh.yaml").write_text("wrong: [")
    configure('[tool.migrate.plan]\nmesh = "data=-1"\npartition = "mesh.yaml"\nconfig = "file:///config.json"\n')
    assert ("mesh.yaml", "/config.json") == tuple(params_of("plan", "a", "b")[name] for name in ("partition", "config"))
    monkeypatch.chdir("sub")
    seen = params_of("plan", "a", "b")
    assert ("../mesh.yaml", "/config.json") == (seen["partition"], seen["config"])


def test_a_recorded_tree_is_found_beside_the_file_and_is_no_code(run, here, monkeypatch):
    assert 0 == run("template", "tiny_model:make", "-o", "tiny.tree.json").exit_code
    configure('[tool.migrate]\ntemplate = "tiny.tree.json"\n')
    Path("sub").mkdir()
    monkeypatch.chdir("sub")
    result = run("suggest", "../old.msgpack")
    assert 1 >= result.exit_code, result.stderr
    assert "tiny_model:make" in result.stdout


# Code


def test_code_runs_that_is_below_the_current_directory_beside_the_file(run, here):
    configure('[tool.migrate]\ntemplate = "tiny_model:make"\n')
    assert "tiny_model:make" in run("suggest", "old.msgpack").stdout


def test_code_of_a_file_above_does_not_run(run, here, monkeypatch):
    configure("".join(f'[tool.migrate.{name}]\ntemplate = "evil:make"\n' for name in ("suggest", "diff")))
    Path("sub").mkdir()
    Path("sub/evil.py").write_text("import pathlib\npathlib.Path('ran').touch()\ndef make(): return {}\n")
    monkeypatch.chdir("sub")
    for name, line in (("suggest", 2), ("diff", 4)):
        result = run(name, "../old.msgpack", "--json")
        (found,) = json.loads(result.stdout)["diagnostics"]
        assert ("../pyproject.toml", line) == (found["span"]["file"], found["span"]["line"])
        assert "is not below the current directory" in found["message"]
        assert 1 == result.exit_code
        assert not Path("ran").exists()
    assert "--allow-code" not in run("suggest", "../old.msgpack").stderr
    assert "--allow-code" in run("diff", "../old.msgpack").stderr
    run("diff", "../old.msgpack", "--allow-code")
    assert Path("ran").exists()


def test_code_of_the_file_does_not_run_where_the_command_line_names_other(run, here):
    configure('[tool.migrate]\ntemplate = "os:getcwd"\n')
    assert 1 == run("suggest", "old.msgpack").exit_code
    assert "is not below the current directory" in run("suggest", "old.msgpack").stderr
    assert "tiny_model:make" in run("suggest", "old.msgpack", "--template", "tiny_model:make").stdout


def test_shared_code_is_for_the_commands_that_require_it(run, here):
    configure('[tool.migrate]\ntemplate = "tiny_model:make"\nprobe = "missing:probe"\n')
    assert 0 == run("apply", "rules.yaml", "old.msgpack", "new").exit_code
    assert 1 == run("diff", "old.msgpack", "new").exit_code  # not with a template beside DST
    assert "tiny_model" not in run("verify", "new").stdout
    configure('[tool.migrate.verify]\ntemplate = "tiny_model:make"\n')
    assert "match `tiny_model:make`" in run("verify", "new").stdout


# Policies share the table


def test_policies_and_defaults_share_the_table(run, here):
    configure('[tool.migrate]\nerror = ["M9"]\nformat = "json"\n\n[tool.migrate.per-leaf]\n"a/**" = {allow = []}\n')
    assert [("M616", 2)] == [found[:2] for found in diagnostics(run("check", "rules.yaml", "old.msgpack"))]
    assert 0 == run("inspect", "old.msgpack").exit_code
    configure('[tool.migrate]\nalow = ["M608"]\njobs = 1\n\n[tool.migrate.apply]\njobs = 1\n')
    assert [("M616", 2)] == [found[:2] for found in diagnostics(run("check", "rules.yaml", "--json"))]
    assert 0 == run("inspect", "old.msgpack").exit_code


def test_no_option_or_command_looks_like_a_misspelled_policy():
    assert ["allow-code"] == [name for name in (*OPTIONS, *COMMANDS) if nearest(name, FIELDS)]  # which has no default


# Lines
