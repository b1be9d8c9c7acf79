"""Odd paths, users, modes, locales and clocks: the result is right, or the command refuses."""

import os
import time

from tests.torture.arena import Skipped
from tests.torture.framework import Attack, Trial
from tests.torture.scenarios import SCENARIOS, content, reference

NAMES = ("relink", "mixed", "safetensors", "msgpack", "relink-zarr")
PATHS = (
    "with space", "ünï→🎉", "per%20cent", "hash#1", "what?x=1", "back\\slash", "-dash", "new\nline", "a" * 230,
    b"latin-\xe9", "quote'\"", "{i}", "*", "~", "file:", "trailing.", "new.tmp", ".hidden", "a|zarr2:", "$HOME",
    "tab\t", "\x1b[31mred", "con\u202etxt", "new.orbax-checkpoint-tmp-0",
)  # fmt: skip


def trials(rng, scale):
    """Yields every odd surrounding with every scenario in turn; the scale only repeats or thins them."""
    kinds = [(f"DST {name!r}", _destination(name)) for name in PATHS]
    kinds += [(f"SRC {name!r}", _source(name)) for name in PATHS]
    kinds += SURROUNDINGS.items()
    made = [(shown, kind, name) for shown, kind in kinds for name in NAMES]
    rng.shuffle(made)
    for shown, kind, name in made[: max(24, round(len(made) * scale))]:
        yield _trial(shown, kind, name)


def _trial(shown, kind, name):
    return Trial(f"{name}: {shown}", lambda arena: attack(arena, SCENARIOS[name], kind))


def attack(arena, scenario, kind):
    """Sets up a scenario, lets `kind` change its surroundings, and runs it."""
    wanted = reference(arena, scenario)
    arguments = list(scenario.set_up(arena))
    before, codes = kind(arena, arguments)
    run = arena.migrate(*arguments, before=before)
    if problem := run.problem(*codes):
        return problem
    if run.code:
        return "refused, but DST exists" if os.path.lexists(arena.dst) else None
    found = content(arena, arena.dst)
    if found != wanted.content:
        return f"another result: {found if isinstance(found, str) else 'other values'}"
    run = arena.migrate("verify", arguments[3], "-q", before=before)
    return f"`verify` afterwards: {problem}" if (problem := run.problem(0)) else None


def _destination(name):
    """DST has an odd name; TensorStore takes no bytes that are not UTF-8."""

    def change(arena, arguments):
        place = os.fsdecode(name)[:230] + arena.dst.suffix
        arena.dst, arena.expected = arena.out / place, {place}
        arguments[3] = arena.dst
        return None, (0, 1, 2)

    return change


def _source(name):
    """SRC has an odd name."""

    def change(arena, arguments):
        place = arena.folder / (os.fsdecode(name)[:230] + arena.src.suffix)
        os.rename(arena.src, place)
        arena.src = arguments[2] = place
        return None, (0, 1, 2)

    return change


def read_only_parent(arena, arguments):
    """DST's directory is not writable, for a user who is not root."""
    _as_nobody_can_reach(arena)
    os.chmod(arena.out, 0o555)
    return _nobody(arena, arguments), (1, 2)


def not_root(arena, arguments):
    """SRC belongs to another user and can only be read."""
    _as_nobody_can_reach(arena)
    os.chmod(arena.out, 0o777)
    _chmod(arena, 0o755, 0o644)
    return _nobody(arena, arguments), (0,)


def unreadable(arena, arguments):
    """SRC cannot be read."""
    _as_nobody_can_reach(arena)
    os.chmod(arena.out, 0o777)
    os.chmod(arena.src, 0)
    arena.changed()
    return _nobody(arena, arguments), (1, 2)


def read_only_source(arena, arguments):
    """Every file of SRC is read-only."""
    _chmod(arena, 0o555, 0o444)
    return None, (0,)


def _chmod(arena, folders, files):
    for path in [arena.src, *arena.src.rglob("*")]:
        os.chmod(path, folders if path.is_dir() else files)
    arena.changed()


def latin_1(arena, arguments):
    """The terminal cannot show `→`."""
    return lambda: _encode("latin-1"), (0,)


def ascii_only(arena, arguments):
    """The C locale."""
    return lambda: _encode("ascii"), (0,)


def _encode(encoding):
    import sys

    os.environ.update(LC_ALL="C", PYTHONIOENCODING=encoding)
    sys.stdout.reconfigure(encoding=encoding, errors="strict")
    sys.stderr.reconfigure(encoding=encoding, errors="backslashreplace")


def deleted_directory(arena, arguments):
    """The current directory was deleted."""

    def leave():
        folder = arena.folder / "gone"
        folder.mkdir()
        os.chdir(folder)
        folder.rmdir()

    return leave, (0, 1, 2)


def relative(arena, arguments):
    """Paths are relative, with `..`."""
    arguments[2], arguments[3] = f"../{arena.src.name}", f"../out/../out/{arena.dst.name}"
    return None, (0,)


def linked_parent(arena, arguments):
    """DST's directory is reached through a link."""
    (arena.folder / "link").symlink_to(arena.out)
    arguments[3] = arena.folder / "link" / arena.dst.name
    return None, (0,)


def linked_source(arena, arguments):
    """SRC itself is a link, as `latest` often is."""
    link = arena.folder / f"latest{arena.src.suffix}"
    link.symlink_to(arena.src)
    arguments[2] = link
    return None, (0,)


def dangling(arena, arguments):
    """DST is a link to nothing."""
    arena.dst.symlink_to(arena.folder / "nothing")
    arena.dst = arena.folder / "nothing"
    return None, (1, 2)


def inside_source(arena, arguments):
    """DST is inside SRC."""
    arguments[3] = arena.src / "new"
    return None, (1, 2)


def same(arena, arguments):
    """DST is SRC."""
    arguments[3] = arena.src
    return None, (1, 2)


def no_parent(arena, arguments):
    """DST's directory does not exist."""
    arena.dst = arguments[3] = arena.out / "new" / "deep" / arena.dst.name
    arena.expected = {"new"}
    return None, (0, 1, 2)


def old_times(arena, arguments):
    """SRC was written before 1970."""
    return _times(arena, -(10**9)), (0,)


def future_times(arena, arguments):
    """SRC was written in the future."""
    return _times(arena, 5 * 10**9), (0,)


def _times(arena, seconds):
    for path in [arena.src, *arena.src.rglob("*")]:
        os.utime(path, (seconds, seconds))
    arena.changed()


def backwards(arena, arguments):
    """The clock runs backwards."""

    def turn():
        start, real = time.time(), time.time
        time.time = lambda: start - 1000 * (real() - start)

    return turn, (0,)


def zero_clock(arena, arguments):
    """The clock was never set."""
    return lambda: setattr(time, "time", lambda: 0.0), (0,)


def _as_nobody_can_reach(arena):
    if os.geteuid():
        raise Skipped("only root can become another user")
    for folder in (arena.folder, arena.folder.parent):
        os.chmod(folder, 0o755)


def _nobody(arena, arguments):
    """Returns a function that makes this process another user, after it loaded what only root may be able to read."""

    def become():
        from click.testing import CliRunner

        from migrate.cli.main import migrate as command

        words = list(map(str, arguments))
        words[3] = str(arena.folder / f"first{arena.dst.suffix}")
        for _ in range(2):  # the second one is refused, because DST exists
            CliRunner().invoke(command, words)
        _become_nobody()

    return become


def _become_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


SURROUNDINGS = {
    function.__name__.replace("_", " "): function
    for function in (
        read_only_parent, not_root, unreadable, read_only_source, latin_1, ascii_only, deleted_directory, relative,
        linked_parent, linked_source, dangling, inside_source, same, no_parent, old_times, future_times, backwards,
        zero_clock,
    )
}  # fmt: skip

ATTACK = Attack("surroundings", "odd paths, users, locales, clocks", trials, weight=3)
