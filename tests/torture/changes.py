"""SRC changes during a run, at any phase: the run is refused, or its result equals one state of SRC."""

import os
import shutil

from tests.torture import plain
from tests.torture.framework import Attack, Trial
from tests.torture.scenarios import SCENARIOS, content, listen, reference

TRIALS = 240
NAMES = ("relink", "relink-zarr", "mixed", "tiles", "safetensors", "msgpack", "file-tiles", "full")


def flip(file, rng):
    """Changes one byte in place."""
    content = bytearray(file.read_bytes())
    at = rng.randrange(len(content))
    content[at] ^= 1 << rng.randrange(8)
    with file.open("r+b") as stream:
        stream.write(content)


def truncate(file, rng):
    """Cuts a file off."""
    os.truncate(file, rng.randrange(max(1, file.stat().st_size)))


def empty(file, rng):
    """Leaves nothing of a file."""
    os.truncate(file, 0)


def delete(file, rng):
    """Removes a file."""
    file.unlink()


def replace(file, rng):
    """Puts a new file with other bytes in its place."""
    other = file.with_name(file.name + ".new")
    other.write_bytes(rng.randbytes(file.stat().st_size))
    other.replace(file)


def grow(file, rng):
    """Appends bytes."""
    with file.open("ab") as stream:
        stream.write(rng.randbytes(100))


DAMAGES = {function.__name__: function for function in (flip, truncate, empty, delete, replace, grow)}


def trials(rng, scale):
    """Yields one damage of one file at one event of a scenario."""
    for number in range(max(6, round(TRIALS * scale))):
        name, damage = NAMES[number % len(NAMES)], rng.choice(list(DAMAGES))
        yield _trial(name, damage, rng.random(), rng.randrange(1 << 30))


def _trial(name, damage, point, seed):
    shown = f"{damage} in SRC of {name} at event {point:.3f}, seed {seed}"
    return Trial(shown, lambda arena: attack(arena, SCENARIOS[name], damage, point, seed))


def attack(arena, scenario, damage, point, seed):
    """Damages SRC at an event; compares what is published with SRC before and after."""
    import random

    wanted = reference(arena, scenario)
    arguments = scenario.set_up(arena)
    rng = random.Random(seed)
    files = [arena.src] if arena.src.is_file() else sorted(f for f in arena.src.rglob("*") if f.is_file())
    target = rng.choices(files, [max(1, file.stat().st_size) for file in files])[0]
    listener = _AtEvent(1 + int(point * wanted.events), lambda: DAMAGES[damage](target, rng))
    run = arena.migrate(*arguments, before=scenario.before(lambda: listen(listener)))
    arena.changed()
    if run.code == 0:
        return _published(arena, scenario, wanted, f"{target.name} at event {listener.number} of {wanted.events}")
    if problem := run.problem(1, 2, 3):
        return problem
    if os.path.lexists(arena.dst):
        return "refused, but DST exists"
    for name in arena.leftovers():
        if not name.startswith(f".{arena.dst.name}.migrate-"):
            return f"left behind beside DST: {name}"
        shutil.rmtree(arena.out / name)  # finished work, from which the same command resumes
    return None


def _published(arena, scenario, wanted, where):
    found = content(arena, arena.dst)
    if found == wanted.content:
        return None
    verified = arena.migrate("verify", arena.dst, "-q")
    after = arena.call(plain.values, arena.src)
    readable = "SRC is unreadable" if after.code else "SRC is readable"
    return (
        f"published with exit code 0 after a change of {where} ({readable} now, `verify` exits {verified.code}): "
        f"{found if isinstance(found, str) else 'other values'}"
    )


class _AtEvent:
    """A listener that calls a function at the nth event."""

    def __init__(self, number, function):
        self.number = self.left = number
        self.function = function

    def __call__(self, event):
        self.left -= 1
        if not self.left:
            self.function()


ATTACK = Attack("changes", "SRC changed during the run", trials, weight=3)
