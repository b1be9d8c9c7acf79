"""Faults in the C library: a shim that is loaded before it, which TensorStore and Python call alike."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

KILL, FAIL, SHORT = 1, 2, 3
COUNT = 4
"""What the nth call does: kill the process, fail, or do a part of its work; `COUNT` only counts."""

KINDS = {
    "open": 1,
    "write": 2,
    "sync": 4,
    "rename": 8,
    "link": 16,
    "unlink": 32,
    "mkdir": 64,
    "resize": 128,
    "read": 256,
}
CHANGES = sum(bit for kind, bit in KINDS.items() if kind != "read")
"""All calls that change files."""

_SOURCE = Path(__file__).with_name("shim.c")


def load(folder):
    """Restarts this process with the shim loaded, if a C compiler is present and it is not loaded yet."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if is_loaded() or compiler is None or os.environ.get("TORTURE_SHIM"):
        return
    library = Path(folder) / "shim.so"
    command = [compiler, "-O1", "-shared", "-fPIC", "-w", "-o", str(library), str(_SOURCE), "-ldl"]
    if subprocess.run(command, check=False).returncode == 0:
        arguments = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, arguments, {**os.environ, "LD_PRELOAD": str(library), "TORTURE_SHIM": str(library)})


def is_loaded():
    """Whether the shim can be armed in this process."""
    return hasattr(ctypes.CDLL(None), "torture_arm")


def arm(mode, folder, *, kinds=CHANGES, nth=0, error=0, sticky=False):
    """Arms the shim for calls below a directory.

    Args:
      mode: `KILL`, `FAIL`, `SHORT` or `COUNT`.
      folder: the start of the paths concerned.
      kinds: the sum of the `KINDS` concerned.
      nth: the call that is struck, from 1.
      error: the `errno` of a failure.
      sticky: whether all later calls are struck as well.
    """
    nth = 0 if mode == COUNT else nth
    ctypes.CDLL(None).torture_arm(
        mode, ctypes.c_uint(kinds), ctypes.c_long(nth), error, int(sticky), os.fsencode(folder)
    )


def count():
    """Returns the calls since the shim was armed."""
    counted = ctypes.CDLL(None).torture_count
    counted.restype = ctypes.c_long
    return counted()
