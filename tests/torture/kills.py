"""SIGKILL at any point: the same command then completes, equal in every bit, and leaves nothing else."""

import os
import signal

from tests.torture import shim
from tests.torture.arena import Skipped
from tests.torture.framework import Attack, Trial
from tests.torture.scenarios import SCENARIOS, content, listen, reference

POINTS = 90
"""Points of each scenario at scale 1."""


def trials(rng, scale):
    """Yields a kill at random points of each scenario; every fourth run is killed twice."""
    names = list(SCENARIOS)
    for number in range(max(len(names), round(POINTS * scale * len(names)))):
        kind = rng.choices(("call", "event", "time"), (6, 2, 2))[0]
        if kind == "event" and not SCENARIOS[names[number % len(names)]].has_events:
            kind = "call"
        points = [rng.random() for _ in range(1 + (number % 4 == 3))]
        yield _trial(names[number % len(names)], kind, points)


def _trial(name, kind, points):
    shown = ", ".join(f"{point:.4f}" for point in points)
    return Trial(f"SIGKILL of {name} at {kind} {shown}", lambda arena: attack(arena, SCENARIOS[name], kind, points))


def attack(arena, scenario, kind, points):
    """Kills a scenario at each point in turn, and then lets the same command finish."""
    wanted = reference(arena, scenario)
    arguments = scenario.set_up(arena)
    old = content(arena, arena.dst) if scenario.old else None
    for point in points:
        run = arena.migrate(*arguments, before=scenario.before(killer(kind, point, wanted, arena.out)))
        ended = run.code in (0, -signal.SIGKILL, -signal.SIGALRM) or scenario.is_done(run)
        if not ended and (problem := run.problem(0)):
            return f"the run before the kill: {problem}"
        complete = os.path.lexists(arena.dst)
        if complete and scenario.name != "steps":
            found = content(arena, arena.dst)
            if found not in (wanted.content, old):
                return f"DST is neither absent nor old nor complete after the kill: {_difference(wanted, found)}"
            if problem := scenario.invalid(arena):
                return f"after the kill, Orbax cannot restore DST: {problem}"
    run = arena.migrate(*arguments, before=scenario.before())
    problem = run.problem(0)
    if problem and not scenario.is_done(run):
        if scenario.old is None and complete and "M501" in run.output:
            problem = f"DST was complete, but: {run.output[-300:]}"
        return f"the same command does not finish: {problem}; beside DST: {arena.leftovers()}"
    found = content(arena, arena.dst)
    if found != wanted.content:
        return f"another result: {_difference(wanted, found)}"
    if scenario.in_place and (left := [name for name in os.listdir(arena.dst.parent) if not name.isdigit()]):
        return f"left behind beside the step: {left}"
    return scenario.invalid(arena) or None


def _difference(wanted, found):
    if not isinstance(found, dict):
        return found
    names = wanted.content.keys() | found.keys()
    return sorted(name for name in names if wanted.content.get(name) != found.get(name))[:5]


def killer(kind, point, wanted, out):
    """Returns a function that has this process killed at a part of its calls, events or duration."""
    if kind == "call" and not shim.is_loaded():
        raise Skipped("no C compiler for the shim")

    def arm():
        if kind == "call":
            shim.arm(shim.KILL, out, nth=1 + int(point * wanted.calls))
        elif kind == "event":
            listen(_Countdown(1 + int(point * wanted.events)))
        else:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, point * wanted.seconds * 1.1))

    return arm


class _Countdown:
    """A listener that kills its process at the nth event."""

    def __init__(self, left):
        self.left = left

    def __call__(self, event):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


ATTACK = Attack("kills", "SIGKILL at calls, events and times", trials, weight=10)
