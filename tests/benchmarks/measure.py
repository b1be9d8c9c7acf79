"""What one process costs: wall seconds, peak memory, and what it says of itself."""

import json
import os
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median


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
    start = time.monotonic()
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=cwd,
    )
    with process.stderr as pipe:
        errors = pipe.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"{' '.join(map(str, command))}\nended with {process.returncode}\n{errors.decode()}")
    said = json.loads(Path(marks).read_text()) if marks else {}
    return Figure(seconds, usage.ru_maxrss * 1024, said)


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
