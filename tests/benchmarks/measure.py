"""What one process costs: wall seconds, peak memory, and what it says of itself."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

_LAUNCHER = """
import json, os, sys, time
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
start = time.monotonic()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(child, 0)
print(json.dumps([time.monotonic() - start, usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status)]))
"""
"""A process inherits the peak memory of the one that starts it, so what starts the command has to be a small one."""


@dataclass(frozen=True)
class Figure:
    """One run of one case.

    Attributes:
      seconds: wall time of the whole process.
      peak: peak resident bytes of the whole process.
      marks: what `tests.benchmarks.marked` writes down; empty for other commands.
    """

    seconds: float
    peak: int
    marks: dict = field(default_factory=dict)


def measure(command, marks=None, cwd=None):
    """Runs a command and waits for it; stops the benchmark with the command's own words when it fails.

    Args:
      command: the words of the command.
      marks: the file into which the command writes its marks.
      cwd: where it runs.
    """
    os.sync()  # what earlier runs wrote must not be written out while this one is measured
    words = list(map(str, command))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, *words], capture_output=True, cwd=cwd, check=True
    )
    seconds, peak, code = json.loads(done.stdout)
    if code:
        raise SystemExit(f"{' '.join(words)}\nended with {code}\n{done.stderr.decode()}")
    said = json.loads(Path(marks).read_text()) if marks else {}
    return Figure(seconds, peak, said)


def middle(figures):
    """The median of each number of several runs of one case."""
    marks = [figure.marks for figure in figures]
    numbers = {name for said in marks for name, value in said.items() if isinstance(value, (int, float))}
    phases = {name for said in marks for name in said.get("phases", {})}
    combined = {name: median(said[name] for said in marks) for name in numbers}
    if phases:
        combined["phases"] = {name: median(said["phases"].get(name, 0) for said in marks) for name in sorted(phases)}
    if marks and "verified" in marks[0]:
        combined["verified"] = marks[0]["verified"]
    return Figure(median(f.seconds for f in figures), int(median(f.peak for f in figures)), combined)


def as_json(figures):
    """Runs as plain values."""
    return [asdict(figure) for figure in figures]


def of_json(rows):
    """Runs again."""
    return [Figure(**row) for row in rows]
