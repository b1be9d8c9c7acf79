"""Runs of these tests ask git only once per directory which commit their records name."""

import functools
from pathlib import Path

import pytest

from migrate.engine.outputs import provenance
from migrate.git_commit import git_commit

commit_of = functools.cache(git_commit)


@pytest.fixture(autouse=True)
def git_asked_once(monkeypatch):
    """Records name the commit that the first run in the directory found."""
    monkeypatch.setattr(provenance, "git_commit", lambda: commit_of(Path.cwd()))
