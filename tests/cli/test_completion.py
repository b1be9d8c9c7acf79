"""Completion in real shells: covers `completion`, `shells` and `candidates`."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import orbax.checkpoint as ocp
import pytest

from migrate.cli.main import COMMANDS
from migrate.rules.files import bundled_names

PACKAGE = Path(__file__).parents[2]

RULES = """\
migrate: 1
args: {model: params, axis: 1}
rules:
  - "${model}/** -> layers/**"
"""

DRIVERS = {
    "bash": """\
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
compopt() { [[ $1 == -o && $2 == default ]] && echo "<files>"; }
_migrate_completion migrate
printf '%s\\n' "${COMPREPLY[@]}"
""",
    "zsh": """\
compdef() { }
compadd() { print -rl -- "${(@P)@[-1]}" }
_describe() { print -rl -- "${(@P)3}" }
_path_files() { print "<files>" }
source "$1"
shift
words=("$@")
CURRENT=$#
_migrate_completion
""",
    "fish": """\
source $argv[1]
complete -C "$argv[2]"
""",
}
"""Programs that ask the script of a shell for the candidates of words, the last of which is being typed."""

SHELLS = [
    "bash",
    *(
        pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"{name} is not installed"))
        for name in ("zsh", "fish")
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a root of two steps that have two items, a rule file, and `bin/migrate`."""
    made = tmp_path_factory.mktemp("completion")
    layer = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    with ocp.CheckpointManager(made / "root") as manager:
        for step in (100, 200):
            params = ocp.args.StandardSave({"Dense_0": layer, "Dense_1": layer, "odd $(touch hit)": layer})
            ema = ocp.args.StandardSave({"Dense_0": layer})
            manager.save(step, args=ocp.args.Composite(params=params, ema=ema))
    (made / "rules.yaml").write_text(RULES)
    (made / "broken.yaml").write_text("args: {a: [")
    (made / "bin").mkdir()
    program = made / "bin" / "migrate"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(PACKAGE))} exec {sys.executable} -m migrate "$@"\n')
    program.chmod(0o755)
    return made


@pytest.fixture
def complete(folder):
    """`complete("zsh", "migrate ins")`: the candidates, without their descriptions."""

    def ask(shell, line):
        environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder)}
        how = {"capture_output": True, "text": True, "env": environment, "cwd": folder, "check": False}
        script, driver = folder / f"script.{shell}", folder / f"driver.{shell}"
        if not script.exists():
            script.write_text(subprocess.run(["migrate", "completion", shell], **how).stdout)
        driver.write_text(DRIVERS[shell])
        clean = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
        done = subprocess.run([shell, *clean, driver, script, *_words(shell, line)], **how)
        assert "" == done.stderr
        found = [re.split(r"\t|(?<!\\):", text)[0] for text in done.stdout.splitlines()]
        return [text for text in found if text]

    return ask


def _words(shell, line):
    """The line as the shell passes it to its completion functions: bash ends words at `=` and `:`, too."""
    words = line.split(" ")
    if shell == "bash":
        words = [part for word in words for part in (re.findall(r"[^=:]+|[=:]", word) or [""])]
    return [line] if shell == "fish" else words


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_are_completed(complete, shell):
    assert ["stage", "stamp"] == sorted(complete(shell, "migrate sta"))
    assert sorted(COMMANDS) == sorted(complete(shell, "migrate "))


@pytest.mark.parametrize("shell", SHELLS)
def test_options_and_their_choices_are_completed(complete, shell):
    assert ["--item"] == complete(shell, "migrate inspect root --it")
    assert ["json"] == complete(shell, "migrate inspect root --format js")
    joined = complete(shell, "migrate inspect root --format=js")
    assert ["json" if shell == "bash" else "--format=json"] == joined  # bash has a word of its own after the `=`


@pytest.mark.sample(len(SHELLS))
@pytest.mark.parametrize("shell", SHELLS)
def test_bundled_rule_files_are_completed_beside_files(complete, shell):
    qwens = [name for name in bundled_names() if name.startswith("hf/qwen")]
    assert len(qwens) > 1
    assert qwens == sorted(set(complete(shell, "migrate apply hf/qwen")) - {"<files>"})
    assert ("<files>" if shell == "zsh" else "rules.yaml") in complete(shell, "migrate check ")


@pytest.mark.parametrize("shell", SHELLS)
def test_paths_of_checkpoints_are_completed_by_the_shell(complete, shell):
    assert ["root/" if shell == "fish" else "<files>"] == complete(shell, "migrate inspect ro")


@pytest.mark.sample(len(SHELLS))
@pytest.mark.parametrize("shell", SHELLS)
def test_steps_are_completed_the_latest_first(complete, shell):
    found = complete(shell, "migrate inspect root --step ")
    assert ["100", "200", "latest"] == (sorted(found) if shell == "fish" else found[::-1][:2] + found[:1])
    assert ["100,200"] == complete(shell, "migrate apply rules.yaml root new --step 100,")


@pytest.mark.sample(len(SHELLS))
@pytest.mark.parametrize("shell", SHELLS)
def test_items_are_completed(complete, shell):
    assert ["ema", "params"] == complete(shell, "migrate inspect root --step 100 --item ")
    assert ["params"] == complete(shell, "migrate contract root/100 --keep p")


@pytest.mark.parametrize("shell", SHELLS)
def test_arguments_and_key_paths_are_completed(complete, shell):
    start = "" if shell == "bash" else "model="
    line = "migrate apply rules.yaml root new --arg "
    assert ["model=", "model=params"] == sorted(complete(shell, f"{line}mod"))
    assert [f"{start}params/Dense_0", f"{start}params/Dense_1"] == complete(shell, f"{line}model=params/D")


@pytest.mark.sample(len(SHELLS))
@pytest.mark.parametrize("shell", SHELLS)
def test_a_single_node_is_completed_with_what_is_below_and_a_number_with_nothing(complete, shell):
    start = "" if shell == "bash" else "model="
    line = "migrate apply rules.yaml root new --arg "
    assert [f"{start}ema", f"{start}ema/Dense_0"] == complete(shell, f"{line}model=e")
    assert [] == complete(shell, f"{line}axis=")


@pytest.mark.parametrize("shell", SHELLS)
def test_names_that_a_shell_would_run_are_not_offered(complete, folder, shell):
    found = complete(shell, "migrate apply rules.yaml root new --arg model=params/")
    assert 2 == len(found)
    assert not (folder / "hit").exists()


@pytest.mark.sample(len(SHELLS))
@pytest.mark.parametrize("shell", SHELLS)
def test_codes_are_completed(complete, shell):
    assert ["M201", "M202"] == sorted(complete(shell, "migrate explain M20"))[:2]


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "line",
    [
        "migrate inspect absent --step ",
        "migrate inspect rules.yaml --item ",
        "migrate inspect gs://bucket/root --step ",
        "migrate inspect https://host/root --item ",
        "migrate apply broken.yaml root new --arg ",
        "migrate apply absent.yaml root new --arg x",
        "migrate apply rules.yaml root new --arg none=",
        "migrate aply x",
        "migrate inspect root extra more",
        "migrate inspect --none ",
    ],
)
def test_a_mistake_in_the_line_prints_nothing(complete, line):
    assert {"<files>", "latest"} >= set(complete("bash", line))


def answer(**variables):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), **variables}
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "migrate"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


@pytest.mark.sample(2)
@pytest.mark.parametrize("question", ["", "bash", "csh_complete", "bash_complete", "zsh_complete"])
def test_a_question_without_words_or_shell_is_not_an_error(question):
    done = answer(_MIGRATE_COMPLETE=question)
    assert (0, "") == (done.returncode, done.stdout)
    assert not [line for line in done.stderr.splitlines() if not line.startswith("import time:")]


@pytest.mark.parametrize("line", ["migrate ", "migrate apply hf/"])
def test_commands_and_bundled_rule_files_need_no_array_library(line):
    done = answer(COMP_WORDS=line, COMP_CWORD=str(len(line.split(" ")) - 1), _MIGRATE_COMPLETE="bash_complete")
    assert "plain," in done.stdout
    assert re.search(r"\| +click$", done.stderr, re.MULTILINE)
    assert not re.search(r"\| +(numpy|jax|flax|orbax|tensorstore|rich)$", done.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    "line",
    ["migrate inspect root --step ", "migrate inspect root --item ", "migrate apply rules.yaml root n --arg mod"],
)
def test_no_answer_imports_jax(folder, line, monkeypatch):
    monkeypatch.chdir(folder)
    done = answer(
        COMP_WORDS=line, COMP_CWORD=str(len(line.split(" ")) - 1), _MIGRATE_COMPLETE="bash_complete", PYTHONVERBOSE=""
    )
    assert "plain," in done.stdout
    assert not re.search(r"\| +(jax|flax|orbax|tensorstore)$", done.stderr, re.MULTILINE)


def test_a_shell_that_is_not_known_is_refused(run):
    result = run("completion", "csh")
    assert 2 == result.exit_code
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in result.stderr
