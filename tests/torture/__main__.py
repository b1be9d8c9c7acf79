"""Runs the attacks and prints a table.

    python -m tests.torture                                  every attack, at most 40 minutes on 2 cores
    python -m tests.torture --only kills --scale 0.1         one attack with a tenth of its trials
    python -m tests.torture --only kills --trial 17          one trial, as a finding prints it

Exit code 1 if anything was found.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from tests.torture import page, shim, sources
from tests.torture.framework import run_attack

MODULES = (
    "flips", "concurrency", "changes", "faults", "surroundings", "hostile",
    "process", "fuzz", "size", "kills", "oracle",
)  # fmt: skip
"""The modules of the attacks, in the order of the table; each has an `ATTACK`.

The last ones have more trials than there is time for, and take what the others leave.
"""


def arguments_of(words):
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=MODULES, help="run this attack (repeatable; default: all)")
    parser.add_argument("--minutes", type=float, default=40, help="time for all attacks (default: 40)")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the trials of each attack (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every attack (default: 0)")
    parser.add_argument("--trial", type=int, help="run only this trial of the attack")
    parser.add_argument("--jobs", type=int, default=3, help="trials at a time (default: 3)")
    parser.add_argument("--sources", type=Path, help="directory of prepared checkpoints, kept for later runs")
    parser.add_argument("--write", type=Path, help="page whose rows are replaced (default: only print them)")
    return parser.parse_args(words)


def main(words=None):
    """Runs the chosen attacks; returns the exit code."""
    chosen = arguments_of(words)
    names = chosen.only or list(MODULES)
    folder = Path(os.environ.get("TORTURE_FOLDER") or tempfile.mkdtemp(prefix="migrate-torture-"))
    os.environ["TORTURE_FOLDER"] = str(folder)
    try:
        shim.load(folder)
        prepared = sources.prepare(chosen.sources or folder / "sources")
        tallies = _run(names, chosen, folder, prepared.resolve())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(page.table(tallies))
    if chosen.write:
        page.write(chosen.write, tallies, chosen, order=MODULES)
    return int(any(tally.found for _, tally in tallies))


def _run(names, chosen, folder, prepared):
    preload()
    attacks = [import_module(f"tests.torture.{name}").ATTACK for name in names]
    end = time.monotonic() + 60 * chosen.minutes
    tallies = []
    for number, attack in enumerate(attacks):
        share = attack.weight / sum(later.weight for later in attacks[number:])
        print(f"{attack.name} …", flush=True)
        how = {"seed": chosen.seed, "scale": chosen.scale, "sources": prepared, "folder": folder}
        seconds = max(0.0, end - time.monotonic()) * share
        tally = run_attack(attack, **how, jobs=chosen.jobs, seconds=seconds, end=end, only=chosen.trial, tell=_tell)
        tallies.append((attack, tally))
    return tallies


def _tell(line):
    print(line, flush=True)


def preload():
    """Imports once what every trial needs; a fork then costs milliseconds."""
    for name in (
        "tensorstore", "migrate.api", "migrate.cli.main", "migrate.cli.apply", "migrate.cli.verify",
        "migrate.cli.inspect", "migrate.cli.expand", "migrate.cli.contract", "migrate.engine.layouts.expand",
        "migrate.engine.layouts.contract", "migrate.engine.run", "migrate.engine.outputs.orbax",
        "migrate.engine.outputs.safetensors", "migrate.engine.outputs.msgpack", "migrate.report.of_plan",
        "migrate.report.of_receipt", "numpy.random", "safetensors.numpy", "yaml",
    ):  # fmt: skip
        import_module(name)


if __name__ == "__main__":
    sys.exit(main())
