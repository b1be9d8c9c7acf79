"""CPU and wall seconds of whole processes, interleaved: this checkout, others, plain Orbax, and the least possible.

    python -m tests.benchmarks.floor [--cases turn copy rename plain] [--size 1] [--runs 3] [--checkouts . ../other]

Every round runs every way once, one after the other; the medians are printed. `turn` transposes every matrix and keeps
float32, with a template, with its recorded tree and with neither, against `floor_pipeline` and against Orbax; `copy`
renames with `--link never`; `plain` renames plain zarr of many files, against Orbax.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.benchmarks.rule_texts import RENAME, TURN_ALL

ROOT = Path(__file__).parent.parent.parent
STACKED = """migrate: 1
rules:
  - "block_{i}/{name} -> blocks/{i}/{name}"
"""

LAUNCHER = """
import json, os, sys, time
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
start = time.monotonic()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(child, 0)
wall = time.monotonic() - start
with open("/proc/self/io") as counts:  # those of the child are added once it was waited for
    read = int(dict(line.split(": ") for line in counts)["rchar"])
figures = [usage.ru_utime + usage.ru_stime, usage.ru_stime, wall, usage.ru_maxrss / 1e6, read / 1e6]
print(json.dumps([*figures, os.waitstatus_to_exitcode(status)]))
"""

COLUMNS = "CPU s, of it system, wall s, peak GB, MB read, MB of DST"

CASES = {
    "turn": ("transformer", TURN_ALL, ()),
    "copy": ("transformer", RENAME, ("--link", "never")),
    "rename": ("transformer", RENAME, ()),
    "plain": ("plain", STACKED, ()),
}
"""The kind of the checkpoint, the rules and the options of each case."""


def main():
    options = arguments()
    work = Path(tempfile.mkdtemp(prefix="migrate-floor-", dir=options.scratch))
    for checkout in {ROOT, *map(Path.resolve, options.checkouts)}:
        compile_all(checkout)
    try:
        for name in options.cases:
            print(f"\n{name}, {options.size:g} GB, {options.runs} rounds: {COLUMNS}")
            run_case(work, name, options)
    finally:
        shutil.rmtree(work)


def compile_all(checkout):
    """Compiles a checkout as `pip install` does: the rivals are installed, and their bytecode is on disk."""
    folders = [checkout / "migrate", checkout / "tests" / "benchmarks"]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], check=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--size", type=float, default=1, help="gigabytes")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--checkouts", nargs="+", type=Path, default=[ROOT], help="versions of the package to compare")
    parser.add_argument("--scratch", type=Path, help="where the checkpoints are written; the temporary directory")
    parser.add_argument("--phases", action="store_true", help="also print the seconds of each phase of the engine")
    return parser.parse_args()


def run_case(work, name, options):
    kind, rules, words = CASES[name]
    source, target, file = work / "source", work / "target", work / "rules.yaml"
    file.write_text(rules)
    module = "tests.benchmarks.floor_sources" if kind == "plain" else "tests.benchmarks.checkpoints"
    subprocess.run([sys.executable, "-m", module, kind, source, str(options.size)], check=True, cwd=ROOT)
    ways = {
        f"migrate ({checkout.resolve().name})": (
            checkout.resolve(),
            ["tests.benchmarks.marked", work / "marks.json", "apply", file, source, target, "--json", "-q", *words],
        )
        for checkout in options.checkouts
    }
    if name == "turn":
        ways |= templates(work, source, target, options)
        ways["floor_pipeline"] = (ROOT, ["tests.benchmarks.floor_pipeline", source, target])
        ways["Orbax"] = (ROOT, ["tests.benchmarks.orbax_ways", "turn", source, target])
    if name == "plain":
        ways["Orbax"] = (ROOT, ["tests.benchmarks.orbax_ways", "blocks", source, target])
    figures = {way: [] for way in ways}
    for _ in range(options.runs):
        for way, (checkout, command) in ways.items():
            figures[way].append(measured(checkout, [sys.executable, "-m", *map(str, command)], target))
            if options.phases and way.startswith("migrate"):
                marks = json.loads((work / "marks.json").read_text())
                print(f"  {way}: {marks['phases']}, CPU of the work {marks['cpu']:.2f}", flush=True)
            shutil.rmtree(target)
    for way, found in figures.items():
        cpu, system, wall, peak, read, nbytes = (median(row[at] for row in found) for at in range(6))
        figures_of_way = f"{cpu:7.2f} {system:7.2f} {wall:7.2f} {peak:6.2f} {read:8.0f} {nbytes / 1e6:8.1f}"
        print(f"  {way:28} {figures_of_way}", flush=True)
    shutil.rmtree(source)


def templates(work, source, target, options):
    """The ways with the model as a template, and with its recorded tree."""
    file, tree = work / "templated.yaml", work / "model.tree.json"
    model = f'target: {{template: "tests.benchmarks.turned:make", args: {{gigabytes: {options.size}}}}}'
    file.write_text(TURN_ALL.replace("rules:", f"{model}\nrules:"))
    migrate = [sys.executable, "-c", "from migrate.cli.main import main; main()"]
    subprocess.run([*migrate, "template", "--rules", file, "-o", tree, "-q", "--allow-code"], check=True, cwd=ROOT)
    words = ["tests.benchmarks.marked", work / "marks.json", "apply", file, source, target, "--json", "-q"]
    return {
        "migrate, template": (ROOT, [*words, "--allow-code"]),
        "migrate, recorded tree": (ROOT, [*words, "--template", tree]),
    }


def measured(checkout, command, target):
    """CPU seconds, those of the system, wall seconds, peak gigabytes, megabytes read, and bytes of DST."""
    os.sync()
    environment = {**os.environ, "PYTHONPATH": str(checkout), "JAX_PLATFORMS": "cpu"}
    words = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(
        words, capture_output=True, check=True, env=environment, cwd=ROOT if "orbax" in str(command) else checkout
    )
    *figures, code = json.loads(done.stdout)
    if code:
        raise SystemExit(f"{command}\nended with {code}\n{done.stderr.decode()}")
    return (*figures, sum(file.stat().st_size for file in target.rglob("*") if file.is_file()))


if __name__ == "__main__":
    main()
