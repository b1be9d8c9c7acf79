"""Attacks, their trials and the pool that runs each trial in a process of its own."""

import os
import pickle
import random
import select
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from shutil import rmtree

from tests.torture.arena import Arena, Skipped


class Outcome(Enum):
    """The end of a trial."""

    SURVIVED = "survived"
    FOUND = "found"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Trial:
    """One attempt to break migrate.

    Attributes:
      arguments: what the trial does, for its reproduction.
      run: gets an `Arena`; returns None, or a sentence about what it found. Raises `Skipped` where the machine cannot
        run it.
      timeout: seconds after which it counts as a hang.
    """

    arguments: str
    run: Callable[[Arena], str | None]
    timeout: float = 240


@dataclass(frozen=True)
class Attack:
    """One kind of trial.

    Attributes:
      name: its name on the command line.
      title: its row in the table.
      trials: gets a random generator and a scale (1 is a complete run); yields trials, the same for the same seed.
      weight: its share of `--minutes`.
    """

    name: str
    title: str
    trials: Callable[[random.Random, float], Iterator[Trial]]
    weight: float = 1


@dataclass(frozen=True)
class Result:
    """The outcome of a trial, and how to repeat it."""

    outcome: Outcome
    detail: str = ""
    reproduction: str = ""


@dataclass
class Tally:
    """The results of an attack.

    Attributes:
      tried: the number of trials that ran.
      found: the findings.
      skipped: the number of skipped trials and the reason of the last.
      seconds: its duration.
      stopped: whether its share of the time ended before its trials did.
      kinds: how trials survived, and how often.
    """

    tried: int = 0
    found: list[Result] = field(default_factory=list)
    skipped: int = 0
    reason: str = ""
    seconds: float = 0.0
    stopped: bool = False
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, result):
        """Counts a result."""
        if result.outcome is Outcome.SKIPPED:
            self.skipped, self.reason = self.skipped + 1, result.detail
            return
        self.tried += 1
        if result.outcome is Outcome.FOUND:
            self.found.append(result)
        elif result.detail:
            self.kinds[result.detail] += 1


def run_attack(attack, *, seed, scale, sources, folder, jobs=2, seconds=None, end=None, only=None, tell=print):
    """Runs the trials of an attack, some at a time; returns a `Tally`.

    Args:
      attack: the `Attack`.
      seed, scale: what determines its trials.
      sources: the directory of prepared checkpoints.
      folder: a directory for the trials.
      jobs: trials at a time.
      seconds: the time after which no trial is started.
      end: the time of the monotonic clock at which running trials are ended and count as skipped.
      only: the number of the one trial to run.
      tell: receives each finding as a line.
    """
    tally, running, start = Tally(), {}, time.monotonic()
    trials = enumerate(attack.trials(random.Random(f"{attack.name}:{seed}"), scale))
    exhausted = False
    while running or not exhausted:
        if seconds is not None and time.monotonic() - start > seconds and not exhausted:
            exhausted = tally.stopped = True
        while not exhausted and len(running) < jobs:
            found = next((pair for pair in trials if only is None or pair[0] == only), None)
            if found is None:
                exhausted = True
                break
            trial = _Running(attack, *found, seed=seed, scale=scale, sources=sources, folder=folder)
            running[trial.pipe] = trial
        for pipe in select.select(list(running), [], [], 1)[0] if running else ():
            _finish(running.pop(pipe), tally, tell)
        for pipe, trial in list(running.items()):
            if end is not None and time.monotonic() > end:
                running.pop(pipe).abandon()
                tally.add(Result(Outcome.SKIPPED, "the time ended before its last trials did"))
            elif time.monotonic() > trial.deadline:
                _finish(running.pop(pipe), tally, tell)
    tally.seconds = time.monotonic() - start
    return tally


def _finish(trial, tally, tell):
    result = trial.result()
    tally.add(result)
    if result.outcome is Outcome.FOUND:
        tell(f"FOUND  {result.detail}\n       {result.reproduction}")


class _Running:
    """A trial in a child process, which leads a session of its own."""

    def __init__(self, attack, number, trial, *, seed, scale, sources, folder):
        self.folder = Path(folder) / f"{attack.name}-{number}"
        self.folder.mkdir()
        command = f"python -m tests.torture --only {attack.name} --seed {seed} --scale {scale:g} --trial {number}"
        self.reproduction = f"{command}  # {trial.arguments}"
        self.timeout = trial.timeout
        self.deadline = time.monotonic() + trial.timeout
        self.pipe, writing = os.pipe()
        sys.stdout.flush()
        self.child = os.fork()
        if not self.child:
            os.close(self.pipe)
            os.setsid()
            _run_in_child(trial, Arena(self.folder, sources), writing)
        os.close(writing)

    def result(self):
        """Waits for the child's result, at most until the deadline; removes its directory."""
        late = time.monotonic() > self.deadline
        content = b"" if late else self._read()
        self.abandon()
        if content:
            outcome, detail = pickle.loads(content)
        else:
            outcome, detail = Outcome.FOUND, f"no end within {self.timeout} s" if late else "the trial's process died"
        return Result(outcome, detail, self.reproduction)

    def abandon(self):
        """Ends all processes of the trial; removes its directory."""
        with suppress(ProcessLookupError):
            os.killpg(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        os.close(self.pipe)
        rmtree(self.folder, ignore_errors=True)

    def _read(self):
        parts = []
        while part := os.read(self.pipe, 1 << 16):
            parts.append(part)
        return b"".join(parts)


def _run_in_child(trial, arena, writing):
    try:
        arena.enter()
        found = trial.run(arena) or arena.problem()
        result = (Outcome.FOUND, found) if found else (Outcome.SURVIVED, arena.kind)
    except Skipped as reason:
        result = (Outcome.SKIPPED, str(reason))
    except BaseException:  # noqa: BLE001 (the harness reports its own mistakes as well)
        result = (Outcome.FOUND, "the trial itself failed: " + traceback.format_exc())
    try:
        os.write(writing, pickle.dumps(result))
    finally:
        os._exit(0)
