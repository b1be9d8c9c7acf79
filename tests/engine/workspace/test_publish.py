"""The result becomes DST in one step; an old DST is replaced only on request, and never lost."""

import pytest

from migrate.engine.workspace import publish as publication
from migrate.engine.workspace.directory import Workspace, workspace_path
from migrate.engine.workspace.publish import _replace, publish
from migrate.errors import StoppedError

PLAN = "sha256:0123456789abcdef"


@pytest.fixture
def verified(tmp_path):
    """A working directory with a result."""
    work = Workspace(workspace_path(tmp_path / "new", PLAN))
    work.result.mkdir(parents=True)
    (work.result / "new").touch()
    return work


def test_publication_is_a_rename(verified, tmp_path):
    publish(verified, tmp_path / "new", overwrite=False)
    assert ["new"] == [child.name for child in (tmp_path / "new").iterdir()]


@pytest.mark.parametrize(
    "way", [lambda work, to: publish(work, to, overwrite=True), _replace], ids=["exchange", "renames"]
)
def test_publication_replaces_what_was_there(verified, tmp_path, way):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "old").touch()
    way(verified, tmp_path / "new")
    assert ["new"] == [child.name for child in (tmp_path / "new").iterdir()]
    assert 1 == len(list(verified.path.rglob("old")))


def test_what_could_not_be_replaced_is_put_back(verified, tmp_path):
    (tmp_path / "new").mkdir()
    (verified.result / "new").unlink()
    verified.result.rmdir()
    with pytest.raises(FileNotFoundError):
        _replace(verified, tmp_path / "new")
    assert (tmp_path / "new").exists()


def test_what_appeared_meanwhile_is_not_replaced(verified, tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(StoppedError) as stop:
        publish(verified, tmp_path / "new", overwrite=False)
    assert "appeared while" in stop.value.diagnostics[0].message
    assert verified.result.exists()


@pytest.mark.parametrize("atomic", [True, False], ids=["renameat2", "rename"])
@pytest.mark.parametrize("there", [True, False], ids=["replaced", "new"])
def test_the_result_itself_is_moved_and_nothing_is_copied(verified, tmp_path, monkeypatch, atomic, there):
    """A copy would be visible while it is incomplete; an entry that has the result's inode is the result."""
    if not atomic:
        monkeypatch.setattr(publication, "_renamed", lambda *_: False)
    if there:
        (tmp_path / "new").mkdir()
    inode = verified.result.stat().st_ino
    publish(verified, tmp_path / "new", overwrite=there)
    assert inode == (tmp_path / "new").stat().st_ino
    assert ["new"] == [child.name for child in (tmp_path / "new").iterdir()]
