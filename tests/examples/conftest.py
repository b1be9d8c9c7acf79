"""The example of a language model in a directory of its own, its README carried out."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "language_model"
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ |```).*\n)*)", re.M)


def environment(**more):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**{name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}, "PATH": path, **more}


def run(where, *command, **more):
    """Runs a command; returns its exit code and its output, stderr last."""
    done = subprocess.run(
        [*map(str, command)], cwd=where, env=environment(**more), capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def copy(place):
    """Returns a copy of the example below `docs/`, beside the scripts that it uses."""
    shutil.copytree(DOCS / "ci", place / "docs" / "ci")
    ignored = shutil.ignore_patterns("checkpoints", "released", "__pycache__")
    return shutil.copytree(EXAMPLE, place / "docs" / "examples" / "language_model", ignore=ignored)


@pytest.fixture(scope="session")
def transcript(tmp_path_factory):
    """The directory in which the README was carried out, and each command with the lines shown and the output."""
    here = copy(tmp_path_factory.mktemp("example"))
    commands = COMMAND.findall((EXAMPLE / "README.md").read_text())
    return here, [(command, shown.splitlines(), *run(here, "bash", "-c", command)) for command, shown in commands]


@pytest.fixture(scope="session")
def example(transcript):
    """The example with version 1 and version 5 trained to step 4: `checkpoints/v1` and `checkpoints/v5`."""
    return transcript[0]
