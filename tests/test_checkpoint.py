"""An open checkpoint: leaves by key path or its text, the nearest name for a missing leaf, files closed at the end."""

import numpy as np
import pytest

from migrate import checkpoint
from migrate.checkpoint import Checkpoint, list_steps, open_checkpoint
from migrate.errors import CheckpointError

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def saved(tmp_path):
    np.savez(tmp_path / "old.npz", **{"params/kernel": KERNEL, "params/bias": np.zeros(3, np.float32)})
    return tmp_path / "old.npz"


@pytest.mark.parametrize("path", ["params/kernel", ("params", "kernel"), ["params", "kernel"]])
def test_a_leaf_is_read_by_its_key_path_or_its_text(saved, path):
    with open_checkpoint(saved) as source:
        np.testing.assert_array_equal(KERNEL, source.read(path))


def test_all_leaves_are_read_by_key_path(saved):
    with open_checkpoint(saved) as source:
        assert set(source.tree.leaves) == set(source.read_all())


def test_a_missing_leaf_names_the_nearest(saved):
    with (
        open_checkpoint(saved) as source,
        pytest.raises(KeyError, match=r"`params/kernal`; did you mean `params/kernel`\?"),
    ):
        source.read("params/kernal")


class Broken:
    closed = False

    def abstract(self):
        raise CheckpointError

    def close(self):
        self.closed = True


def test_the_context_closes_the_reader(saved):
    reader = Broken()
    reader.abstract = lambda: None
    with Checkpoint(reader):
        assert not reader.closed
    assert reader.closed


def test_a_reader_that_cannot_describe_its_checkpoint_is_closed(saved, monkeypatch):
    reader = Broken()
    monkeypatch.setattr("migrate.formats.detect.open_reader", lambda *_, **__: reader)
    with pytest.raises(CheckpointError):
        checkpoint.open_checkpoint(saved)
    assert reader.closed


def test_a_single_file_has_no_steps(saved):
    assert () == list_steps(saved)
