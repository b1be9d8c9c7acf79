"""Runs an apply in one child process after another and kills each at another moment, for `test_resumed_runs.py`.

    python killed.py SOURCE FOLDER NAME/MOMENT...

Leaves the remains of each child, whose DST is called NAME, in the directory NAME/MOMENT of FOLDER. NAME chooses the
output: `plain` is plain zarr.
"""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from migrate.engine import run
from migrate.engine.options import ApplyOptions
from migrate.engine.outputs import file as file_output
from migrate.engine.outputs import file_store
from migrate.engine.outputs import orbax as orbax_output
from migrate.engine.outputs import orbax_commit as commit
from migrate.engine.outputs import orbax_store as staging
from migrate.engine.workspace import directory as workspace
from migrate.events import LeafDone, PhaseDone, PhaseStarted
from tests.engine.sources import MIXED_RULES, opened, plan_for


def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def at(kind, phase, number=1):
    """A listener that kills at the nth event of a kind in a phase."""
    seen = []

    def listen(event):
        if isinstance(event, kind) and event.phase == phase:
            seen.append(event)
            if len(seen) == number:
                kill()

    return {"listener": listen}


def inside(module, name):
    """Options for a run that is killed where a function would be called."""
    setattr(module, name, kill)
    return {}


def while_clearing(removals):
    """Options for a run that is killed at a removal of its working directory, after so many others."""
    publish, left = run.publish, removals

    def dying(call):
        def counted(*args, **kwargs):
            nonlocal left
            if not left:
                kill()
            left -= 1
            return call(*args, **kwargs)

        return counted

    def published(*args, **kwargs):
        publish(*args, **kwargs)
        for name in ("unlink", "rmdir", "remove"):
            setattr(os, name, dying(getattr(os, name)))

    run.publish = published
    return {}


def after(milliseconds):
    """Options for a run that is killed at whatever it is doing then."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, milliseconds / 1000)
    return {}


def with_small_files():
    """Options for a run that may write no file above 64 KiB, as on a disk that fills up."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, 64 << 10))
    return {}


MOMENTS = {
    "stage-begins": lambda: at(PhaseStarted, "stage"),
    "leaf-1": lambda: at(LeafDone, "stage", 1),
    "leaf-3": lambda: at(LeafDone, "stage", 3),
    "stage-ends": lambda: at(PhaseDone, "stage"),
    "relink": lambda: inside(orbax_output, "relink"),
    "link-begins": lambda: inside(commit, "_link_tree"),
    "sidecars": lambda: inside(commit, "_write_sidecars"),
    "commit-ends": lambda: at(PhaseDone, "commit"),
    "verify": lambda: at(LeafDone, "verify", 2),
    "verify-ends": lambda: at(PhaseDone, "verify"),
    "publish": lambda: inside(run, "publish"),
    "cleaning": lambda: inside(workspace, "_discard"),
    "disk-full": with_small_files,
    **{f"after-{ms}": lambda ms=ms: after(ms) for ms in (5, 20, 40, 60, 90, 130, 200)},
}


REMOVALS = {f"removal-{number}": lambda number=number: while_clearing(number) for number in range(9)}
"""Moments after a run has published."""

FILE_MOMENTS = {
    **{name: MOMENTS[name] for name in MOMENTS if name not in ("relink", "link-begins", "sidecars")},
    "remembering": lambda: inside(file_output, "remember"),
    "finishing": lambda: inside(file_store.FileStore, "finish"),
}
"""Moments of a run that writes a single file."""


PLAIN = "plain"
"""The name of a DST that is written as plain zarr."""

PLAIN_RULES = f"{MIXED_RULES}\ntarget: {{layout: zarr}}"


def apply(source, target, options):
    staging.BATCH_ARRAYS = file_store.SYNC_ARRAYS = 1  # each array is durable before the next
    with opened(source) as reader:
        plan = plan_for(reader, PLAIN_RULES if target.name == PLAIN else MIXED_RULES)
        run.apply(plan, reader, target, ApplyOptions(jobs=1), **options())


def main(source, folder, *cases):
    for case in cases:
        name, moment = case.split("/")
        place = Path(folder) / name / moment
        place.mkdir(parents=True)
        options = {**(FILE_MOMENTS if "." in name else MOMENTS), **REMOVALS}[moment]
        child = os.fork()
        if not child:
            try:
                apply(Path(source), place / name, options)
            except Exception as error:  # noqa: BLE001 (whatever it is, the test wants to see it)
                (place / "error").write_text(f"{type(error).__name__}: {error}")
            os._exit(0)
        os.waitpid(child, 0)


def leave_remains(source, folder, cases):
    """Leaves in a directory what kills leave; `cases` are moments by the name of DST. Returns the directory."""
    words = [f"{name}/{moment}" for name, moments in cases.items() for moment in dict.fromkeys(moments)]
    subprocess.run([sys.executable, "-W", "ignore", __file__, source, folder, *words], check=True)
    return folder


if __name__ == "__main__":
    main(*sys.argv[1:])
