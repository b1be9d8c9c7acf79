"""Two and eight runs of one command at once: one publishes, the others are refused, and the result is complete."""

import os
import time

from tests.torture.framework import Attack, Trial
from tests.torture.scenarios import SCENARIOS, content, reference

TRIALS = 60
REFUSALS = ("M501", "M509")
"""The diagnostics of a run that came second: DST exists, or another run is writing it."""


def trials(rng, scale):
    """Yields two or eight runs of a scenario that start within some milliseconds."""
    names = [name for name, scenario in SCENARIOS.items() if not scenario.in_place]
    for number in range(max(4, round(TRIALS * scale))):
        name = names[number % len(names)]
        delays = [rng.choice((0.0, rng.random() * 0.3)) for _ in range(rng.choice((2, 2, 8)))]
        yield _trial(name, delays)


def _trial(name, delays):
    shown = f"{len(delays)} runs of {name}, {sum(delays) / len(delays):.3f} s apart"
    return Trial(shown, lambda arena: attack(arena, SCENARIOS[name], delays))


def attack(arena, scenario, delays):
    """Starts the runs; checks the exit code of each, and the result."""
    wanted = reference(arena, scenario)
    arguments = scenario.set_up(arena)
    started = []
    for delay in delays:
        started.append(arena.start(*arguments, before=scenario.before()))
        time.sleep(delay / len(delays))
    runs = [arena.wait(child, 90) for child in started]
    for run in runs:
        if problem := run.problem(0, 1, 3):
            return problem
        if run.code and not any(code in run.output for code in REFUSALS):
            return f"refused for another reason: {run.output[-400:]}"
    published = [run for run in runs if run.code == 0]
    if scenario.name == "steps" and not published:  # runs may share the steps, so that each of them is refused
        run = arena.migrate(*arguments, before=scenario.before())
        published = [] if run.problem(0) else [run]
    if not published or not os.path.lexists(arena.dst):
        return f"no run published: {[run.output[-200:] for run in runs]}"
    found = content(arena, arena.dst)
    if found != wanted.content:
        return f"another result of {len(published)} published runs: {found if isinstance(found, str) else ''}"
    if scenario.old is None and scenario.name != "steps" and len(published) > 1 and _wrote(published) > 1:
        return f"{len(published)} runs published the same DST"
    return None


def _wrote(runs):
    """Returns the number of runs that wrote, instead of stating that the result is already there."""
    return sum("already done" not in run.output.lower() for run in runs)


ATTACK = Attack("concurrency", "two and eight runs at once", trials, weight=2)
