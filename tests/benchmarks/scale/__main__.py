"""Measures the constants of the cost model and the plans of 10 TB, and writes docs/scale.md.

The constants of growth are those of docs/benchmarks/figures.json, whose parts `growth-bytes` and `growth-leaves` are
measured first (`python -m tests.benchmarks.run --only growth-bytes growth-leaves`).

    python -m tests.benchmarks.scale [--note "other work on the machine"]
"""

import argparse
import json
import os
import subprocess
import sys

from tests.benchmarks.page import medians
from tests.benchmarks.run import ROOT, date, machine
from tests.benchmarks.scale.codec import codec_seconds
from tests.benchmarks.scale.model import measured_of
from tests.benchmarks.scale.page import write
from tests.benchmarks.scale.simulated import NAMES

BENCHMARKS = ROOT / "docs" / "benchmarks"
NEEDED = ("growth-bytes", "growth-leaves")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--note", default="", help="what else the machine does, for the page")
    note = parser.parse_args().note
    parts = json.loads((BENCHMARKS / "figures.json").read_text())["parts"]
    missing = [part for part in NEEDED if part not in parts]
    if missing:
        raise SystemExit(f"measure these parts first: python -m tests.benchmarks.run --only {' '.join(missing)}")
    requests = measured_alone("requests")
    found = {
        "machine": machine(note),
        "date": date(),
        "measured": vars(measured_of(medians(parts), requests["each"])),
        "requests": requests,
        "codec": codec_seconds(),
        "plans": {name: measured_alone("simulated", name) for name in NAMES},
    }
    (BENCHMARKS / "scale.json").write_text(json.dumps(found, indent=1) + "\n")
    print(write())


def measured_alone(module, *words):
    """What a module prints as JSON, in a process of its own."""
    command = [sys.executable, "-m", f"tests.benchmarks.scale.{module}", *words]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
