"""Saves in progress when a script ends; `tests/training/test_save.py` ends real scripts."""

import subprocess
import sys

SCRIPT = """
from concurrent.futures import ThreadPoolExecutor
from migrate.training.unfinished import wait_at_exit

class Save:
    def wait(self):
        print(ThreadPoolExecutor().submit(lambda: "saved").result())

class Failure:
    def wait(self):
        raise OSError("no space")

wait_at_exit(1, Failure(), 7)
wait_at_exit(2, Save(), 7)
wait_at_exit(2, Save(), 8)
print("end")
"""


def test_pools_still_work_and_a_failure_is_told_and_hinders_no_other():
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert "end\nsaved\n" == ended.stdout
    assert "migrate.save: step 7 was not saved: OSError: no space\n" == ended.stderr
