"""Failures of the file system as one sentence about DST, whether Python or TensorStore reports them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrate.codes import WriteFailed
from migrate.errors import MigrateError


@contextmanager
def explained_write_failures(destination: Path) -> Iterator[None]:
    """Turns every failure of the file system into a MigrateError.

    Raises:
      MigrateError: DST cannot be written (`WriteFailed`).
    """
    try:
        yield
    except OSError as error:
        raise _unwritable(destination, error.strerror or str(error)) from error
    except ValueError as error:
        number = re.search(r"os_error_code='(\d+)'", str(error))  # TensorStore's form
        if number is None:
            raise
        raise _unwritable(destination, os.strerror(int(number[1]))) from error


def _unwritable(destination: Path, reason: str) -> MigrateError:
    advice = "free some space, or choose a directory that you may write to, and run the same command again"
    return MigrateError(WriteFailed.at(f"cannot write {destination}: {reason}", help=advice))
