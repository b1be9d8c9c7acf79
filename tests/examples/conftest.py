"""The example of a language model in a directory of its own, its README carried out."""

import fcntl
import json
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
    checkout = os.pathsep.join(filter(None, (str(DOCS.parent), os.environ.get("PYTHONPATH"))))
    inherited = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return {**inherited, "PATH": path, "PYTHONPATH": checkout, **more}


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


def once(tmp_path_factory, name, make):
    """Returns `make(place)`, plain JSON, and its place; several workers of pytest-xdist share one result."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    done = place.with_suffix(".json")
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            place.mkdir()
            done.write_text(json.dumps(make(place)))
    return place, json.loads(done.read_text())


def carry_out_readme(place):
    """Carries out the README; returns each command with the lines that are shown, its exit code and its output."""
    here = copy(place)
    commands = COMMAND.findall((EXAMPLE / "README.md").read_text())
    return [(command, shown.splitlines(), *run(here, "bash", "-c", command)) for command, shown in commands]


@pytest.fixture(scope="session")
def transcript(tmp_path_factory):
    """The commands of the README with the lines shown, their exit codes and outputs."""
    return once(tmp_path_factory, "example", carry_out_readme)[1]


@pytest.fixture(scope="session")
def example(tmp_path_factory):
    """The example with version 1 and version 5 trained to step 4: `checkpoints/v1` and `checkpoints/v5`."""
    return once(tmp_path_factory, "example", carry_out_readme)[0] / "docs" / "examples" / "language_model"
