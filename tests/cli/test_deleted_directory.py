"""A command in a directory that was deleted: an answer, or one sentence, and never the page of a bug."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    "command",
    ["inspect {old}", "check {rules} {old}", "apply {rules} {old} {new}", "apply {rules} {old} new",
     "diff {old} --template tiny_model:make", "verify new", "suggest {old} --template tiny_model:make"],
)  # fmt: skip
def test_no_command_is_a_bug_in_a_directory_that_was_deleted(here, command):
    gone = here / "gone"
    gone.mkdir()
    places = {"old": here / "old.msgpack", "rules": here / "rules.yaml", "new": here / "new"}
    arguments = command.format(**places).split()
    script = f"import os; os.rmdir({str(gone)!r}); from migrate.cli.main import main; main()"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{here}"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, *arguments],
        cwd=gone, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "M901" not in done.stderr
    answered = done.returncode in (0, 1) and done.stdout
    assert answered or "error[M" in done.stderr, done.stderr
