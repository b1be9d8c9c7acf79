"""Peak memory and time of a migration against Orbax's restore and save, each in a process of its own, side by side.

Writes a checkpoint of SIZE gigabytes in 100 leaves into a temporary directory, then: (a) plain Orbax restores it, the
dict is edited, Orbax saves it; (b) `migrate apply` with a rename-only rule file; (c) `migrate apply` with a transpose
of every matrix. The medians go into docs/benchmarks/memory.md.

    python tests/benchmarks/memory.py [--gigabytes 2] [--runs 3]
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LEAVES = 100
COLUMNS = 1024

WRITE = """
import sys, numpy as np, orbax.checkpoint as ocp
path, leaves, rows, columns = sys.argv[1], *map(int, sys.argv[2:])
random = np.random.default_rng(0)
tree = {f"block_{i}": {"kernel": random.standard_normal((rows, columns), dtype=np.float32)} for i in range(leaves)}
ocp.PyTreeCheckpointer().save(path, {"params": tree})
"""

ORBAX = """
import sys, orbax.checkpoint as ocp
tree = ocp.PyTreeCheckpointer().restore(sys.argv[1])["params"]
new = {"params": {"blocks": {name.removeprefix("block_"): leaf for name, leaf in tree.items()}}}
ocp.PyTreeCheckpointer().save(sys.argv[2], new)
"""

RENAME = 'migrate: 1\nrules:\n  - "params/block_{i}/kernel -> params/blocks/{i}/kernel"\n'
TRANSPOSE = """migrate: 1
rules:
  - from: "params/block_{i}/kernel"
    to: "params/blocks/{i}/kernel"
    ops: [transpose]
"""


def measure(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak resident gigabytes of a whole process."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(errors.decode())
    return time.monotonic() - start, usage.ru_maxrss / 2**20


def run_cases(work: Path, rows: int, runs: int) -> dict[str, list[tuple[float, float]]]:
    source = work / "old"
    subprocess.run(
        [sys.executable, "-c", WRITE, source, *map(str, (LEAVES, rows, COLUMNS))], check=True, capture_output=True
    )
    (work / "rename.yaml").write_text(RENAME)
    (work / "transpose.yaml").write_text(TRANSPOSE)
    apply = [sys.executable, "-m", "migrate", "apply"]
    cases = {
        "Orbax restore, edit the dict, save": [sys.executable, "-c", ORBAX, source, work / "a"],
        "migrate, rename, not verified": [*apply, work / "rename.yaml", source, work / "b", "--verify", "none"],
        "migrate, rename": [*apply, work / "rename.yaml", source, work / "c"],
        "migrate, transpose of every matrix": [*apply, work / "transpose.yaml", source, work / "d"],
    }
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(runs):
        for name, command in cases.items():
            figures[name].append(measure([str(part) for part in command]))
            for out in "abcd":
                shutil.rmtree(work / out, ignore_errors=True)
    return figures


def table(figures: dict[str, list[tuple[float, float]]], gigabytes: float, runs: int) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "orbax-checkpoint", "tensorstore", "numpy"))
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    lines = [
        f"# Memory and time, {gigabytes:g} GB in {LEAVES} leaves",
        "",
        f"Whole processes, imports included; medians of {runs}, one after the other in one run. Made by `make bench`.",
        f"{machine}, {versions}.",
        "",
        "| case | seconds | peak memory, GB |",
        "|---|---:|---:|",
    ]
    for name, measured in figures.items():
        seconds, memory = (statistics.median(column) for column in zip(*measured, strict=True))
        lines.append(f"| {name} | {seconds:.1f} | {memory:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    rows = int(options.gigabytes * 1e9 / LEAVES / COLUMNS / 4)
    work = Path(tempfile.mkdtemp(prefix="migrate-bench-"))
    try:
        text = table(run_cases(work, rows, options.runs), options.gigabytes, options.runs)
    finally:
        shutil.rmtree(work)
    print(text)
    (ROOT / "docs" / "benchmarks" / "memory.md").write_text(text)


if __name__ == "__main__":
    main()
