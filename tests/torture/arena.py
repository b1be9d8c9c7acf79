"""The directory of one trial, in which it runs commands, and outside of which nothing may change."""

import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CANARY = b"a file outside, which no checkpoint may contain"


class Skipped(Exception):
    """This machine cannot run the trial; the message states why."""


@dataclass(frozen=True)
class Run:
    """An ended command.

    Attributes:
      code: its exit code; negative for a signal; None if it was killed after its timeout.
      output: standard output and standard error.
      value: what a function returned.
    """

    code: int | None
    output: str
    value: object = None

    def problem(self, *codes):
        """Returns what no command may do: a hang, a signal, a traceback, the page for bugs, another exit code."""
        if self.code is None:
            return "it hangs: " + self.output[-300:]
        if self.code < 0:
            return f"it died of {signal.Signals(-self.code).name}: " + self.output[-300:]
        for sign in ("Traceback (most recent call last)", "error[M901]"):
            if sign in self.output:
                return f"…{self.output[self.output.index(sign) :][-600:]}"
        if codes and self.code not in codes:
            return f"exit code {self.code} instead of {' or '.join(map(str, codes))}: {self.output[-500:]}"
        return None


class Arena:
    """A trial's directories.

    Attributes:
      folder: the directory of the trial.
      src: the source, once `source` has copied one.
      out: the directory in which DST is written.
      dst: the usual DST.
      expected: the names that `out` may hold at the end.
      sources: the directory of prepared checkpoints.
      kind: how the trial survived, where the table counts that.
    """

    def __init__(self, folder, sources):
        self.folder, self.sources = Path(folder), Path(sources)
        self.src, self.out, self.dst = self.folder / "src", self.folder / "out", self.folder / "out" / "new"
        self.expected = {"new"}
        self.kind = ""
        self._before = None
        self._logs = 0

    def enter(self):
        """Creates the directories and moves this process into them."""
        for name in ("out", "home", "tmp", "cwd", "logs", "outside"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "outside" / "canary").write_bytes(CANARY)
        os.environ.update(
            HOME=str(self.folder / "home"), TMPDIR=str(self.folder / "tmp"), JAX_PLATFORMS="cpu", COLUMNS="120"
        )
        os.chdir(self.folder / "cwd")

    def source(self, name):
        """Copies a prepared checkpoint to `src`; returns `src`."""
        origin = self.sources / name
        if origin.is_file():
            self.src = self.src.with_name("src" + origin.suffix)
            shutil.copy2(origin, self.src)
        else:
            shutil.copytree(origin, self.src, symlinks=True)
        self.changed()
        return self.src

    def changed(self):
        """Takes the present state of `src` as the one that has to stay."""
        self._before = snapshot(self.src)

    def rules(self, content):
        """Writes a rule file; returns its path."""
        path = self.folder / "rules.yaml"
        path.write_text(content if isinstance(content, str) else json.dumps({"migrate": 1, **content}))
        return path

    def migrate(self, *arguments, before=None, timeout=60, cwd=None):
        """Runs the command in a child process; `before` is called in it first."""
        return self.wait(self.start(*arguments, before=before, cwd=cwd), timeout)

    def start(self, *arguments, before=None, cwd=None):
        """Starts the command; returns what `wait` takes."""

        def run():
            from migrate.cli.main import migrate as command

            if cwd:
                os.chdir(cwd)
            if before:
                before()
            command.main(list(map(str, arguments)), prog_name="migrate")

        return self._fork(run)

    def call(self, function, *arguments, timeout=60):
        """Runs a function in a child process; its result is the `value` of the `Run`, its exception the `output`."""
        return self.wait(self._fork(lambda: function(*arguments)), timeout)

    def _fork(self, function):
        self._logs += 1
        log = self.folder / "logs" / f"{os.getpid()}-{self._logs}"
        sys.stdout.flush()
        child = os.fork()
        if not child:
            _child(function, log)
        return child, log

    def wait(self, started, timeout=60):
        """Waits for a command; kills it after `timeout` seconds."""
        child, log = started
        deadline = time.monotonic() + timeout
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return Run(None, _text(log))
            time.sleep(0.004)
        value_file = log.with_suffix(".value")
        value = pickle.loads(value_file.read_bytes()) if value_file.exists() else None
        return Run(os.waitstatus_to_exitcode(status), _text(log), value)

    def leftovers(self):
        """Returns the unexpected entries beside DST."""
        return sorted(set(os.listdir(self.out)) - self.expected)

    def problem(self):
        """Returns what changed although no trial may change it."""
        if self._before is not None and (difference := compare(self._before, snapshot(self.src))):
            return f"SRC changed: {difference}"
        if left := self.leftovers():
            return f"left behind beside DST: {left}"
        for name in ("home", "tmp", "cwd"):
            if strange := sorted(os.listdir(self.folder / name)):
                return f"written to {name}: {strange}"
        if (self.folder / "outside" / "canary").read_bytes() != CANARY or len(os.listdir(self.folder / "outside")) > 1:
            return "a file outside changed"
        return None


def _child(function, log):
    """Runs a function with its output in a file, and ends the process."""
    code = 0
    with log.open("wb", buffering=0) as file, open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = io.TextIOWrapper(open(descriptor, "wb", closefd=False), "utf-8", "backslashreplace")  # noqa: SIM115
        setattr(sys, name, stream)
    try:
        value = function()
        if value is not None:
            log.with_suffix(".value").write_bytes(pickle.dumps(value))
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # noqa: BLE001 (the parent sees it in the output)
        traceback.print_exc()
        code = 99
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def _text(log):
    return log.read_text("utf-8", "backslashreplace") if log.exists() else ""


def snapshot(path):
    """Returns the kind, mode, time and content of everything below a path."""
    path = Path(path)
    entries = [path, *sorted(path.rglob("*"))] if path.is_dir() and not path.is_symlink() else [path]
    return {str(entry.relative_to(path)): _state(entry) for entry in entries}


def _state(entry):
    try:
        stat = entry.lstat()
    except FileNotFoundError:
        return "absent"
    if entry.is_symlink():
        return ("link", os.readlink(entry))
    if entry.is_dir():
        return ("directory", stat.st_mode)
    if not entry.is_file():
        return ("special", stat.st_mode)
    if stat.st_size > 1 << 28:
        return ("file", stat.st_mode, stat.st_mtime_ns, stat.st_size)
    return ("file", stat.st_mode, stat.st_mtime_ns, hashlib.sha256(entry.read_bytes()).hexdigest())


def compare(one, other):
    """Returns the names that differ between two snapshots."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))[:5]
