"""Failures of the file system are one sentence about DST."""

import errno
import os
from pathlib import Path

import pytest
import tensorstore as ts

from migrate.engine.workspace.write_failures import explained_write_failures
from migrate.errors import MigrateError


def raised(error):
    with pytest.raises(MigrateError) as failure, explained_write_failures(Path("new")):
        raise error
    (found,) = failure.value.diagnostics
    return found


def test_an_error_of_python_is_named():
    found = raised(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert ("M507", "cannot write new: No space left on device") == (found.code, found.message)


def test_an_error_of_tensorstore_is_the_same_sentence():
    with pytest.raises(ValueError, match="os_error_code") as real:
        ts.KvStore.open("file:///proc/nowhere/").result().write("a", b"x").result()
    assert raised(real.value).message in {f"cannot write new: {os.strerror(n)}" for n in (errno.ENOENT, errno.EACCES)}


def test_other_errors_stay_what_they_are():
    with pytest.raises(ValueError, match="else"), explained_write_failures(Path("new")):
        raise ValueError("something else")
