"""The commit of a working tree, read without running anything that its repository configures."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from migrate.git_commit import git_commit


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path):
    """A working tree with one commit."""
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "-b", "main")
    (folder / "a").write_text("1")
    git(folder, "add", "a")
    git(folder, "commit", "-m", "one")
    return folder


def test_the_commit_says_whether_files_were_changed_since(tree, tmp_path):
    assert git_commit(tmp_path) is None
    clean = git_commit(tree)
    assert git(tree, "rev-parse", "HEAD") == clean
    assert re.fullmatch("[0-9a-f]{40}", clean)
    (tree / "untracked").write_text("2")
    assert clean == git_commit(tree)
    (tree / "a").write_text("2")
    assert f"{clean}-dirty" == git_commit(tree)
    git(tree, "add", "a")
    assert f"{clean}-dirty" == git_commit(tree)


def test_a_file_that_was_only_touched_is_not_changed(tree):
    os.utime(tree / "a", (1, 1))
    before = (tree / ".git/index").read_bytes()
    assert git(tree, "rev-parse", "HEAD") == git_commit(tree)
    assert before == (tree / ".git/index").read_bytes()


def test_the_commit_is_found_from_below_and_without_a_branch(tree):
    (tree / "x/y").mkdir(parents=True)
    assert git(tree, "rev-parse", "HEAD") == git_commit(tree / "x/y")
    git(tree, "checkout", "--detach")
    assert git(tree, "rev-parse", "HEAD") == git_commit(tree)


def test_packed_refs_objects_and_symbolic_refs_are_read(tree):
    git(tree, "gc")
    git(tree, "pack-refs", "--all")
    assert not (tree / ".git/refs/heads/main").exists()
    assert git(tree, "rev-parse", "HEAD") == git_commit(tree)
    git(tree, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    git(tree, "symbolic-ref", "HEAD", "refs/heads/alias")
    assert git(tree, "rev-parse", "HEAD") == git_commit(tree)


def test_linked_working_trees_have_their_own_commit(tree, tmp_path):
    git(tree, "worktree", "add", "-b", "other", str(tmp_path / "other"))
    (tmp_path / "other/b").write_text("2")
    git(tmp_path / "other", "add", "b")
    git(tmp_path / "other", "commit", "-m", "two")
    found = git_commit(tmp_path / "other")
    assert git(tmp_path / "other", "rev-parse", "HEAD") == found
    assert git_commit(tree) != found


def test_a_repository_of_sha_256_is_read(tmp_path):
    git(tmp_path, "init", "--object-format=sha256")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-m", "one")
    assert git(tmp_path, "rev-parse", "HEAD") == git_commit(tmp_path)


def test_there_is_no_commit_where_there_is_no_git(tree, monkeypatch):
    monkeypatch.setenv("PATH", str(tree))
    assert git_commit(tree) is None


def test_there_is_no_commit_in_an_empty_repository_or_a_deleted_directory(tmp_path, monkeypatch):
    git(tmp_path, "init")
    assert git_commit(tmp_path) is None
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert git_commit() is None


@pytest.mark.parametrize("head", ["ref: refs/../../../secret", "ref: /etc/passwd", "ref: refs/heads/\x1b", "x", ""])
def test_a_head_that_is_no_ref_is_no_commit(head, tree):
    (tree.parent / "secret").write_text("0" * 40)
    (tree / ".git/HEAD").write_text(head)
    assert git_commit(tree) is None


def test_a_fifo_in_place_of_a_ref_does_not_hang(tree):
    (tree / ".git/refs/heads/main").unlink()
    os.mkfifo(tree / ".git/refs/heads/main")
    assert git_commit(tree) is None


@pytest.fixture
def program(tmp_path):
    """A program that leaves a marker, and the marker."""
    marker, path = tmp_path / "marker", tmp_path / "program"
    path.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    path.chmod(0o755)
    return path, marker


def hostile_config(program, folder):
    """A configuration that makes git run a program in every way that a repository can."""
    included = folder / "included"
    included.write_text(f"[core]\n\tfsmonitor = {program}\n")
    return (
        f"[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {program}\n\thooksPath = {folder}\n\tpager = {program}\n"
        f"\tsshCommand = {program}\n\taskPass = {program}\n\talternateRefsCommand = {program}\n"
        f"[diff]\n\texternal = {program}\n"
        f'[diff "evil"]\n\tcommand = {program}\n\ttextconv = {program}\n'
        f'[filter "evil"]\n\tclean = {program}\n\tsmudge = {program}\n\tprocess = {program}\n\trequired = true\n'
        f"[alias]\n\tdescribe = !{program}\n\tdiff = !{program}\n[include]\n\tpath = {included}\n"
        f'[includeIf "gitdir:/"]\n\tpath = {included}\n[trace2]\n\teventTarget = {folder}/trace\n'
        f'[remote "origin"]\n\turl = ext::{program}\n\tpromisor = true\n\tuploadpack = {program}\n'
        f"[protocol]\n\tallow = always\n[extensions]\n\tpartialClone = origin\n"
    )


def test_nothing_that_a_repository_configures_is_run(tree, program, tmp_path):
    path, marker = program
    clean = git_commit(tree)
    (tree / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (tree / ".git/info").mkdir(exist_ok=True)
    (tree / ".git/info/attributes").write_text("* filter=evil diff=evil\n")
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "pre-auto-gc"):
        for folder in (tree / ".git/hooks", tmp_path):
            folder.mkdir(exist_ok=True)
            (folder / hook).write_text(path.read_text())
            (folder / hook).chmod(0o755)
    (tree / ".git/config").write_text(hostile_config(path, tmp_path))
    os.utime(tree / "a", (1, 1))

    assert clean == git_commit(tree)
    (tree / "a").write_text("2")
    assert f"{clean}-dirty" == git_commit(tree)
    assert not marker.exists()

    subprocess.run(["git", "-C", tree, "status"], capture_output=True)
    assert marker.exists()  # the attack works on git itself


def test_nothing_that_a_submodule_configures_is_run(tree, program, tmp_path):
    path, marker = program
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init")
    git(outer, "submodule", "add", str(tree), "inner")
    git(outer, "commit", "-m", "one")
    with (outer / ".git/modules/inner/config").open("a") as config:
        config.write(f"[core]\n\tfsmonitor = {path}\n")
    os.utime(outer / "inner/a", (1, 1))

    assert git(outer, "rev-parse", "HEAD") == git_commit(outer)
    assert not marker.exists()

    subprocess.run(["git", "-C", outer, "status"], capture_output=True)
    assert marker.exists()


def test_a_missing_object_is_not_fetched(tree, program, tmp_path):
    path, marker = program
    (tree / ".git/config").write_text(hostile_config(path, tmp_path))
    for folder in Path(tree / ".git/objects").iterdir():
        for file in folder.iterdir() if len(folder.name) == 2 else ():
            file.unlink()
    assert git_commit(tree) is None
    assert not marker.exists()
