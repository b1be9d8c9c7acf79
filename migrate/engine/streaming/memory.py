"""Memory that is exhausted, as one sentence with the options that need less of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from migrate.codes import OutOfMemory
from migrate.errors import MigrateError


@contextmanager
def explained_memory_failures(what: str, max_ram: int | None = None, advice: str | None = None) -> Iterator[None]:
    """Turns a failed allocation of Python, NumPy or TensorStore into a MigrateError.

    Args:
      what: the subject of the message, such as "`params/kernel`".
      max_ram: the budget of array data in bytes.
      advice: the help of the message (default: that of a run, which resumes).

    Raises:
      MigrateError: memory is exhausted (`OutOfMemory`).
    """
    try:
        yield
    except MemoryError as error:
        raise out_of_memory(what, str(error), max_ram, advice) from error
    except ValueError as error:
        text = str(error)
        if not text.startswith("RESOURCE_EXHAUSTED") or "os_error_code" in text:  # the latter are files and disks
            raise
        raise out_of_memory(what, text.split(" [", 1)[0], max_ram, advice) from error


def out_of_memory(what: str, reason: str, max_ram: int | None, advice: str | None = None) -> MigrateError:
    """Returns the error; arguments as in `explained_memory_failures`."""
    now = f" (it was {max_ram >> 20:,} MiB)" if max_ram else ""
    advice = advice or f"run the same command again with a smaller `--max-ram`{now} or with `--jobs 1`; it resumes"
    because = f": {reason}" if reason else ""
    return MigrateError(OutOfMemory.at(f"{what} does not fit into memory{because}", help=advice))
