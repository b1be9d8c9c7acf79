"""The steps of the GitHub Action, run in order as a runner would, and the comment that they write."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.examples.conftest import DOCS, copy, environment

ACTION = DOCS / "ci" / "action.yml"
HERE = "docs/examples/language_model"
TEMPLATE = "versions.v5:make_state"


class Runner:
    """Carries out the action in a checkout, with files in place of GitHub, and a `gh` that records its arguments."""

    def __init__(self, root):
        self.root, self.temp = root, root / "temp"
        self.temp.mkdir()
        (self.temp / "bin").mkdir()
        gh = self.temp / "bin" / "gh"
        gh.write_text('#!/bin/sh\necho "$@" >>"$RUNNER_TEMP/gh.txt"\n')
        gh.chmod(0o755)

    def run(self, pull_request="", **inputs):
        """Returns the exit code of the first step that fails, or 0, and the log."""
        action = yaml.safe_load(ACTION.read_text())
        given = {name: value["default"] for name, value in action["inputs"].items()} | inputs
        known = {f"inputs.{name}": value for name, value in given.items()}
        known |= {"github.action_path": str(ACTION.parent), "github.repository": "us/model"}
        known["github.event.pull_request.number"] = pull_request
        log = ""
        for step in action["runs"]["steps"]:
            done = self._step(step, known)
            log += done.stdout + done.stderr
            if done.returncode:
                return done.returncode, log
            outputs = (self.temp / "output").read_text().splitlines()
            known |= {f"steps.{step.get('id')}.outputs.{k}": v for k, v in (line.split("=") for line in outputs)}
        return 0, log

    def _step(self, step, known):
        def filled(text):
            return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: known[found[1]], text)

        files = {name: str(self.temp / name.removeprefix("GITHUB_").lower()) for name in ("GITHUB_OUTPUT",)}
        files["GITHUB_STEP_SUMMARY"] = str(self.temp / "summary.md")
        Path(files["GITHUB_OUTPUT"]).write_text("")
        given = {name: filled(value) for name, value in step.get("env", {}).items()}
        variables = environment(**files, **given, RUNNER_TEMP=str(self.temp))
        variables["PATH"] = f"{self.temp / 'bin'}:{variables['PATH']}"
        script = self.temp / "step.sh"
        script.write_text(filled(step["run"]))
        assert "bash" == step["shell"]
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=self.root / filled(step.get("working-directory", ".")),
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def summary(self):
        return (self.temp / "summary.md").read_text()

    @property
    def posted(self):
        file = self.temp / "gh.txt"
        return file.read_text() if file.exists() else None


@pytest.fixture
def runner(tmp_path):
    copy(tmp_path)
    return Runner(tmp_path)


def without_version_5(root):
    """Takes the rule file of version 5 away, as on a branch that forgot it."""
    rules = root / HERE / "rules"
    for name in ("0005_grow_the_vocabulary.yaml", "5.tree.json"):
        (rules / name).unlink()
        lock = (rules / "migrate.lock").read_text().splitlines(keepends=True)
        (rules / "migrate.lock").write_text("".join(line for line in lock if name not in line))


def test_a_complete_folder_is_green_and_the_summary_shows_which_version_needs_which_files(runner):
    code, log = runner.run(**{"working-directory": HERE})
    assert (0, None) == (code, runner.posted), log
    assert "✅ All released checkpoints can be upgraded." in runner.summary
    assert "| 4 → 5 | `rules/0005_grow_the_vocabulary.yaml` | 3 pad, 50 keep, 2 config |" in runner.summary
    assert "| lm 4 | `rules/0005_grow_the_vocabulary.yaml` | 5 |" in runner.summary
    assert "::error" not in log


def test_an_edited_release_is_an_annotation_at_its_file_and_fails_the_job(runner):
    file = runner.root / HERE / "rules" / "0003_scan_the_layers.yaml"
    file.write_text(file.read_text().replace("axis: 0", "axis: 1"))
    code, log = runner.run(**{"working-directory": HERE}, pull_request="7")
    assert 1 == code
    assert re.search(rf"^::error file={HERE}/rules/0003_scan_the_layers\.yaml,.*M612", log, re.M), log
    assert "❌ `migrate check` fails." in runner.summary
    assert "**error[M612]**" in runner.summary
    assert runner.posted is None, "no token"


@pytest.mark.matrix
def test_a_model_without_a_rule_file_fails_with_the_draft_as_a_comment(runner):
    without_version_5(runner.root)
    code, log = runner.run(**{"working-directory": HERE}, template=TEMPLATE, token="secret", pull_request="7")
    assert 1 == code, log
    assert f"pr comment 7 --repo us/model --edit-last --create-if-none --body-file {runner.temp}" in runner.posted
    comment = Path(runner.posted.split()[-1]).read_text()
    assert comment == runner.summary
    assert "**error[M617]**" in comment
    assert "### The missing rule file: `0005.yaml`" in comment
    assert "target: {template: " in comment
    command = re.search(r"^`(migrate check .*) -m TEXT` writes it", comment, re.M)[1]
    done = subprocess.run(
        ["bash", "-c", f"{command} -m vocabulary"], cwd=runner.root / HERE, env=environment(), check=False
    )
    assert 1 == done.returncode, "the draft needs edits: nothing pads an array by itself"
    assert (runner.root / HERE / "rules" / "0005_vocabulary.yaml").exists()


def test_a_folder_that_does_not_exist_fails_with_its_finding(runner):
    code, log = runner.run(rules="nowhere")
    assert code in (1, 2), log
    assert "nowhere" in runner.summary


def test_the_hook_of_pre_commit_runs_the_check(tmp_path):
    (hook,) = yaml.safe_load((DOCS.parent / ".pre-commit-hooks.yaml").read_text())
    here = copy(tmp_path)
    command = [*hook["entry"].split(), *hook["args"]]
    assert 0 == subprocess.run(command, cwd=here, env=environment(), check=False, capture_output=True).returncode
    for name in [*os.listdir(here / "rules")]:
        assert re.search(hook["files"], f"rules/{name}"), name
    assert not re.search(hook["files"], "versions/v5.py")
    shutil.move(here / "rules" / "0003_scan_the_layers.yaml", here)
    done = subprocess.run(command, cwd=here, env=environment(), check=False, capture_output=True, text=True)
    assert 1 == done.returncode
    assert "0003_scan_the_layers.yaml" in done.stdout + done.stderr
