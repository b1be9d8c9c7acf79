"""A second name for a file's bytes: a hard link where possible, else a clone or a copy."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from migrate.engine.linking import hard_links
from migrate.engine.linking.hard_links import link_file


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(os.urandom(5000))
    return path


def test_on_one_file_system_it_is_a_hard_link(source, tmp_path):
    assert "link" == link_file(source, tmp_path / "new")
    assert source.stat().st_ino == (tmp_path / "new").stat().st_ino


def test_a_symbolic_link_is_followed_to_the_file(source, tmp_path):
    (tmp_path / "alias").symlink_to(source)
    link_file(tmp_path / "alias", tmp_path / "new")
    assert not (tmp_path / "new").is_symlink()
    assert source.stat().st_ino == (tmp_path / "new").stat().st_ino


def test_on_another_file_system_the_bytes_are_copied(source):
    elsewhere = f"/dev/shm/migrate-test-{os.getpid()}"
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == source.stat().st_dev:
        pytest.skip("there is no second file system here")
    try:
        assert link_file(source, Path(elsewhere)) in ("clone", "copy")
        assert source.read_bytes() == Path(elsewhere).read_bytes()
    finally:
        os.unlink(elsewhere)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_where_links_are_refused_the_bytes_are_copied(source, tmp_path, monkeypatch, code):
    def refuse(*_args, **_options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    assert link_file(source, tmp_path / "new") in ("clone", "copy")
    assert source.read_bytes() == (tmp_path / "new").read_bytes()


def test_an_existing_target_is_an_error(source, tmp_path):
    (tmp_path / "new").write_bytes(b"")
    with pytest.raises(FileExistsError):
        link_file(source, tmp_path / "new")


def test_an_interrupted_copy_leaves_no_target(source, tmp_path, monkeypatch):
    def cut(_source, draft):
        Path(draft).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(hard_links, "_clone", lambda *_: "copy")
    monkeypatch.setattr(shutil, "copyfile", cut)
    with pytest.raises(OSError, match="No space left"):
        link_file(source, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    monkeypatch.undo()
    monkeypatch.setattr(os, "link", refuse)
    link_file(source, tmp_path / "new")
    assert source.read_bytes() == (tmp_path / "new").read_bytes()


def refuse(*_args, **_options):
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_copy_replaces_nothing(source, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "new").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        link_file(source, tmp_path / "new")
    assert b"mine" == (tmp_path / "new").read_bytes()


@pytest.mark.parametrize("how", ["clone", "copy"])
def test_a_copy_appears_complete_or_not_at_all(source, tmp_path, monkeypatch, how):
    target, seen = tmp_path / "new", []

    def clone(_reading, writing):
        seen.append(target.exists())
        if how == "clone":
            os.write(writing, source.read_bytes())
        seen.append(target.exists())
        return how

    real = shutil.copyfile
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(hard_links, "_clone", clone)
    monkeypatch.setattr(shutil, "copyfile", lambda *places: (real(*places), seen.append(target.exists())))
    assert how == link_file(source, target)
    assert [False] * len(seen) == seen
    assert source.read_bytes() == target.read_bytes()
    assert {"data", "new"} == set(os.listdir(tmp_path))


KILLED = """
import errno, os, shutil, signal, sys
from pathlib import Path
from migrate.engine.linking import hard_links

def refuse(*_, **__):
    raise OSError(errno.EPERM, "")

def half(source, draft):
    Path(draft).write_bytes(Path(source).read_bytes()[:100])
    os.kill(os.getpid(), signal.SIGKILL)

os.link, shutil.copyfile, hard_links._clone = refuse, half, lambda *_: "copy"
hard_links.link_file(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_kill_during_a_copy_leaves_no_target_and_the_next_run_copies_the_file(source, tmp_path, monkeypatch):
    child = subprocess.run([sys.executable, "-c", KILLED, source, tmp_path / "new"], check=False)
    assert -signal.SIGKILL == child.returncode
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(os, "link", refuse)
    link_file(source, tmp_path / "new")
    assert source.read_bytes() == (tmp_path / "new").read_bytes()
