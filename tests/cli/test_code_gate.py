"""Code that a rule file names runs only where it is trusted or allowed; each attack would leave a marker file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import migrate
from migrate.api.plans import template_of
from migrate.rules.loader import parse_rules

SHELL = """\
migrate: 1
target:
  template: "{spec}"
  args: {{command: "touch {marker}"}}
rules: []
"""

EVIL = "from pathlib import Path\nPath({marker!r}).touch()\ndef make(**args):\n    return {{}}\nprobe = twice = make\n"
"""A module that leaves the marker when it is imported."""

COMMANDS = {
    "check": ("check", "RULES", "old.msgpack"),
    "diff": ("diff", "old.msgpack", "--rules", "RULES"),
    "invert": ("invert", "RULES", "old.msgpack"),
    "apply": ("apply", "RULES", "old.msgpack", "new"),
    "dry run": ("apply", "RULES", "old.msgpack", "new", "-n"),
    "full": ("apply", "RULES", "old.msgpack", "new", "--verify", "full"),
    "verify": ("verify", "old.msgpack", "--source", "old.msgpack", "--rules", "RULES"),
}


@pytest.fixture
def outside(tmp_path_factory):
    """A directory that is not below the current one."""
    return tmp_path_factory.mktemp("outside")


@pytest.fixture
def marker(outside):
    """A file that appears if foreign code runs."""
    return outside / "marker"


def refused(result, marker, words=""):
    assert (1, False) == (result.exit_code, marker.exists()), result.output
    assert "M506" in result.output
    assert words in result.output


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["here", "outside"])
def test_no_command_runs_a_shell_for_a_rule_file(command, place, run, here, outside, marker):
    rules = (here if place == "here" else outside) / "shell.yaml"
    rules.write_text(SHELL.format(spec="os:system", marker=marker))
    arguments = [str(rules) if word == "RULES" else word for word in COMMANDS[command]]
    result = run(*arguments)
    assert (1, False) == (result.exit_code, marker.exists()), result.output
    assert f'`target.template` would run `os:system` with args {{"command": "touch {marker}"}} at ' in result.output
    assert f"{rules}:3:13, but " in result.output
    assert "add `--allow-code`" in result.output


def test_what_is_allowed_runs(run, outside, marker):
    (outside / "shell.yaml").write_text(SHELL.format(spec="os:system", marker=marker))
    run("check", str(outside / "shell.yaml"), "old.msgpack", "--allow-code")
    assert marker.exists()


def test_what_the_command_line_names_runs(run, outside):
    rules = outside / "rules.yaml"
    rules.write_text(Path("rules.yaml").read_text())
    assert 1 == run("check", str(rules), "old.msgpack").exit_code
    assert 0 == run("check", str(rules), "old.msgpack", "--template", "tiny_model:make").exit_code
    assert 0 == run("check", str(rules), "old.msgpack", "--allow-code").exit_code
    assert 0 == run("check", "rules.yaml", "old.msgpack").exit_code


@pytest.mark.parametrize(
    "spec",
    [
        "os:system",
        "posix:system",
        "subprocess:getoutput",
        "runpy:run_path",
        "click:echo",
        "migrate:load_rules",
        "json:tool.main",
        "sys:exit",
        "nt:system",
        "__main__:main",
        "train:os.system",
        "train:system",
        "train:partial_system",
        "train:folder.touch",
        "train:__builtins__.update",
        "train:make.__class__",
    ],
)
def test_a_rule_file_here_runs_nothing_from_elsewhere(spec, run, here, marker):
    (here / "train.py").write_text(
        "import os\nfrom functools import partial\nfrom os import system\nfrom pathlib import Path\n"
        f"def make(): return {{}}\nfolder = Path({str(marker)!r})\n"
        f"partial_system = partial(partial(os.system), 'touch {marker}')\n"
    )
    (here / "nt.yaml").write_text(SHELL.format(spec=spec, marker=marker))
    result = run("check", "nt.yaml", "old.msgpack")
    assert not marker.exists()
    if spec == "nt:system":  # there is no such module
        assert "the module `nt` does not exist" in result.output
    else:
        refused(result, marker)


@pytest.mark.parametrize("name", ["os", "subprocess", "json", "click"])
def test_a_file_here_that_shadows_an_installed_module_lends_it_no_trust(name, run, here, marker):
    (here / f"{name}.py").write_text("def system(command): ...\n")
    (here / "shell.yaml").write_text(SHELL.format(spec=f"{name}:system", marker=marker))
    refused(run("check", "shell.yaml", "old.msgpack"), marker, f"the module `{name}` is not below")


def foreign_module(folder, marker):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evil.py").write_text(EVIL.format(marker=str(marker)))
    return folder / "evil.py"


def names(spec):
    return f'migrate: 1\ntarget: {{template: "{spec}"}}\nrules: []\n'


def test_a_module_beside_a_rule_file_from_elsewhere_is_not_imported(run, here, outside, marker):
    foreign_module(outside, marker)
    (outside / "rules.yaml").write_text(names("evil:make"))
    refused(run("check", str(outside / "rules.yaml"), "old.msgpack"), marker, "is not below the current directory")
    up = os.path.relpath(outside / "rules.yaml", here)
    refused(run("check", up, "old.msgpack"), marker)
    refused(run("check", f"{here}/{up}", "old.msgpack"), marker)


def test_a_rule_file_that_is_linked_into_the_current_directory_is_not_trusted(run, here, outside, marker):
    foreign_module(here, marker)
    (outside / "rules.yaml").write_text(names("evil:make"))
    (here / "linked.yaml").symlink_to(outside / "rules.yaml")
    (here / "folder").symlink_to(outside)
    for rules in ("linked.yaml", "folder/rules.yaml"):
        refused(run("check", rules, "old.msgpack"), marker, f"{rules} is not below the current directory")


def test_a_module_that_is_linked_into_the_current_directory_is_not_trusted(run, here, outside, marker):
    (here / "evil.py").symlink_to(foreign_module(outside, marker))
    (here / "linked").symlink_to(outside)
    for spec in ("evil:make", "linked.evil:make"):
        (here / "rules.yaml").write_text(names(spec))
        refused(run("check", "rules.yaml", "old.msgpack"), marker)


def test_the_parents_of_a_module_count_as_well(run, here, outside, marker):
    foreign = foreign_module(outside, marker)
    (here / "pkg").mkdir()
    (here / "pkg/__init__.py").symlink_to(foreign)
    (here / "pkg/fine.py").write_text("def make():\n    return {}\n")
    (here / "rules.yaml").write_text(names("pkg.fine:make"))
    refused(run("check", "rules.yaml", "old.msgpack"), marker)


def test_a_namespace_package_lends_no_trust_to_its_parts_elsewhere(run, here, outside, marker, monkeypatch):
    foreign_module(outside / "space/deep", marker)
    (here / "space/deep").mkdir(parents=True)
    (here / "space/deep/fine.py").write_text("def make():\n    return {'a': None}\n")
    monkeypatch.syspath_prepend(outside)
    (here / "rules.yaml").write_text(names("space.deep.evil:make"))
    refused(run("check", "rules.yaml", "old.msgpack"), marker)
    (here / "rules.yaml").write_text(names("space.deep.fine:make"))
    assert "M506" not in run("check", "rules.yaml", "old.msgpack").output


def test_a_package_elsewhere_wins_over_a_namespace_here(run, here, outside, marker, monkeypatch):
    foreign = foreign_module(outside / "space", marker)
    foreign.rename(outside / "space/__init__.py")
    (here / "space").mkdir()
    (here / "space/fine.py").write_text("def make():\n    return {}\n")
    monkeypatch.syspath_prepend(outside)
    (here / "rules.yaml").write_text(names("space.fine:make"))
    result = run("check", "rules.yaml", "old.msgpack")
    assert not marker.exists()
    assert "the module `space.fine` does not exist" in result.output


@pytest.mark.parametrize("folder", ["env/lib/python3/site-packages", "env/lib/python3/dist-packages"])
def test_installed_packages_below_the_current_directory_are_not_the_users(folder, run, here, marker, monkeypatch):
    foreign_module(here / folder, marker)
    monkeypatch.syspath_prepend(here / folder)
    (here / "rules.yaml").write_text(names("evil:make"))
    refused(run("check", "rules.yaml", "old.msgpack"), marker)


@pytest.mark.parametrize("spec", ["..evil:make", ".evil:make", "evil.:make", "pkg..evil:make", "0:make", ".:make"])
def test_relative_names_are_not_found(spec, run, here, marker):
    foreign_module(here, marker)
    foreign_module(here / "pkg", marker)
    (here / "rules.yaml").write_text(names(spec))
    result = run("check", "rules.yaml", "old.msgpack")
    assert not marker.exists()
    assert "does not exist" in result.output


@pytest.mark.parametrize("spec", ["../evil:make", "/tmp/evil:make", "evil.py", "evil", "evil:make()", "evil:make;x"])
def test_paths_are_no_names(spec, run, here, marker):
    foreign_module(here, marker)
    (here / "rules.yaml").write_text(names(spec))
    result = run("check", "rules.yaml", "old.msgpack")
    assert (1, False) == (result.exit_code, marker.exists())


@pytest.mark.parametrize("written", ["!!python/object/apply:os.system [touch MARKER]", "!!python/name:os.system", "*x"])
@pytest.mark.parametrize("field", ["args: {command: VALUE}", "template: VALUE", "args: VALUE"])
def test_yaml_makes_no_objects(written, field, run, here, marker):
    value = written.replace("MARKER", str(marker))
    text = f"migrate: 1\ntarget:\n  {field.replace('VALUE', value)}\nrules: []\n"
    (here / "rules.yaml").write_text(text)
    result = run("check", "rules.yaml", "old.msgpack")
    assert (1, False) == (result.exit_code, marker.exists())
    assert "M506" not in result.output


CALL = 'migrate: 1\nrules:\n  - {from: "params/{i}/bias", to: "{i}/b", ops: [{call: "evil:twice"}], optional: true}\n'


def test_the_code_of_an_included_file_counts_by_its_own_place(run, here, outside, marker):
    foreign_module(here, marker)
    (outside / "inner.yaml").write_text(CALL)
    (outside / "middle.yaml").write_text("migrate: 1\ninclude: inner.yaml\nrules: []\n")
    (here / "outer.yaml").write_text(f"migrate: 1\ninclude: {outside}/middle.yaml\nrules: []\n")
    (here / "link.yaml").symlink_to(outside / "inner.yaml")
    (here / "linking.yaml").write_text("migrate: 1\ninclude: link.yaml\nrules: []\n")
    for rules, named in (("outer.yaml", outside / "inner.yaml"), ("linking.yaml", "link.yaml")):
        refused(run("apply", rules, "old.msgpack", "new", "-n"), marker, "`call` would run `evil:twice`")
        result = run("apply", rules, "old.msgpack", "new")
        refused(result, marker, f"`call` would run `evil:twice` at {named}:3:")
    assert not (here / "new").exists()


def test_an_included_file_sets_no_probe(run, here):
    (here / "inner.yaml").write_text('migrate: 1\nprobe: "evil:probe"\nrules: []\n')
    (here / "outer.yaml").write_text("migrate: 1\ninclude: inner.yaml\nrules: []\n")
    assert "the included file `inner.yaml` sets `probe`" in run("check", "outer.yaml").output


def test_verify_does_not_call_what_is_not_allowed(run, here, outside, marker):
    (here / "evil.py").write_text(f"def twice(a):\n    open({str(marker)!r}, 'w').close()\n    return a\n")
    rules = outside / "call.yaml"
    rules.write_text(CALL)
    assert 0 == run("apply", str(rules), "old.msgpack", "new", "--allow-code").exit_code
    marker.unlink()
    against = ("verify", "new", "--source", "old.msgpack", "--rules", str(rules))
    refused(run(*against), marker, "`call` would run `evil:twice` at ")
    assert 0 == run(*against, "--allow-code").exit_code
    assert marker.exists()


def test_functions_below_the_current_directory_are_called(run, here):
    (here / "evil.py").write_text("def twice(array):\n    return array + array\n")
    (here / "call.yaml").write_text(CALL)
    assert 0 == run("apply", "call.yaml", "old.msgpack", "new").exit_code
    assert 0 == run("verify", "new", "--source", "old.msgpack", "--rules", "call.yaml").exit_code
    with migrate.open_checkpoint("new") as new:
        assert [2.0] * 4 == new.reader.read(("Dense_1", "b")).tolist()


@pytest.mark.parametrize(
    "name", ["jitted", "nnx_jitted", "bound", "cached", "Model", "instance", "Model.make", "inner"]
)
def test_callables_that_are_defined_here_run_however_they_are_wrapped(name, run, here):
    (here / "train.py").write_text(
        "import functools, jax\nfrom flax import nnx\nimport numpy as np\n"
        "def make(): return {'a': np.zeros(3)}\n"
        "jitted, nnx_jitted, cached = jax.jit(make), nnx.jit(make), functools.cache(make)\n"
        "bound = functools.partial(functools.partial(make))\n"
        "class Model(nnx.Module):\n"
        "    def __init__(self): self.a = nnx.Param(np.zeros(3))\n"
        "    def __call__(self): return make()\n"
        "    make = staticmethod(make)\n"
        "instance = Model()\n"
        "inner = functools.wraps(make)(lambda: make())\n"
    )
    (here / "train.yaml").write_text(names(f"train:{name}"))
    assert "M506" not in run("check", "train.yaml", "old.msgpack").output


def test_a_call_that_cannot_be_found_is_told_before_anything_is_written(run, here):
    (here / "needs.py").write_text("def twise(array):\n    return array\n")
    (here / "call.yaml").write_text(CALL.replace("evil", "needs"))
    for more in ([], ["-n"], ["--allow-code"]):
        result = run("apply", "call.yaml", "old.msgpack", "new", *more)
        assert 2 == result.exit_code
        assert "error[M408]: `needs:twice`: `needs` has no attribute `twice`" in result.output
        assert "did you mean `twise`?" in result.output
    (here / "call.yaml").write_text(CALL.replace("evil", "absent"))
    result = run("apply", "call.yaml", "old.msgpack", "new", "-n")
    assert "error[M408]: `absent:twice`: the module `absent` does not exist" in result.output
    assert not [name for name in os.listdir(here) if name.startswith(".new") or name == "new"]


def test_a_call_that_returns_something_else_is_told_how_to_declare_it(run, here):
    (here / "needs.py").write_text("def twice(array):\n    return array[:2]\n")
    (here / "call.yaml").write_text(CALL.replace("evil", "needs"))
    result = run("apply", "call.yaml", "old.msgpack", "new")
    assert "`needs:twice` returned float32[2], but float32[4] was promised" in result.output
    assert 'declare what it returns: `{call: {function: "needs:twice", shape: [2], dtype: float32}}`' in result.output


def test_a_call_that_fails_is_told_with_the_users_line_the_rule_and_the_leaf(run, here):
    (here / "needs.py").write_text("def twice(array):\n    return array.no_such\n")
    (here / "call.yaml").write_text(CALL.replace("evil", "needs"))
    result = run("apply", "call.yaml", "old.msgpack", "new", "--jobs", "1")
    assert 2 == result.exit_code
    assert "`needs:twice` failed at needs.py:2, `return array.no_such`: AttributeError: " in result.output
    assert "call.yaml:3:" in result.output


def test_the_python_functions_refuse_the_same(here, outside, marker):
    (outside / "shell.yaml").write_text(SHELL.format(spec="os:system", marker=marker))
    rules = migrate.load_rules(outside / "shell.yaml")
    in_memory = parse_rules((outside / "shell.yaml").read_text(), str(here / "rules.yaml"))
    with migrate.open_checkpoint("old.msgpack") as source:
        for rule_set in (rules, in_memory):
            with pytest.raises(migrate.RefusedError, match="would run `os:system`"):
                template_of(rule_set)
            with pytest.raises(migrate.RefusedError, match="would run `os:system`"):
                migrate.plan(source, rule_set)
        with pytest.raises(migrate.RefusedError, match="would run `os:system`"):
            migrate.plan(source, outside / "shell.yaml")
        assert not marker.exists()

        foreign_module(here, marker)
        (outside / "call.yaml").write_text(CALL)
        plan = migrate.plan(source, outside / "call.yaml")
        for run_it in (
            lambda: migrate.apply(plan, source, "new"),
            lambda: migrate.verify("x", plan=plan, source=source),
        ):
            with pytest.raises(migrate.RefusedError, match="would run `evil:twice`"):
                run_it()
        assert not marker.exists()
        with pytest.raises(migrate.CheckpointError):
            migrate.plan(source, rules, allow_code=True)
        assert marker.exists()


def migrate_in(folder, *arguments, **options):
    """Runs the command in a process of its own, because its current directory is unusual."""
    command = [sys.executable, "-m", "migrate", *arguments]
    path = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, **options)


def test_nothing_is_trusted_where_the_current_directory_is_the_root(here, outside, marker):
    foreign_module(outside, marker)
    module = ".".join((*outside.parts[1:], "evil"))
    (outside / "rules.yaml").write_text(names(f"{module.replace('-', '_')}:make"))
    done = migrate_in("/", "check", str(outside / "rules.yaml"), str(here / "old.msgpack"))
    assert (1, False) == (done.returncode, marker.exists())
    assert "M506" in done.stdout + done.stderr


def test_nothing_is_trusted_where_the_current_directory_was_deleted(here, outside, marker):
    foreign_module(outside, marker)
    (outside / "rules.yaml").write_text(names("evil:make"))
    (outside / "gone").mkdir()
    command = f"rmdir ../gone; {sys.executable} -m migrate check {outside}/rules.yaml {here}/old.msgpack"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    where = {"cwd": outside / "gone", "env": environment}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=300, **where)
    assert (1, False) == (done.returncode, marker.exists()), done.stderr
    assert "M506" in done.stdout + done.stderr


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "-"])
def test_a_rule_file_from_a_pipe_is_not_trusted(here, outside, marker, name):
    foreign_module(here, marker)
    done = migrate_in(here, "check", name, "old.msgpack", input=names("evil:make"))
    assert done.returncode == 1
    assert not marker.exists()


def test_modules_in_the_current_directory_do_not_replace_those_that_migrate_imports(here, marker):
    for name in ("yaml", "click", "msgpack", "numpy", "jax"):
        (here / f"{name}.py").write_text(EVIL.format(marker=str(marker)))
    done = migrate_in(here, "inspect", "old.msgpack", "--json")
    assert (0, False) == (done.returncode, marker.exists()), done.stderr
    assert json.loads(done.stdout)["leaves"]


def test_bundled_rule_files_name_no_code():
    from migrate.rules.files import bundled_names

    for name in bundled_names():
        rules = migrate.load_rules(name)
        assert () == (*rules.template_code, *rules.call_code, *rules.probe_code), name
