"""Migrations that other attacks disturb, and what each of them gives undisturbed."""

import fcntl
import json
import os
import pickle
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from tests.torture import plain, shim
from tests.torture.arena import Skipped

RENAME = {"rules": ["flipped/{i} -> turned/{i}", "kept/{i} -> held/{i}"]}
MIXED = {
    "rules": [
        {"from": "flipped/{i}", "to": "turned/{i}", "ops": [{"flip": {"axis": 0}}]},
        "kept/{i} -> held/{i}",
    ]
}


@dataclass(frozen=True)
class Scenario:
    """One migration.

    Attributes:
      name: its name in reproductions.
      source: the prepared checkpoint.
      rules: the content of the rule file.
      dst: the name of DST.
      options: further arguments of `apply`.
      budget: bytes of memory for arrays, where the smallest of the command line is too large to cause tiles.
      old: the prepared checkpoint that DST is before the run; None for no DST.
    """

    name: str
    source: str
    rules: dict
    dst: str = "new"
    options: tuple[str, ...] = ()
    budget: int | None = None
    old: str | None = None

    @property
    def in_place(self):
        """Whether it changes the checkpoint that it reads."""
        return False

    @property
    def has_events(self):
        """Whether the engine reports events of it."""
        return True

    def is_done(self, run):
        """Whether a run was refused because an earlier one had done all of its work."""
        return False

    def invalid(self, arena):
        """Returns why DST, of which every array can be read, is no checkpoint for Orbax; an empty text if it is one."""
        return ""

    def before(self, *functions):
        """Returns what a child process calls first."""

        def prepare():
            if self.budget:
                small_budget(self.budget)
            for function in functions:
                function()

        return prepare

    def set_up(self, arena):
        """Copies the source, an old DST and the rule file; returns the arguments of the command."""
        arena.source(self.source)
        arena.dst = arena.out / self.dst
        arena.expected = {self.dst}
        if self.old:
            shutil.copytree(arena.sources / self.old, arena.dst)
        return ("apply", arena.rules(self.rules), arena.src, arena.dst, "-q", *self.options)


STEP, ADDED = "5", "new"


@dataclass(frozen=True)
class LayoutScenario(Scenario):
    """A step of a root gets a second layout, or loses one of two; DST is the step.

    Attributes:
      keep: the layout that `contract` keeps; None for `expand`.
    """

    keep: str | None = None

    @property
    def in_place(self):
        """It has no SRC but the step."""
        return True

    @property
    def has_events(self):
        """Only `expand` is a run of the engine."""
        return self.keep is None

    def is_done(self, run):
        """`contract` of a step with one layout."""
        return self.keep is not None and run.code == 2 and "error[M722]" in run.output

    def set_up(self, arena):
        """Copies the root and the rule file, for `contract` with two layouts; returns the arguments of the command."""
        root = arena.out / "run"
        shutil.copytree(arena.sources / self.source, root)
        arena.dst, arena.expected = root / STEP, {root.name}
        expand = ("expand", arena.rules(self.rules), arena.dst, "--as", ADDED, "-q", *self.options)
        if self.keep is None:
            return expand
        if problem := arena.migrate(*expand).problem(0):
            raise RuntimeError(problem)
        return ("contract", arena.dst, "--keep", self.keep, "-q")

    def invalid(self, arena):
        """The metadata name the handler of every item, as `CheckpointManager.restore` needs it."""
        handlers = json.loads((arena.dst / "_CHECKPOINT_METADATA").read_bytes())["item_handlers"]
        items = {entry.name for entry in os.scandir(arena.dst) if entry.is_dir()}
        missing = items - set(handlers)
        return f"no handler for {sorted(missing)}" if missing or not items else ""


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("relink", "ocdbt", RENAME),
        Scenario("relink-zarr", "zarr", RENAME),
        Scenario("mixed", "ocdbt", MIXED),
        Scenario("copy", "ocdbt", RENAME, options=("--link", "never")),
        Scenario("tiles", "ocdbt", MIXED, options=("--compression", "zstd:1"), budget=64 << 10),
        Scenario("safetensors", "ocdbt", MIXED, dst="new.safetensors"),
        Scenario("msgpack", "file.safetensors", MIXED, dst="new.msgpack"),
        Scenario("file-tiles", "file.npz", MIXED, dst="new.safetensors", budget=64 << 10),
        Scenario("overwrite", "ocdbt", MIXED, options=("--overwrite",), old="other"),
        Scenario("steps", "manager", MIXED, options=("--step", "all")),
        Scenario("full", "ocdbt", MIXED, options=("--verify", "full")),
        LayoutScenario("expand", "manager", RENAME, old="manager"),
        LayoutScenario("expand-mixed", "manager", MIXED, old="manager"),
        LayoutScenario("contract-old", "manager", MIXED, old="manager", keep="default"),
        LayoutScenario("contract-new", "manager", MIXED, old="manager", keep=ADDED),
    )
}


def small_budget(nbytes):
    """Lets this process run every plan with this budget, below the minimum of the command line."""
    from migrate.engine import preflight, run

    original = run.apply
    preflight.MINIMUM_RAM = 1

    def apply(plan, reader, destination, options, **others):
        return original(plan, reader, destination, replace(options, max_ram=nbytes), **others)

    run.apply = apply


def listen(function):
    """Lets `function` receive every event of the engine in this process."""
    from migrate.engine import run

    original = run.apply

    def apply(plan, reader, destination, options, *, listener, **others):
        def both(event):
            function(event)
            listener(event)

        return original(plan, reader, destination, options, listener=both, **others)

    run.apply = apply


@dataclass(frozen=True)
class Reference:
    """The undisturbed run of a scenario.

    Attributes:
      content: what `state` gives for its DST.
      calls: the number of calls that change files, or 0 without the shim.
      events: the number of events.
      seconds: its duration.
    """

    content: dict
    calls: int
    events: int
    seconds: float


def state(path):
    """Everything about a checkpoint that is the same for each run of the same command."""
    return plain.values(path) | plain.sidecars(path)


def content(arena, path):
    """Returns the `state` of a checkpoint, or a sentence that tells why it cannot be read."""
    read = arena.call(state, path)
    return read.value if read.code == 0 else f"unreadable: {read.output[-300:]}"


def reference(arena, scenario):
    """Returns the `Reference` of a scenario; the first trial that needs it makes it."""
    place = arena.folder.parent / f"reference-{scenario.name}"
    with open(f"{place}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            place.write_bytes(pickle.dumps(_undisturbed(arena, scenario)))
    return pickle.loads(place.read_bytes())


def _undisturbed(arena, scenario):
    from tests.torture.arena import Arena

    folder = Path(arena.folder) / "undisturbed"
    folder.mkdir()
    quiet = Arena(folder, arena.sources)
    for name in ("out", "logs"):
        (folder / name).mkdir()
    arguments = scenario.set_up(quiet)
    run = quiet.call(_counted, scenario, arguments, quiet.out)
    if run.code != 0:
        raise Skipped(f"the undisturbed run fails: {run.output[-500:]}")
    calls, events, seconds = run.value
    return Reference(content(quiet, quiet.dst), calls, events, seconds)


def _counted(scenario, arguments, out):
    import time

    from migrate.cli.main import migrate as command

    events = []
    scenario.before(lambda: listen(events.append))()
    if shim.is_loaded():
        shim.arm(shim.COUNT, out)
    start = time.monotonic()
    try:
        command.main(list(map(str, arguments)), prog_name="migrate")
    except SystemExit as stop:
        if stop.code:
            raise
    return shim.count() if shim.is_loaded() else 0, len(events), time.monotonic() - start
