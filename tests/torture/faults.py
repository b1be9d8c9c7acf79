"""Failing system calls, full disks and limits: a run completes or refuses, and the same command completes later."""

import ctypes
import errno
import os
import resource
import shutil
import subprocess

from tests.torture import shim
from tests.torture.arena import Skipped
from tests.torture.framework import Attack, Trial
from tests.torture.scenarios import SCENARIOS, content, reference

TRIALS = 360
WRITE_ERRORS = {
    "open": (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EMFILE),
    "write": (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG),
    "sync": (errno.EIO, errno.ENOSPC),
    "rename": (errno.EXDEV, errno.EIO, errno.ENOSPC, errno.EACCES),
    "link": (errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOSPC),
    "unlink": (errno.EIO, errno.EACCES),
    "mkdir": (errno.ENOSPC, errno.EMLINK, errno.EACCES),
    "resize": (errno.ENOSPC, errno.EFBIG),
}
NAMES = [name for name, scenario in SCENARIOS.items() if name != "steps" and not scenario.in_place]


def trials(rng, scale):
    """Yields faults of all kinds over all scenarios."""
    makers = (_calls, _calls, _calls, _short, _reads, _disk, _inodes, _limits)
    for number in range(max(16, round(TRIALS * scale))):
        name = NAMES[number % len(NAMES)]
        shown, fault = makers[number % len(makers)](rng)
        yield _trial(name, shown, fault)


def _trial(name, shown, fault):
    return Trial(f"{shown} in {name}", lambda arena: attack(arena, SCENARIOS[name], fault))


def _calls(rng):
    kind = rng.choice(list(WRITE_ERRORS))
    error, point, sticky = rng.choice(WRITE_ERRORS[kind]), rng.random(), rng.random() < 0.5
    shown = f"{errno.errorcode[error]} at {kind} {point:.3f}{' and later' if sticky else ''}"
    return shown, _Shim(shim.FAIL, [kind], point, error, sticky)


def _short(rng):
    point = rng.random()
    return f"a short write at {point:.3f}", _Shim(shim.SHORT, ["write"], point, 0, rng.random() < 0.5)


def _reads(rng):
    point, mode = rng.random(), rng.choice((shim.FAIL, shim.SHORT))
    shown = f"{'EIO' if mode == shim.FAIL else 'a short read'} at read {point:.3f} of SRC"
    return shown, _Shim(mode, ["read"], point, errno.EIO, mode == shim.SHORT and rng.random() < 0.5)


def _disk(rng):
    kibibytes = 4 * rng.randint(1, 300)
    return f"a disk of {kibibytes} KiB", _Disk(f"size={kibibytes}k")


def _inodes(rng):
    number = rng.randint(2, 40)
    return f"a disk of {number} inodes", _Disk(f"nr_inodes={number}")


def _limits(rng):
    name, value = rng.choice(
        (
            ("RLIMIT_FSIZE", 1 << rng.randint(6, 19)),
            ("RLIMIT_NOFILE", rng.randint(12, 60)),
            ("RLIMIT_NPROC", 0),
        )
    )
    return f"{name} {value}", _Limit(name, value)


def attack(arena, scenario, fault):
    """Runs a scenario with a fault, and then without."""
    wanted = reference(arena, scenario)
    fault.enter(arena)
    arguments = fault.set_up(arena, scenario)
    old = content(arena, arena.dst) if scenario.old else None
    run = arena.migrate(*arguments, before=scenario.before(lambda: fault.arm(arena, wanted)))
    if problem := run.problem(0, 1, 2, 3):
        return problem
    if run.code == 0:
        found = content(arena, arena.dst)
        if arena.leftovers():  # what cannot be deleted stays until the next command on DST
            fault.leave(arena)
            arena.migrate("inspect", arena.dst, "-q")
        return None if found == wanted.content else f"exit code 0, but another result: {_shown(found)}"
    if fault.of_source and "error[M507]" in run.output:
        return f"a read of SRC failed, but DST is blamed: {run.output[-300:]}"
    if os.path.lexists(arena.dst) and content(arena, arena.dst) not in (old, wanted.content):
        return "refused, but DST exists and is neither old nor complete"
    complete = os.path.lexists(arena.dst) and not scenario.old
    fault.leave(arena)
    run = arena.migrate(*arguments, before=scenario.before())
    if complete and "M501" in run.output:
        return f"DST was complete although the run failed, and the same command says: {run.output[-300:]}"
    if problem := run.problem(0):
        return f"without the fault, the same command does not finish: {problem}; beside DST: {arena.leftovers()}"
    found = content(arena, arena.dst)
    return None if found == wanted.content else f"another result after the fault: {_shown(found)}"


def _shown(found):
    return found if isinstance(found, str) else "other values"


class _Fault:
    """A fault that is armed in the command's process.

    Attributes:
      of_source: whether it concerns SRC alone.
    """

    of_source = False

    def enter(self, arena):
        """Prepares the arena, before the scenario is set up."""

    def set_up(self, arena, scenario):
        """Sets up the scenario; returns the arguments of the command."""
        return scenario.set_up(arena)

    def arm(self, arena, wanted):
        """Causes the fault in the command's process."""

    def leave(self, arena):
        """Removes the cause."""


class _Shim(_Fault):
    """The nth call of some kinds fails or is short."""

    def __init__(self, mode, kinds, point, error, sticky):
        self.mode, self.kinds, self.point, self.error, self.sticky = mode, kinds, point, error, sticky
        self.of_source = kinds == ["read"]

    def enter(self, arena):
        if not shim.is_loaded():
            raise Skipped("no C compiler for the shim")

    def arm(self, arena, wanted):
        calls = {"write": 0.4, "open": 0.3, "sync": 0.3, "read": 0.5}.get(self.kinds[0], 0.12) * wanted.calls
        how = {"kinds": sum(shim.KINDS[kind] for kind in self.kinds), "error": self.error, "sticky": self.sticky}
        shim.arm(self.mode, arena.src if self.of_source else arena.out, nth=1 + int(self.point * calls), **how)


class _Disk(_Fault):
    """DST's directory is a small file system in memory, in a mount namespace of this trial."""

    def __init__(self, options):
        self.options = options

    def enter(self, arena):
        new_namespace = 0x20000
        private = 1 << 18 | 1 << 14
        library = ctypes.CDLL(None, use_errno=True)
        if os.geteuid() or library.unshare(new_namespace) or library.mount(b"none", b"/", None, private, None):
            raise Skipped("only root can mount a small file system")
        self._mount(arena, self.options)

    def set_up(self, arena, scenario):
        try:
            return super().set_up(arena, scenario)
        except OSError as error:  # `shutil.Error` is one
            raise Skipped("the disk is too small for the old DST") from error

    def leave(self, arena):
        subprocess.run(["mount", "-o", "remount,size=64m,nr_inodes=10000", str(arena.out)], check=True)

    @staticmethod
    def _mount(arena, options):
        command = ["mount", "-t", "tmpfs", "-o", options, "torture", str(arena.out)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            raise Skipped("only root can mount a small file system")


class _Limit(_Fault):
    """A resource limit of the process."""

    def __init__(self, name, value):
        self.name, self.value = name, value

    def arm(self, arena, wanted):
        kind = getattr(resource, self.name)
        resource.setrlimit(kind, (self.value, resource.getrlimit(kind)[1]))


ATTACK = Attack("faults", "failing calls, full disks, limits", trials, weight=5)
