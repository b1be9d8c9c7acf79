"""Reads the commit of a working tree without running anything of its repository.

Git itself runs programs that a repository's configuration names: `core.fsmonitor`, the filters of `.gitattributes`,
hooks, aliases, remote helpers. So HEAD is read from the files, and changes are found by a git whose own directory,
configuration and hooks are empty; of the repository it gets only the objects, a copy of the index and the working
tree. Where filters or line endings are configured, files whose times differ from the index may count as changed.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 10
_MAX_BYTES = 256 << 20
"""The maximum size of an index or a file of refs."""
_MAX_SYMREFS = 5
_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"ref: *(refs/[^\s\\~^:?*\[\x00-\x1f\x7f]+)")
_GITDIR = re.compile(r"gitdir: *(.+)")


def git_commit(directory: Path | None = None) -> str | None:
    """Returns the commit of a working tree (default: the current directory's), with `-dirty` if tracked files changed.

    None where there is no commit or no git, or where git cannot tell whether files changed.
    """
    try:
        repository = _find(directory or Path.cwd())
        commit = _head(repository) if repository else None
        if repository is None or commit is None:
            return None
        changed = _is_changed(repository, commit)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return None if changed is None else f"{commit}-dirty" if changed else commit


@dataclass(frozen=True, slots=True)
class _Repository:
    """The directories of a repository; `own` and `common` differ in linked working trees only."""

    tree: Path
    own: Path
    common: Path


def _find(directory: Path) -> _Repository | None:
    """Returns the repository whose working tree contains a directory."""
    start = directory.resolve(strict=True)
    for tree in (start, *start.parents):
        git = tree / ".git"
        if git.is_file():
            named = _GITDIR.fullmatch(_text(git).strip())
            git = tree / named[1] if named else git
        if (git / "HEAD").is_file():
            common = git / "commondir"
            return _Repository(tree, git, git / _text(common).strip() if common.is_file() else git)
    return None


def _head(repository: _Repository) -> str | None:
    """Returns the commit that HEAD refers to."""
    text = _text(repository.own / "HEAD").strip()
    for _ in range(_MAX_SYMREFS):
        if _OID.fullmatch(text):
            return text
        ref = _REF.fullmatch(text)
        if ref is None or ".." in ref[1]:
            return None
        text = _resolved(repository, ref[1])
    return None


def _resolved(repository: _Repository, ref: str) -> str:
    """Returns the content of a ref; empty if it does not exist."""
    for folder in (repository.own, repository.common):
        if (folder / ref).is_file():
            return _text(folder / ref).strip()
    packed = repository.common / "packed-refs"
    lines = _text(packed).splitlines() if packed.is_file() else []
    return next((oid for oid, _, name in (line.partition(" ") for line in lines) if name == ref), "")


def _is_changed(repository: _Repository, commit: str) -> bool | None:
    """Returns whether tracked files differ from a commit; None if git cannot tell."""
    program = shutil.which("git")
    if program is None or not os.path.isabs(program):  # a relative one would be looked up in the working tree
        return None
    with tempfile.TemporaryDirectory(prefix="migrate-git-") as empty:
        git = Path(empty)
        (git / "refs").mkdir()
        (git / "HEAD").write_text(f"{commit}\n")
        sha256 = len(commit) == 64
        extension = "[extensions]\n\tobjectFormat = sha256\n" if sha256 else ""
        (git / "index").write_bytes(_bytes(repository.own / "index"))  # git writes the times of files into it
        (git / "config").write_text(f"[core]\n\trepositoryFormatVersion = {int(sha256)}\n{extension}")
        command = [
            program,
            "diff",
            "--quiet",
            "--no-ext-diff",
            "--no-textconv",
            "--ignore-submodules=all",
            "HEAD",
            "--",
        ]
        done = subprocess.run(  # noqa: S603  # a fixed command in a repository of our own
            command, cwd=repository.tree, env=_environment(repository, git), capture_output=True, timeout=_SECONDS
        )
    return {0: False, 1: True}.get(done.returncode)


def _environment(repository: _Repository, git: Path) -> dict[str, str]:
    """Returns the environment that makes git use an empty directory instead of the repository's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {
        **inherited,
        "GIT_DIR": str(git),
        "GIT_WORK_TREE": str(repository.tree),
        "GIT_OBJECT_DIRECTORY": str((repository.common / "objects").resolve()),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8")


def _bytes(path: Path) -> bytes:
    """Returns the content of a regular file.

    Raises:
      OSError: it cannot be read.
      ValueError: it is no regular file, or too large.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            raise ValueError(f"{path} is not a regular file of at most {_MAX_BYTES} bytes")
        return stream.read()
