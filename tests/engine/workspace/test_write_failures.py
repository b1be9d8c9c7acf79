"""Failures of the file system are one sentence about the side on which they happened: SRC or DST."""

import errno
import os
from pathlib import Path

import pytest
import tensorstore as ts

from migrate.engine.workspace.write_failures import explained_failures
from migrate.errors import MigrateError


def raised(error):
    with pytest.raises(MigrateError) as failure, explained_failures(Path("new"), Path("old")):
        raise error
    (found,) = failure.value.diagnostics
    return found


def test_an_error_of_python_is_named():
    found = raised(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert ("M507", "cannot write `new`: No space left on device") == (found.code, found.message)


def test_an_error_of_tensorstore_is_the_same_sentence():
    with pytest.raises(ValueError, match="os_error_code") as real:
        ts.KvStore.open("file:///proc/nowhere/").result().write("a", b"x").result()
    assert raised(real.value).message in {f"cannot write `new`: {os.strerror(n)}" for n in (errno.ENOENT, errno.EACCES)}


def test_an_error_of_tensorstore_without_a_python_class_of_its_own_is_the_same_sentence():
    exdev = NotImplementedError("Failed to rename fd: 7 ...: Invalid cross-device link [os_error_code='18']")
    assert "cannot write `new`: Invalid cross-device link" == raised(exdev).message


def test_other_errors_stay_what_they_are():
    with pytest.raises(ValueError, match="else"), explained_failures(Path("new"), Path("old")):
        raise ValueError("something else")


SIDES = [
    ((errno.EIO, "old/d/1", None), ("M404", "old/d/1")),  # reading
    ((errno.ENOENT, "old/d/1", None), ("M403", "old/d/1")),
    ((errno.ENOSPC, "old/d/1", "new/d/1"), ("M507", "new")),  # a link or a copy
    ((errno.EMLINK, "old/d/1", "new/d/1"), ("M507", "new")),
    ((errno.EIO, "old/d/1", "new/d/1"), ("M404", "old/d/1")),
    ((errno.ENOENT, "old/d/1", "new/d/1"), ("M403", "old/d/1")),
    ((errno.EIO, "new/d/1", None), ("M507", "new")),
    ((errno.EIO, None, None), ("M507", "new")),
]


@pytest.mark.parametrize(("raised_as", "reported_as"), SIDES)
def test_an_error_of_python_is_about_the_side_whose_file_it_names(raised_as, reported_as):
    number, file, other = raised_as
    found = raised(OSError(number, os.strerror(number), file, None, other))
    code, name = reported_as
    assert code == found.code
    assert name in found.message


def test_a_lost_directory_of_dst_is_not_blamed_on_the_source_of_a_link(tmp_path):
    (tmp_path / "old").write_bytes(b"x")
    refusal = pytest.raises(MigrateError, match="cannot write")
    with refusal as failure, explained_failures(tmp_path / "new", tmp_path / "old"):
        os.link(tmp_path / "old", tmp_path / "nowhere" / "new")
    assert ["M507"] == [found.code for found in failure.value.diagnostics]


def test_an_error_of_tensorstore_is_about_the_side_whose_path_it_names():
    text = f"INTERNAL: Error reading local file \"{Path('old/d/1').absolute()}\" [os_error_code='5']"
    found = raised(ValueError(text))
    assert "M404" == found.code
    assert "old/d/1" in found.message
