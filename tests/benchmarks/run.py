"""Time and memory of migrations against Orbax's own ways, their growth, and memory against the budget.

Each case is a process of its own. Every case of a part runs once in each round, one after the other, so that other
work of the machine affects all of them. The medians go into docs/benchmarks/README.md with plots; figures.json beside
it keeps the raw figures of each part, with the machine and the date. A part that is measured again replaces its
figures, those of the other parts stay.

    python -m tests.benchmarks.run [--only memory] [--sizes 0.25 1 4] [--runs 5] [--cases a d f] [--out FOLDER]
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.case import PARTS
from tests.benchmarks.cases import CASES
from tests.benchmarks.measure import as_json, measure
from tests.benchmarks.page import write
from tests.benchmarks.rule_texts import RULES

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("jax", "orbax-checkpoint", "tensorstore", "numpy")


def main():
    options = arguments()
    cases = [case for case in CASES if case.part in options.only and case.key in options.cases]
    for part in dict.fromkeys(case.part for case in cases):
        runs = options.runs or PARTS[part]
        figures = measured([case for case in cases if case.part == part], runs, options)
        keep(options.out, part, {"machine": machine(options.note), "date": date(), "runs": runs, "figures": figures})
    print(write(options.out))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.25, 1, 4], help="gigabytes of the part `orbax`")
    parser.add_argument("--runs", type=int, help="rounds; by default those of each part")
    parser.add_argument("--cases", nargs="+", choices=[c.key for c in CASES], default=[c.key for c in CASES])
    parser.add_argument("--scale", type=float, default=1, help="of the checkpoints whose size is always the same")
    parser.add_argument("--scratch", type=Path, help="where the checkpoints are written; the temporary directory")
    parser.add_argument("--note", default="", help="what else the machine does, for the page")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    return parser.parse_args()


def measured(cases, runs, options):
    """The figures of cases of one part."""
    work = Path(tempfile.mkdtemp(prefix="migrate-bench-", dir=options.scratch))
    try:
        for name, text in RULES.items():
            (work / f"{name}.yaml").write_text(text)
        return [row for checkpoint in checkpoints(cases, options) for row in run_all(work, *checkpoint, cases, runs)]
    finally:
        shutil.rmtree(work)


def keep(folder, part, result):
    """Replaces the figures of one part in figures.json."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "figures.json"
    parts = json.loads(file.read_text())["parts"] if file.exists() else {}
    file.write_text(json.dumps({"parts": {**parts, part: result}}, indent=1) + "\n")


def checkpoints(cases, options):
    """The kind and size of every checkpoint that cases need."""
    sizes = {case: [size * options.scale for size in case.sizes] or options.sizes for case in cases}
    return dict.fromkeys((case.kind, size) for case in cases for size in sizes[case])


def run_all(work, kind, size, cases, runs):
    """Every case on one checkpoint, round after round."""
    source, target, marks = work / "source", work / "target", work / "marks.json"
    subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.checkpoints", kind, source, str(size)], check=True, cwd=ROOT
    )
    chosen = [case for case in cases if case.kind == kind]
    figures = {case.key: [] for case in chosen}
    try:
        for number in range(runs):
            for case in chosen:
                command = case.command(work, source, target, marks)
                figures[case.key].append(measure(command, marks if case.is_marked else None, cwd=ROOT))
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


def date():
    """The day, as `2026-11-26`."""
    return time.strftime("%Y-%m-%d")


def machine(note=""):
    """The machine, its other work and the versions, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    where = f"{os.cpu_count()} cores, {memory:.0f} GB{f' ({note})' if note else ''}"
    return f"{where}, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    main()
