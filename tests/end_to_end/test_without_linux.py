"""Migrations on systems without the calls that only Linux has: they are taken away from the process."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

TAKEN = """
import ctypes, errno, fcntl, json, os, sys
from pathlib import Path

for name in ("fdatasync", "posix_fadvise"):
    delattr(os, name)

class Library(ctypes.CDLL):
    def __getattr__(self, name):
        if name in ("renameat2", "syncfs", "malloc_trim", "mallopt"):
            raise AttributeError(name)
        return super().__getattr__(name)

ctypes.CDLL = Library

def refused(*arguments):
    raise OSError(errno.ENOTTY, "no such call")

fcntl.ioctl = fcntl.flock = refused
read_text = Path.read_text

def without_proc(self, *arguments, **more):
    if self.is_relative_to("/proc"):
        raise FileNotFoundError(errno.ENOENT, "no such file", str(self))
    return read_text(self, *arguments, **more)

Path.read_text = without_proc
options = json.loads(sys.argv[1])
if not options["links"]:
    os.link = refused
from migrate.cli.main import main
for words in options["commands"]:
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""

RULES = """\
migrate: 1
rules:
  - "layer.{i}.weight -> blocks/{i}/weight"
  - {from: "head.weight", to: head/kernel, ops: [{transpose: [1, 0]}]}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    arrays = {f"layer.{number}.weight": np.full((8, 8), number, np.float32) for number in range(3)}
    safetensors.numpy.save_file(
        {**arrays, "head.weight": np.arange(12.0, dtype=np.float32).reshape(3, 4)}, "old.safetensors"
    )
    Path("rules.yaml").write_text(
        RULES.replace("layer.{i}.weight", "layer/{i}/weight").replace("head.weight", "head/weight")
    )
    return tmp_path


def run(*commands: str, links: bool = True) -> str:
    """Runs commands in one process."""
    options = json.dumps({"links": links, "commands": [command.split() for command in commands]})
    done = subprocess.run(
        [sys.executable, "-c", TAKEN, options], capture_output=True, text=True, check=False, timeout=300
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_a_checkpoint_is_written_replaced_linked_and_verified(here: Path):
    Path("rename.yaml").write_text('migrate: 1\nrules: ["blocks/** -> layers/**"]\n')
    output = run(
        "apply rules.yaml old.safetensors new",
        "apply rules.yaml old.safetensors new --overwrite --compression none",
        "apply rename.yaml new newer",
        "verify new",
        "inspect newer",
    )
    assert "no value has changed" in output
    assert "layers" in output.partition("no value has changed")[2]


def test_files_are_copied_where_neither_links_nor_clones_exist(here: Path):
    Path("rename.yaml").write_text('migrate: 1\nrules: ["blocks/** -> layers/**"]\n')
    copying = "apply rename.yaml new newer --verify decode"
    run("apply rules.yaml old.safetensors new", copying, links=False)


def test_single_files_are_written_and_replaced(here: Path):
    apply = "apply rules.yaml old.safetensors out.safetensors"
    run(apply, f"{apply} --overwrite")
    written = safetensors.numpy.load_file("out.safetensors")
    np.testing.assert_array_equal(np.arange(12.0).reshape(3, 4).T, written["head.kernel"])
