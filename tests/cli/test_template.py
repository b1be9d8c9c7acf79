import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import migrate

WITHOUT_JAX = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

sys.modules["jax"] = sys.modules["flax"] = sys.modules["orbax"] = None
from migrate.cli.main import migrate

found = []
for command in json.loads(sys.argv[1]):
    code, out, err = 0, StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            migrate(command)
        except SystemExit as ended:
            code = ended.code or 0
    found.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(found))
"""

BARE = "migrate: 1\nrules: ['params/Dense_{i}/** -> layers/{i}/**', drop: params/old_head]\n"

SIZED = "import numpy as np\n\n\ndef make(n):\n    return {'w': np.zeros(n, 'float32')}\n"


@pytest.fixture
def recorded(run, here):
    """`tiny.tree.json`, the recorded tree of `tiny_model:make`."""
    result = run("template", "tiny_model:make", "-o", "tiny.tree.json")
    assert 0 == result.exit_code, result.output
    return "tiny.tree.json"


def without_jax(*commands):
    """Runs commands in one process in which JAX, Flax and Orbax cannot be imported; returns what each did."""
    arguments = [sys.executable, "-c", WITHOUT_JAX, json.dumps(commands)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return [subprocess.CompletedProcess(arguments, *one) for one in json.loads(done.stdout)]


def plan(run, *arguments):
    result = run("apply", *arguments, "--dry-run", "--json")
    assert 0 == result.exit_code, result.output
    return json.loads(result.stdout)


def test_the_file_has_the_tree_and_is_not_replaced_unasked(run, recorded):
    again = run("template", "tiny_model:make", "-o", recorded)

    assert 2 == again.exit_code
    assert "error[M501]: `tiny.tree.json` exists" in again.stderr
    replaced = run("template", "tiny_model:make", "-o", recorded, "--overwrite")
    sentence = (
        "Recorded: the tree of `tiny_model:make`, 6 leaves, in tiny.tree.json; `--template tiny.tree.json` stands"
    )
    assert f"{sentence} for the model." == " ".join(replaced.stdout.split())
    assert Path(recorded).read_text() == run("template", "tiny_model:make", "-q").stdout


def test_a_file_that_template_would_not_recognize_is_refused(run, here):
    result = run("template", "tiny_model:make", "-o", "tiny.json")

    assert 2 == result.exit_code
    assert "help: `-o tiny.tree.json`" in result.stderr
    assert not Path("tiny.json").exists()


def test_a_plan_is_the_one_that_the_model_gives(run, recorded):
    Path("bare.yaml").write_text(BARE)
    of_model = plan(run, "bare.yaml", "old.msgpack", "new", "--template", "tiny_model:make")
    of_tree = plan(run, "bare.yaml", "old.msgpack", "new", "--template", recorded)

    assert recorded == of_tree["template"]
    assert {**of_model, "template": recorded} == of_tree


def test_no_command_needs_jax_with_a_recorded_tree(run, recorded):
    Path("bare.yaml").write_text(BARE)
    commands = (
        "apply bare.yaml old.msgpack new --dry-run",
        "apply bare.yaml old.msgpack new",
        "check bare.yaml old.msgpack",
        "diff old.msgpack --rules bare.yaml",
        "plan bare.yaml old.msgpack",
    )
    for done in without_jax(*([*words.split(), "--template", recorded] for words in commands)):
        assert 0 == done.returncode, done.stdout + done.stderr


def test_suggest_and_invert_need_no_jax_with_a_recorded_tree(run, recorded):
    """Exit code 1: the draft leaves a leaf open, and the inverse does not restore what the rules drop."""
    Path("bare.yaml").write_text(BARE)
    commands = (("suggest", "old.msgpack"), ("invert", "bare.yaml", "old.msgpack"))
    for done in without_jax(*([*words, "--template", recorded] for words in commands)):
        assert (1, "") == (done.returncode, "".join(re.findall("error.*", done.stderr))), done.stderr


def test_verify_compares_with_a_recorded_tree_without_jax(run, recorded, migrated):
    run("template", "tiny_model:wider", "-o", "wider.tree.json")
    same, wider = without_jax(*(["verify", migrated, "--template", name] for name in (recorded, "wider.tree.json")))
    assert 0 == same.returncode, same.stdout + same.stderr
    assert f"match `{recorded}`" in " ".join(same.stdout.split())
    assert 1 == wider.returncode


def test_a_rule_file_names_a_recorded_tree_beside_it(run, recorded):
    Path("sub").mkdir()
    Path(recorded).rename(f"sub/{recorded}")
    Path("sub/rules.yaml").write_text(BARE.replace("rules:", f"target: {{template: {recorded}}}\nrules:"))
    (done,) = without_jax(["apply", "sub/rules.yaml", "old.msgpack", "new", "--dry-run", "--json"])

    assert 0 == done.returncode, done.stdout
    assert f"sub/{recorded}" == json.loads(done.stdout)["template"]


def test_a_suggestion_names_the_model_that_was_recorded(run, recorded):
    of_model = run("suggest", "old.msgpack", "--template", "tiny_model:make")
    of_tree = run("suggest", "old.msgpack", "--template", recorded)

    assert 'target: {template: "tiny_model:make"}' in of_tree.stdout
    assert [line for line in of_model.stdout.splitlines() if line[:1] != "#"] == [
        line for line in of_tree.stdout.splitlines() if line[:1] != "#"
    ]


NNX = """
from flax import nnx


class Model(nnx.Module):
    def __init__(self, width, rngs):
        self.width = width
        self.layer = nnx.Linear(4, width, rngs=rngs)
        self.norm = nnx.BatchNorm(width, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)


def make():
    return Model(6, nnx.Rngs(0))
"""


def test_what_a_model_is_known_by_is_recorded(run, here):
    Path("nnx_model.py").write_text(NNX)
    assert 0 == run("template", "nnx_model:make", "-o", "nnx.tree.json").exit_code
    made, found = migrate.abstract_template("nnx_model:make"), migrate.abstract_template("nnx.tree.json")

    assert {"Param", "BatchStat", "RngKey", "RngCount"} <= set(found.variables.values())
    assert 6 == found.facts.hyperparameters["width"]
    assert (made.tree, made.variables, made.facts, made.transforms, made.x64) == (
        found.tree,
        found.variables,
        found.facts,
        found.transforms,
        found.x64,
    )


VERSIONS = """
import numpy as np


def model(blocks):
    layer = {"kernel": np.zeros((4, 4), "float32"), "bias": np.zeros(4, "float32")}
    return {blocks: {str(i): dict(layer) for i in range(3)}, "old_head": np.zeros((4, 2), "float32")}


def second():
    return model("layers")


def third():
    return model("blocks")
"""


def test_versions_are_drafted_planned_and_checked_from_recorded_trees(run, here):
    Path("versions_now.py").write_text(VERSIONS)
    for name in ("second", "third"):
        assert 0 == run("template", f"versions_now:{name}", "-o", f"{name}.tree.json").exit_code
    drafted, planned, _ = without_jax(
        ["new", "steps", "--from", "old.msgpack", "--template", "second.tree.json", "--model", "tiny"],
        ["upgrade", "steps", "old.msgpack", "new", "--from", "1", "--template", "steps/2.tree.json", "--dry-run"],
        ["check", "steps", "--template", "third.tree.json", "--write", "-m", "blocks"],
    )
    assert 0 == drafted.returncode, drafted.stdout + drafted.stderr
    assert '"versions_now:second"' in Path("steps/0002.yaml").read_text()
    assert 0 == planned.returncode, planned.stdout + planned.stderr
    (added,) = Path("steps").glob("0003*")
    assert '"versions_now:third"' in added.read_text()


def test_initial_values_need_the_model(run, recorded):
    Path("create.yaml").write_text(
        "migrate: 1\nrules: [drop: 'params/Dense_2/**', 'params/Dense_{i}/** -> layers/{i}/**', drop: params/old_head, "
        "create: {to: 'layers/2/**', init: template}]\n".replace("'params/Dense_{i}", "'params/Dense_{i:0|1}")
    )
    for dry in ((), ("--dry-run",)):
        result = run("apply", "create.yaml", "old.msgpack", "new", "--template", recorded, *dry)

        assert 2 == result.exit_code
        assert "M570" in result.output
        assert "--template tiny_model:make" in result.output
        assert not Path("new").exists()
    assert 0 == run("apply", "create.yaml", "old.msgpack", "new", "--template", "tiny_model:make").exit_code


def test_a_probe_needs_the_model(run, recorded):
    result = run("suggest", "old.msgpack", "--template", recorded, "--probe", "my_probe:probe")

    assert 2 == result.exit_code
    assert "error[M570]: the probe `my_probe:probe` runs the model, and tiny.tree.json records only its tree" in (
        result.stderr
    )


def test_arguments_and_layout_of_the_rule_file_are_recorded_and_compared(run, here):
    Path("sized.py").write_text(SIZED)
    Path("four.yaml").write_text("migrate: 1\ntarget: {template: 'sized:make', args: {n: 4}}\nrules: []\n")
    Path("five.yaml").write_text("migrate: 1\ntarget: {template: 'sized:make', args: {n: 5}}\nrules: []\n")
    assert 0 == run("template", "--rules", "four.yaml", "-o", "four.tree.json").exit_code
    leaves = json.loads(Path("four.tree.json").read_text())["leaves"]
    assert [4] == leaves["w"]["shape"]

    result = run("check", "five.yaml", "old.msgpack", "--template", "four.tree.json")
    assert 2 == result.exit_code
    assert "error[M571]: four.tree.json was recorded from `sized:make` with the arguments {'n': 4}, not {'n': 5}" in (
        result.stderr
    )
    assert "`migrate template --rules RULES -o four.tree.json --overwrite`" in result.stderr


def test_without_a_model_nothing_is_recorded(run, here):
    Path("bare.yaml").write_text(BARE)
    assert "M416" in run("template").output or 2 == run("template").exit_code
    result = run("template", "--rules", "bare.yaml")

    assert 2 == result.exit_code
    assert "`bare.yaml` names no template" in result.stderr


def test_a_tree_is_not_recorded_from_a_recorded_tree(run, recorded):
    result = run("template", recorded, "-o", "other.tree.json")

    assert 2 == result.exit_code
    assert "M570" in result.stderr


def test_a_file_that_is_no_recorded_tree_is_refused(run, here):
    Path("odd.tree.json").write_text("{}")
    Path("bare.yaml").write_text(BARE)
    result = run("apply", "bare.yaml", "old.msgpack", "new", "--template", "odd.tree.json")

    assert 1 == result.exit_code
    assert "error[M607]: the recorded tree odd.tree.json has no field `migrate`" in result.stderr
