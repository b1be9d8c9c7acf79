"""Starts `migrate apply --processes`, kills some of its processes at a chosen moment, and waits for the others.

A moment is a number of arrays that the workers made durable, a later phase, or a number of milliseconds after the first
worker began.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
VICTIMS = ("worker", "all-but-one", "all-workers", "coordinator")
MOMENTS = (
    "begin", "arrays-1", "arrays-3", "arrays-6", "arrays-9", "arrays-12", "arrays-15", "merged", "result", "verify",
    *(f"after-{milliseconds}" for milliseconds in (1, 5, 20, 60, 120, 200, 300, 400, 500, 600, 800, 1000)),
)  # fmt: skip
_SECONDS = 60


def start(folder, processes, target):
    """Starts the command in a folder that has `src` and `rules.yaml`; arrays take a while, because of their codec."""
    codec = () if "." in target else ("--compression", "zstd:15")
    words = ["apply", "rules.yaml", "src", target, "--processes", str(processes), *codec, "-q"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu", "PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, "-m", "migrate", *words]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def run(folder, processes=2, target="new"):
    """Runs the command to its end; returns its exit code and output."""
    process = start(folder, processes, target)
    output = process.communicate(timeout=_SECONDS)[0].decode()
    return process.returncode, output


def kill(folder, victim, moment, seed=0, processes=2, target="new"):
    """Runs the command and kills a part of it.

    Returns:
      The exit code and the output of the command, and whether anything was killed: it may have ended before.
    """
    process = start(folder, processes, target)
    wait_for(folder, moment, process)
    ids = workers_of(process.pid)
    random.Random(seed).shuffle(ids)
    chosen = {"worker": ids[:1], "all-but-one": ids[1:], "all-workers": ids, "coordinator": [process.pid]}[victim]
    for each in chosen if process.poll() is None else ():
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            chosen = [other for other in chosen if other != each]
    output = process.communicate(timeout=_SECONDS)[0].decode()
    wait_for_end(ids)
    return process.returncode, output, bool(chosen)


def wait_for(folder, moment, process):
    """Waits for a moment, or for the end of the command."""
    name, _, number = moment.partition("-")
    reached = {
        "begin": lambda: journals(folder),
        "arrays": lambda: durable(folder) >= int(number),
        "merged": lambda: any(folder.glob(".new*.migrate-*/staged/*/manifest.ocdbt")),
        "result": lambda: any(folder.glob(".new*.migrate-*/result")),
        "verify": lambda: any(folder.glob(".new*.migrate-*/result/_CHECKPOINT_METADATA")),
        "after": lambda: journals(folder),
    }[name]
    while process.poll() is None and not reached():
        time.sleep(0.005)
    if name == "after":
        time.sleep(int(number) / 1000)


def journals(folder):
    return list(folder.glob(".new*.migrate-*/shares/*.jsonl"))


def durable(folder):
    """The number of arrays that the journals of the shares name."""
    lines = 0
    for journal in journals(folder):
        try:
            lines += max(journal.read_bytes().count(b"\n") - 1, 0)
        except FileNotFoundError:
            continue
    return lines


def workers_of(pid):
    """The processes of the pool of a process: forked from it, or in place of some that died, spawned."""
    return [child for child in _children(pid) if _is_worker(child, pid)]


def _is_worker(child, parent):
    command = _command(child)
    return bool(command) and (command == _command(parent) or b"spawn_main" in command)


def _children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_for_end(ids):
    """Waits until no process of a pool is left: each ends soon after its parent."""
    end = time.monotonic() + _SECONDS
    while any(_command(each) for each in ids):
        assert time.monotonic() < end, f"of {ids}, a worker has survived its parent"
        time.sleep(0.02)
