"""Tests of `check` for a folder of rule files, from the recorded trees alone; covers `check_folder`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgpack
import numpy as np
import pytest

from migrate.rules.recorded_tree import RecordedTree, tree_text
from tests.cli.conftest import pack
from tests.planning.trees import tree

STEP = "migrate: 1\nsource: {{model: lm, version: {0}}}\ntarget: {{model: lm, version: {1}, template: 'lm:make'}}\n{2}"
RULES = {
    2: 'rules:\n  - "blocks/{i}/w -> layers/{i}/kernel"\n',
    3: "rules:\n  - drop: layers/1/kernel\n",
}
TREES = {
    1: {"blocks/0/w": "4,4", "blocks/1/w": "4,4", "head": "4,2"},
    2: {"layers/0/kernel": "4,4", "layers/1/kernel": "4,4", "head": "4,2"},
    3: {"layers/0/kernel": "4,4", "head": "4,2"},
}
PROJECT = '[tool.migrate]\nallow = ["M608", "M610"]\n'


def write_tree(version, leaves):
    recorded = RecordedTree(f"{version}.tree.json", "lm", version, tree(leaves))
    Path(f"rules/{version}.tree.json").write_text(tree_text(recorded))


def write_step(version, rules=None, name="", before=None):
    text = STEP.format(before or version - 1, version, rules or RULES[version])
    Path(f"rules/000{version}{name}.yaml").write_text(text)


@pytest.fixture
def rules(here):
    """`rules/`: three versions and two rule files, without a lock file; the lints are allowed."""
    Path("rules").mkdir()
    for version, leaves in TREES.items():
        write_tree(version, leaves)
    for version in RULES:
        write_step(version)
    Path("pyproject.toml").write_text(PROJECT)
    return here


@pytest.fixture
def locked(run, rules):
    """`rules/` with its lock file, in order."""
    result = run("check", "rules/", "--write")
    assert 0 == result.exit_code, result.stdout
    return rules


@pytest.fixture
def shown(run, golden):
    """`shown("name", code)` checks the folder: its text is the golden file's, and there is one finding of that code."""

    def check(name, code, *options, exit_code=1):
        result = run("check", "rules/", *options)
        assert (exit_code, "") == (result.exit_code, result.stderr)
        golden(f"cli/check_folder/{name}.txt", result.stdout)
        payload = json.loads(run("check", "rules/", *options, "--json").stdout)
        assert code in [one["code"] for one in payload["diagnostics"]]
        return payload

    return check


def test_a_folder_in_order(run, locked, golden):
    result = run("check", "rules/")

    assert (0, "") == (result.exit_code, result.stderr)
    golden("cli/check_folder/good.txt", result.stdout)


def test_without_a_lock_file(rules, shown):
    shown("unlocked", "M614")


def test_a_new_file_is_added_to_the_lock_file_and_nothing_else_changes(run, locked, shown):
    write_step(4, 'rules:\n  - "head -> output"\n')
    write_tree(4, {"layers/0/kernel": "4,4", "output": "4,2"})
    shown("new_file", "M614")
    before = Path("rules/migrate.lock").read_text().splitlines()
    result = run("check", "rules/", "--write", "--json")

    assert 0 == result.exit_code
    assert ["rules/migrate.lock"] == json.loads(result.stdout)["written"]
    after = Path("rules/migrate.lock").read_text().splitlines()
    assert set(before) < set(after)
    assert ["0004.yaml", "4.tree.json"] == sorted(line.split()[1] for line in set(after) - set(before))
    assert [] == [path.name for path in Path("rules").iterdir() if path.name.startswith(".")]
    assert Path("rules/0004.yaml").stat().st_mode == Path("rules/migrate.lock").stat().st_mode
    assert 0 == run("check", "rules/").exit_code


def test_an_edited_rule_file(run, locked, shown):
    write_step(3, "name: edited\n" + RULES[3])
    shown("edited", "M612")


def test_the_help_of_an_edited_file_works(run, locked):
    write_step(3, "name: edited\n" + RULES[3])
    assert 1 == run("check", "rules/", "--write").exit_code
    lines = Path("rules/migrate.lock").read_text().splitlines(keepends=True)
    Path("rules/migrate.lock").write_text("".join(line for line in lines if "0003" not in line))

    assert 0 == run("check", "rules/", "--write").exit_code


def test_a_missing_rule_file(locked, shown):
    Path("rules/0003.yaml").unlink()
    Path("rules/3.tree.json").unlink()
    shown("missing", "M613")


def test_a_lock_file_with_a_conflict(locked, shown):
    text = Path("rules/migrate.lock").read_text()
    Path("rules/migrate.lock").write_text(f"<<<<<<< ours\n{text}=======\n>>>>>>> theirs\nbroken\n")
    shown("conflict", "M615")


def test_two_newest_versions(locked, shown):
    write_step(4, 'rules:\n  - "head -> output"\n', "_other", before=2)
    write_tree(4, {"layers/0/kernel": "4,4", "layers/1/kernel": "4,4", "output": "4,2"})
    shown("two_heads", "M603")


def test_a_circle_and_a_gap_are_found_at_once(locked, shown):
    write_step(1, 'rules:\n  - "layers/{i}/kernel -> blocks/{i}/w"\n', "_back", before=2)
    write_step(8, "rules: []\n", before=7)
    payload = shown("circle", "M604")

    assert {"M602", "M604", "M601"} <= {one["code"] for one in payload["diagnostics"]}


def test_a_rule_file_that_no_longer_applies(run, locked, shown):
    write_tree(2, {"layers/0/kernel": "4,4", "layers/1/kernel": "4,8", "head": "4,2", "new": "3"})
    payload = shown("does_not_apply", "M204")

    places = {one["span"]["file"] for one in payload["diagnostics"] if one["span"]}
    assert {"rules/0002.yaml", "rules/0003.yaml", "rules/2.tree.json"} == places
    annotated = run("check", "rules/", "--format", "github").stdout
    assert "::error file=rules/0002.yaml,line=" in annotated


def test_a_path_that_takes_two_upgrades_passes_with_a_warning(run, rules, shown):
    trees = {
        4: {"layers/0/kernel": "4,4", "head": "4,2", "n": "3"},
        5: {"layers/0/kernel": "4,4", "head": "4,2", "w": "3"},
    }
    for version, leaves in trees.items():
        write_tree(version, leaves)
    write_step(4, "rules:\n  - create: {to: n, init: template}\n")
    write_step(5, 'rules:\n  - "n -> w"\n')
    run("check", "rules/", "--write")
    shown("unfusable", "M605", exit_code=0)


LINTS = {
    "drop": ("M608", "rules:\n  - drop: head\n", {"layers/0/kernel": "4,4"}),
    "rounded": (
        "M609",
        "rules:\n  - {from: head, to: head, ops: [{cast: {to: bfloat16, lossy: true}}]}\n",
        {"layers/0/kernel": "4,4", "head": "bfloat16:4,2"},
    ),
    "unproved": ("M610", 'rules:\n  - "layers/{i}/kernel -> w/{i}"\n', {"w/0": "4,4", "head": "4,2"}),
    "no_inverse": (
        "M611",
        "rules:\n  - {from: head, to: head, ops: [{slice: {axis: 0, start: 0, stop: 2}}]}\n",
        {"layers/0/kernel": "4,4", "head": "2,2"},
    ),
}


@pytest.mark.parametrize("name", LINTS)
def test_a_lint_is_a_warning_an_error_or_allowed_by_policy(run, locked, shown, name):
    code, text, leaves = LINTS[name]
    others = [other for other in ("M608", "M609", "M610", "M611") if other != code]
    write_step(4, text)
    write_tree(4, leaves)
    Path("pyproject.toml").write_text(f"[tool.migrate]\nallow = {json.dumps(others)}\n{_allowed_before(code)}")
    run("check", "rules/", "--write")
    payload = shown(f"lint_{name}", code, exit_code=0)
    (found,) = (one for one in payload["diagnostics"] if one["code"] == code)
    assert ("warning", "rules/0004.yaml") == (found["severity"], found["span"]["file"])

    project = Path("pyproject.toml").read_text()
    Path("pyproject.toml").write_text(project.replace("allow", f'error = ["{code}"]\nallow', 1))
    assert 1 == run("check", "rules/").exit_code
    (line,) = found["snippet"]
    Path("pyproject.toml").write_text(f"{project}{line}\n")
    assert code not in run("check", "rules/").stdout


def _allowed_before(code):
    """The table for files, which allows a code in the rule files of `rules`."""
    return f'[tool.migrate.per-file]\n"rules/000[23].yaml" = {{allow = ["{code}"]}}\n'


def test_a_policy_for_leaves(run, rules):
    Path("pyproject.toml").write_text('[tool.migrate.per-leaf]\n"layers/**" = {allow = ["M608"]}\n')
    found = json.loads(run("check", "rules/", "--json").stdout)["diagnostics"]

    assert "M608" not in [one["code"] for one in found]
    assert "M610" in [one["code"] for one in found]


def test_mistakes_in_a_policy(locked, shown):
    Path("pyproject.toml").write_text(
        '[tool.migrate]\nallow = ["M608", "M610", "M201", "m610"]\nwarm = []\n'
        '[tool.migrate.per-file]\n"rule/0003*" = {allow = ["M608"]}\n'
        '[tool.migrate.per-leaf]\n"layer/**" = {allow = ["M608"]}\n'
    )
    payload = shown("policy", "M616")

    assert 5 == sum(one["code"] == "M616" for one in payload["diagnostics"])


def test_the_policy_counts_for_a_single_file_too(run, here):
    Path("rules.yaml").write_text("migrate: 1\nrules: []\n")
    Path("pyproject.toml").write_text("[tool.migrate]\nalow = []\n")
    result = run("check", "rules.yaml")

    assert 1 == result.exit_code
    assert "error[M616]: `[tool.migrate]` has no field `alow`" in result.stdout
    assert 1 == run("check", "rules.yaml", "old.msgpack").exit_code
    Path("pyproject.toml").write_text('[tool.migrate.per-file]\n"rule.yaml" = {allow = ["M310"]}\n')
    assert "the per-file pattern `rule.yaml` matches no file" in run("check", "rules.yaml").stdout
    Path("pyproject.toml").write_text('[tool.migrate.per-leaf]\nnone = {allow = ["M310"]}\n')
    assert 0 == run("check", "rules.yaml", "old.msgpack").exit_code


def test_the_policy_raises_or_allows_a_note_of_a_plan(run, here):
    params = {"w_0": np.ones(2, "float32"), "w_1": np.ones(2, "float32")}
    adam = {"count": np.zeros((), "int32"), "mu": params, "nu": params}
    state = {"params": params, "opt_state": {"0": adam}}
    Path("old.msgpack").write_bytes(msgpack.packb(pack(state), use_bin_type=True, strict_types=True))
    rules = "  - {from: 'params/w_{i}', to: params/w, ops: [{stack: {axis: 0, over: i}}]}\n"
    Path("rules.yaml").write_text(f"migrate: 1\nrules:\n{rules}")

    def checked(level):
        Path("pyproject.toml").write_text(f'[tool.migrate]\n{level} = ["M212"]\n')
        result = run("check", "rules.yaml", "old.msgpack")
        return result.exit_code, "M212" in result.stdout

    assert [(0, True), (1, True), (0, False)] == [checked(level) for level in ("warn", "error", "allow")]


def test_all_mistakes_in_files_are_shown(run, locked):
    Path("rules/0003.yaml").write_text("migrate: 1\nrulse: []\n")
    Path("rules/2.tree.json").write_text("{}")
    found = json.loads(run("check", "rules/", "--json").stdout)["diagnostics"]

    assert {"M101", "M607", "M612"} <= {one["code"] for one in found}
    assert "M602" not in {one["code"] for one in found}


def test_nothing_is_written_while_there_are_errors(run, rules):
    write_step(3, 'rules:\n  - "nothing -> something"\n')
    result = run("check", "rules/", "--write")

    assert 1 == result.exit_code
    assert "Nothing was written: correct the errors first." in result.stdout
    assert not Path("rules/migrate.lock").exists()


def test_a_lock_file_that_cannot_be_written_is_named(run, rules, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", refuse)
    result = run("check", "rules/", "--write")

    assert 2 == result.exit_code
    assert "cannot write `rules/migrate.lock`: Permission denied" in result.stderr
    assert [] == [path.name for path in Path("rules").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rules/", "old.msgpack"), "`rules/` is a folder of rule files, which is checked without SRC"),
        (("rules/", "--step", "3"), "--step concerns a checkpoint"),
        (("rules/", "--require-proof"), "--require-proof concerns a checkpoint"),
        (("rules.yaml", "--write"), "--write is for a folder of rule files"),
        (("rules.yaml", "-m", "x"), "--message is for a folder of rule files"),
    ],
)
def test_options_that_do_not_fit_are_refused(run, rules, arguments, message):
    result = run("check", *arguments)

    assert 2 == result.exit_code
    assert message in result.stderr


def test_a_checkpoint_in_place_of_the_rule_file_is_still_called_swapped(run, migrated):
    result = run("check", "new", "rules.yaml")

    assert 2 == result.exit_code
    assert "`migrate check rules.yaml new`" in result.stderr


def test_a_folder_without_rule_files_fails(run, here):
    Path("none").mkdir()
    result = run("check", "none")

    assert 1 == result.exit_code
    assert "error[M601]: none has no rule file with a version" in result.stdout
    assert 1 == run("check", "absent/").exit_code


def test_neither_jax_nor_a_checkpoint_is_needed(locked):
    script = (
        "import sys; sys.modules['jax'] = sys.modules['flax'] = sys.modules['orbax'] = None\n"
        "from migrate.cli.main import main; sys.argv = ['migrate', 'check', 'rules/']; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr), done.stdout


LM = """
import jax.numpy as jnp
from flax import nnx


class Block(nnx.Module):
    def __init__(self, rngs):
        self.{name} = nnx.Linear(4, 4, rngs=rngs)


class LM(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(16, 4, rngs=rngs)
        self.blocks = nnx.List([Block(rngs) for _ in range(2)])


def make():
    return LM(nnx.Rngs(0))
"""


@pytest.fixture
def package(run, here):
    """`lm_package.model` with the recorded tree of its first version in `rules/`."""
    Path("lm_package").mkdir()
    Path("lm_package/__init__.py").touch()
    _model("attention")
    from migrate.template.template import abstract_template

    recorded = RecordedTree("x", "lm", 1, abstract_template("lm_package.model:make").tree)
    Path("rules").mkdir()
    Path("rules/1.tree.json").write_text(tree_text(recorded))
    return here


def _model(name, width=4):
    """Writes the model, as a branch that changes it has it; the module is imported again."""
    shutil.rmtree("lm_package/__pycache__", ignore_errors=True)
    Path("lm_package/model.py").write_text(LM.replace("{name}", name).replace("(16, 4", f"(16, {width}"))
    for module in [module for module in sys.modules if module.startswith("lm_package")]:
        del sys.modules[module]


def test_a_branch_that_renames_a_layer_fails_with_the_draft_and_passes_with_it(run, package, golden):
    check = ("check", "rules/", "--template", "lm_package.model:make")
    assert 1 == run(*check).exit_code  # no lock file
    assert 0 == run(*check, "--write").exit_code
    same = run(*check)
    assert 0 == same.exit_code
    assert "`lm_package.model:make` is lm 1, the newest version." in same.stdout

    _model("attn")
    failed = run(*check)
    assert 1 == failed.exit_code
    golden("cli/check_folder/draft.txt", failed.stdout)
    assert ["1.tree.json", "migrate.lock"] == sorted(path.name for path in Path("rules").iterdir())
    annotated = run(*check, "--format", "github").stdout
    assert "::error title=M617::" in annotated
    payload = json.loads(run(*check, "--json").stdout)["template"]
    assert (False, "0002.yaml", True) == (payload["is_newest"], payload["draft"]["file"], payload["draft"]["applies"])

    wrote = run(*check, "--write", "-m", "rename attention")
    assert 0 == wrote.exit_code, wrote.stdout
    assert "Wrote rules/0002_rename_attention.yaml, rules/2.tree.json, rules/migrate.lock." in wrote.stdout
    assert payload["draft"]["text"] == Path("rules/0002_rename_attention.yaml").read_text()
    assert 0 == run(*check).exit_code
    assert 0 == run("check", "rules/").exit_code


def test_a_draft_that_needs_edits_is_written_but_not_locked(run, package):
    check = ("check", "rules/", "--template", "lm_package.model:make")
    run(*check, "--write")
    locked = Path("rules/migrate.lock").read_text()
    _model("attention", width=5)
    result = run(*check, "--write", "-m", "grow")

    assert 1 == result.exit_code
    assert "Wrote rules/0002_grow.yaml, rules/2.tree.json." in result.stdout
    assert "rules/0002_grow.yaml:" in result.stdout  # the edits that it needs
    assert locked == Path("rules/migrate.lock").read_text()


def test_a_draft_is_not_written_while_there_are_errors(run, package):
    check = ("check", "rules/", "--template", "lm_package.model:make")
    run(*check, "--write")
    Path("rules/migrate.lock").write_text("broken\n")
    _model("attn")
    result = run(*check, "--write")

    assert 1 == result.exit_code
    assert "Nothing was written: correct the errors first." in result.stdout
    assert ["1.tree.json", "migrate.lock"] == sorted(path.name for path in Path("rules").iterdir())


def test_a_model_is_compared_with_the_arguments_of_the_newest_rule_file(run, here):
    Path("args_model.py").write_text("import numpy as np\ndef make(n=1): return {'w': np.zeros(n, 'float32')}\n")
    Path("rules").mkdir()
    write_tree(1, {"v": "7"})
    write_tree(2, {"w": "7"})
    target = "{model: lm, version: 2, template: 'args_model:make', args: {n: 7}}"
    Path("rules/2.yaml").write_text(
        f"migrate: 1\nsource: {{model: lm, version: 1}}\ntarget: {target}\nrules: ['v -> w']\n"
    )
    assert 0 == run("check", "rules/", "--template", "args_model:make", "--write").exit_code

    Path("rules/2.yaml").write_text("migrate: 1\nrulse: []\n")
    result = run("check", "rules/", "--template", "args_model:make")
    assert 1 == result.exit_code
    assert "`args_model:make` was not compared" in result.stdout


def test_with_two_newest_versions_the_model_is_not_compared(run, locked):
    write_step(4, 'rules:\n  - "head -> output"\n', "_other", before=2)
    result = run("check", "rules/", "--template", "tiny_model:make")

    assert 1 == result.exit_code
    assert "`tiny_model:make` was not compared" in result.stdout


def test_a_model_that_fails_is_no_answer(run, locked):
    assert 2 == run("check", "rules/", "--template", "tiny_model:absent").exit_code
