"""Many migrations in one process: it keeps no threads, files or memory."""

import os
import shutil

from tests.torture.framework import Attack, Trial
from tests.torture.scenarios import MIXED

MIGRATIONS = 1000
FIRST = 20
"""Migrations after which everything that is kept once is there."""
GROWTH = 0.05
"""MB of memory for each migration that count as kept."""


def trials(rng, scale):
    """Yields one long process for each kind of DST."""
    for name in ("new", "new.safetensors"):
        number = max(FIRST + 20, round(MIGRATIONS / 2 * scale))
        yield Trial(f"{number} migrations to {name}", lambda arena, n=number, d=name: attack(arena, n, d), timeout=900)


def attack(arena, number, name):
    """Compares threads, descriptors and memory after the first migrations and after the last."""
    arena.source("ocdbt")
    run = arena.call(_repeat, arena.rules(MIXED), arena.src, arena.out / name, number, timeout=880)
    if problem := run.problem(0):
        return problem
    (threads, files, memory), (later_threads, later_files, later_memory) = run.value
    each = (later_memory - memory) / (number - FIRST)
    if later_threads > threads + 2:
        return f"threads grow from {threads} to {later_threads}"
    if later_files > files + 2:
        return f"open files grow from {files} to {later_files}"
    # A short run sees the noise of the allocator, not growth.
    return f"memory grows by {each:.2f} MB a migration" if each > GROWTH and number >= 200 else None


def _repeat(rules, source, target, number):
    import gc

    import migrate

    seen = []
    for count in range(1, number + 1):
        with migrate.open_checkpoint(source) as checkpoint:
            migrate.apply(migrate.plan(checkpoint, migrate.load_rules(rules)), checkpoint, target)
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        if count in (FIRST, number):
            gc.collect()
            seen.append((len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd")), _memory()))
    return seen


def _memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


ATTACK = Attack("process", "many migrations in one process", trials, weight=4)
