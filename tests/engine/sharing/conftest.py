"""A small checkpoint of which most arrays are streamed, and what one process makes of it."""

import shutil

import orbax.checkpoint as ocp
import pytest

import migrate
from tests.engine.sharing.shared_runs import applied, tree, values


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "old"
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(path, tree())
    return path


@pytest.fixture(scope="session")
def alone(source, tmp_path_factory):
    """The receipt and the leaves of a run of one process."""
    target = tmp_path_factory.mktemp("alone") / "new"
    return applied(source, target), values(target)


@pytest.fixture
def recorded(source, tmp_path):
    """A copy of the checkpoint that records digests."""
    copy = shutil.copytree(source, tmp_path / "recorded" / "old")
    migrate.stamp(copy, digests=True)
    return copy
