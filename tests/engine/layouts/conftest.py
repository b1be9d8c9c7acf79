"""Steps of every kind, each in a root of its own."""

import shutil

import pytest

from tests.engine.two_layouts import WRITERS, written


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """A root of every kind."""
    folder = tmp_path_factory.mktemp("sources")
    for kind in WRITERS:
        (folder / kind).mkdir()
        written(kind, folder / kind)
    return folder


@pytest.fixture
def step_of(sources, tmp_path):
    """Returns a copy of the step of a kind, and its item."""

    def copied(kind):
        root = shutil.copytree(sources / kind / "run", tmp_path / kind)
        return next(root.iterdir()), WRITERS[kind][1]

    return copied
