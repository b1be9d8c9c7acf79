"""CPU seconds and wall time of `migrate apply` by one process and by several: `python -m tests.benchmarks.shares`.

Every array is transposed, so that all of it is read, decoded, written, synced and read back. Runs alternate, and the
least CPU seconds of each count. All generations of processes are counted: this one adopts those whose parent ends.
"""

import argparse
import ctypes
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).parents[2]
RULES = 'migrate: 1\nrules: [{from: "params/d{i}/kernel", to: "l{i}/weight", ops: [{transpose: [1, 0]}]}]\n'
_ADOPT = 36
"""`prctl(2)`: PR_SET_CHILD_SUBREAPER."""


def make(folder, mebibytes, arrays):
    """Writes a checkpoint of square float32 matrices of random values, and the rule file."""
    import orbax.checkpoint as ocp

    side = int((mebibytes * 2**20 / 4 / arrays) ** 0.5)
    rng = np.random.default_rng(0)
    kernels = {f"d{i}": {"kernel": rng.standard_normal((side, side), np.float32)} for i in range(arrays)}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "src", {"params": kernels})
    (folder / "rules.yaml").write_text(RULES)


def run(folder, processes):
    """Returns the CPU seconds and the wall seconds of one run."""
    shutil.rmtree(folder / "new", ignore_errors=True)
    before, begun = _used(), time.monotonic()
    words = ["apply", "rules.yaml", "src", "new", "--processes", str(processes), "-q"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-m", "migrate", *words], cwd=folder, env=environment, check=True)
    wall = time.monotonic() - begun
    _reap()
    return _used() - before, wall


def _used():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _reap():
    """Waits for processes that outlived the command, such as the server that started its workers."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def main():
    """Prints one line for each number of processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--arrays", type=int, default=16)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    ctypes.CDLL(None).prctl(_ADOPT, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, arguments.mebibytes, arguments.arrays)
        found = {processes: [] for processes in arguments.processes}
        for _ in range(arguments.runs):
            for processes, figures in found.items():
                figures.append(run(folder, processes))
    least = {processes: min(cpu for cpu, _ in figures) for processes, figures in found.items()}
    first = least[arguments.processes[0]]
    for processes, figures in found.items():
        wall = min(wall for _, wall in figures)
        ratio = least[processes] / first
        print(f"{processes} processes: {least[processes]:.2f} s of CPU ({ratio:.2f} of the first), {wall:.1f} s")


if __name__ == "__main__":
    main()
