"""Time and memory of migrations against Orbax's own ways, side by side, each in a process of its own.

Every case runs once in each round, one after the other, so that what the machine does in the meantime hits all of
them. The medians go into docs/benchmarks/README.md with a plot, the raw figures beside it.

    python -m tests.benchmarks.run [--sizes 0.25 1 4] [--runs 5] [--cases a d f] [--out FOLDER]
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.cases import CASES, RULES
from tests.benchmarks.measure import as_json, measure
from tests.benchmarks.page import write

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("jax", "orbax-checkpoint", "tensorstore", "numpy")


def main():
    options = arguments()
    work = Path(tempfile.mkdtemp(prefix="migrate-bench-", dir=options.scratch))
    try:
        for name, text in RULES.items():
            (work / f"{name}.yaml").write_text(text)
        figures = [row for kind, size in checkpoints(options) for row in run_all(work, kind, size, options)]
    finally:
        shutil.rmtree(work)
    result = {"machine": machine(), "runs": options.runs, "figures": figures}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "figures.json").write_text(json.dumps(result, indent=1) + "\n")
    print(write(options.out))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.25, 1, 4], help="gigabytes of the transformers")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cases", nargs="+", choices=[c.key for c in CASES], default=[c.key for c in CASES])
    parser.add_argument("--scale", type=float, default=1, help="of the checkpoints whose size is always the same")
    parser.add_argument("--scratch", type=Path, help="where the checkpoints are written; the temporary directory")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    return parser.parse_args()


def checkpoints(options):
    """The kind and size of every checkpoint that the chosen cases need."""
    chosen = [case for case in CASES if case.key in options.cases]
    fixed = dict.fromkeys((c.kind, c.gigabytes * options.scale) for c in chosen if c.gigabytes)
    sized = [("transformer", size) for size in options.sizes] if any(not c.gigabytes for c in chosen) else []
    return [*sized, *fixed]


def run_all(work, kind, size, options):
    """Every chosen case on one checkpoint, round after round."""
    source, target, marks = work / "source", work / "target", work / "marks.json"
    subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.checkpoints", kind, source, str(size)], check=True, cwd=ROOT
    )
    chosen = [case for case in CASES if case.key in options.cases and case.kind == kind]
    figures = {case.key: [] for case in chosen}
    try:
        for number in range(options.runs):
            for case in chosen:
                said = marks if case.way in ("migrate", "check", "read", "load") else None
                figures[case.key].append(measure(case.command(work, source, target, marks), said, cwd=ROOT))
                print(f"{size:g} GB, round {number + 1}, {case.title}: {figures[case.key][-1]}", file=sys.stderr)
                shutil.rmtree(target, ignore_errors=True)
        return [
            {"case": key, "gigabytes": size, "bytes": bytes_of(source), "figures": as_json(found)}
            for key, found in figures.items()
        ]
    finally:
        shutil.rmtree(source) if source.is_dir() else source.unlink()
        for copy in work.glob(f"{source.name}-*"):  # of `tests.benchmarks.loading`
            shutil.rmtree(copy)


def bytes_of(folder):
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in (folder, *folder.rglob("*")) if path.is_file())


def machine():
    """The machine and the versions, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    where = f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.machine()}"
    return f"{where}, Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    main()
