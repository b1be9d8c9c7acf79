"""A model of 4 GB from Hugging Face to tunix and back: whole processes of migrate against a user's own script.

    .venv-families/bin/python -m tests.benchmarks.converting [--gigabytes 4.06] [--runs 3] [--ways there there-hand]

It needs the environment of `make families`. The model has the names and sizes of Qwen3-1.7B in bfloat16, with random
params. Every round runs every way once, one after the other, with a warm page cache. The same conversions of a tiny
model measure the memory of the process itself. The medians go into docs/benchmarks/families.md, all figures into
families.json beside it.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks.converting.model_folder import FULL, TINY, config_of
from tests.benchmarks.converting.page import write
from tests.benchmarks.converting.ways import BACK, WAYS
from tests.benchmarks.floor import compile_all, measured
from tests.benchmarks.run import ROOT, bytes_of, date, machine

PACKAGES = ("transformers", "torch", "google-tunix")
COLUMNS = ("cpu", "system", "seconds", "peak", "read", "written")
UNITS = {"peak": 1e9, "read": 1e6}
"""The bytes of a unit of the columns that `floor.measured` does not count in bytes or seconds."""

RULES = """migrate: 1
target: {{template: "tests.benchmarks.converting.tunix_model:make", args: {{gigabytes: {}}}}}
include: hf/qwen3
rules: []
"""


def main():
    options = arguments()
    versions = installed()
    compile_all(ROOT)
    ways = [way for way in WAYS if way.key in options.ways]
    base = all_ways(TINY, 1, ways, options)
    found = all_ways(options.gigabytes, options.runs, ways, options)
    result = {
        "machine": f"{machine(options.note)}, {versions}",
        "date": date(),
        "runs": options.runs,
        "model": model_of(options.gigabytes),
        "base": {key: max(run["peak"] for run in runs) for key, runs in base.items()},
        "figures": found,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "families.json").write_text(json.dumps(result, indent=1) + "\n")
    print(write(options.out))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--gigabytes", type=float, default=FULL, help="of the params in bfloat16")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=[way.key for way in WAYS], default=[way.key for way in WAYS])
    parser.add_argument("--scratch", type=Path, help="where the models are written; the temporary directory")
    parser.add_argument("--note", default="", help="what else the machine does, for the page")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    return parser.parse_args()


def installed():
    """The versions of the libraries of the families, in one line."""
    try:
        return ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    except PackageNotFoundError as error:
        advice = "run `make families` once, then .venv-families/bin/python -m tests.benchmarks.converting"
        raise SystemExit(f"the package {error.name} is not installed: {advice}") from None


def model_of(gigabytes):
    """The sizes of the model, for the page."""
    config = config_of(gigabytes)
    names = ("num_hidden_layers", "hidden_size", "vocab_size")
    return {"gigabytes": gigabytes, **{name: config[name] for name in names}}


def all_ways(gigabytes, runs, ways, options):
    """The figures of all runs of every way, by its key."""
    work = Path(tempfile.mkdtemp(prefix="migrate-families-", dir=options.scratch))
    try:
        prepare(work, gigabytes, any(way.direction == BACK for way in ways))
        figures = {way.key: [] for way in ways}
        for number in range(runs):
            for way in ways:
                figures[way.key].append(run(way, work))
                print(f"{gigabytes:g} GB, round {number + 1}, {way.title}: {figures[way.key][-1]}", file=sys.stderr)
        return figures
    finally:
        shutil.rmtree(work)


def prepare(work, gigabytes, both):
    """Writes the model, the rule file and the recorded tree, and converts the model for the way back."""
    words = [sys.executable, "-m", "tests.benchmarks.converting.model_folder", work / "model", str(gigabytes)]
    subprocess.run(words, check=True, cwd=ROOT)
    (work / "rules.yaml").write_text(RULES.format(gigabytes))
    tree, migrate = work / "model.tree.json", [sys.executable, "-m", "migrate"]
    words = ["template", "--rules", work / "rules.yaml", "-o", tree, "--allow-code", "-q"]
    subprocess.run([*migrate, *words], check=True, cwd=ROOT)
    if both:
        words = ["apply", "hf/qwen3", work / "model", work / "checkpoint", "--template", tree, "-q"]
        subprocess.run([*migrate, *words], check=True, cwd=ROOT)


def run(way, work):
    """The figures of one run."""
    source, target = work / ("checkpoint" if way.direction == BACK else "model"), work / "target"
    warm(source)
    marks = work / "marks.json"
    command = list(map(str, way.command(work, source, target)))
    found = dict(zip(COLUMNS, measured(ROOT, command, target), strict=True))
    found = {name: value * UNITS.get(name, 1) for name, value in found.items()} | {"stored": bytes_of(source)}
    if way.is_migrate:
        found |= {name: json.loads(marks.read_text())[name] for name in ("imports", "phases")}
    shutil.rmtree(target)
    return found


def warm(source):
    """Reads every file once, so that no run waits for the disk."""
    for file in source.rglob("*"):
        if file.is_file():
            with file.open("rb") as content:
                while content.read(1 << 24):
                    pass


if __name__ == "__main__":
    main()
