"""The summary of where the time of a test run went."""

import re
import subprocess
import sys
from pathlib import Path

from tests.where import lines

ROOT = Path(__file__).parents[1]


def test_the_sum_the_folders_and_the_slowest_tests_are_listed_in_order():
    seconds = {f"tests/cli/test_a.py::test_{number}": number for number in range(20)} | {
        "tests/test_b.py::t[a/b]": 10.0
    }
    summed, first, second, title, *slowest = lines(seconds)
    assert "   200.0 s in 21 tests, the sum of all workers" == summed
    assert ["   190.0 s  95%  cli, 20 tests", "    10.0 s   5%  test_b.py, 1 tests"] == [first, second]
    assert "The 15 slowest tests:" == title
    assert (15, "    19.0 s  tests/cli/test_a.py::test_19") == (len(slowest), slowest[0])
    assert "    10.0 s  tests/test_b.py::t[a/b]" in slowest


def test_workers_of_xdist_report_setup_and_test_as_one_duration(tmp_path):
    place = tmp_path / "tests" / "room"
    place.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (tmp_path / "tests" / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    for name in ("test_one", "test_two"):
        (place / f"{name}.py").write_text(
            "import time, pytest\n\n@pytest.fixture\ndef slow():\n    time.sleep(0.1)\n\n"
            f"def {name}(slow):\n    time.sleep(0.1)\n\n@pytest.mark.skip\ndef test_skipped(): ...\n"
        )
    options = ("-q", "-n", "2", "--where", "-p", "no:cacheprovider", "--rootdir", tmp_path)
    command = [sys.executable, "-m", "pytest", *options, place]
    done = subprocess.run([*command, place], cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    durations = {
        name: float(duration) for duration, name in re.findall(r"^ +(\S+) s  (tests/room/\S+)$", done.stdout, re.M)
    }
    assert {f"tests/room/{name}.py::{name}" for name in ("test_one", "test_two")} < durations.keys()
    assert all(0.2 <= durations[f"tests/room/{name}.py::{name}"] < 60 for name in ("test_one", "test_two"))
    assert re.search(r"^ +\S+ s in 4 tests, the sum of all workers\n +\S+ s 100%  room, 4 tests$", done.stdout, re.M)
