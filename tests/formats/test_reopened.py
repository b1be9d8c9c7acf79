"""A reader tells how another process opens the same checkpoint (`formats.base`)."""

import os

import numpy as np
import orbax.checkpoint as ocp

from migrate.formats.detect import FORMATS, open_reader
from migrate.formats.joined import reopened


def test_the_same_checkpoint_is_opened_again_from_another_directory(tmp_path, monkeypatch):
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        for step in (3, 5):
            items = {"state": ocp.args.StandardSave({"w": np.full((2,), step)}), "ema": ocp.args.StandardSave({"w": 1})}
            manager.save(step, args=ocp.args.Composite(**items))
    monkeypatch.chdir(tmp_path)
    with open_reader("root", "latest", "state") as reader:
        opening, tree = reader.opening, reader.abstract().tree
    assert (str(tmp_path / "root"), 5, "state") == (opening.path, opening.step, opening.item)
    os.chdir("/")
    with reopened(opening) as again:
        assert tree.structure_hash == again.abstract().tree.structure_hash
        assert [5, 5] == list(again.read(("w",)))


def test_a_checkpoint_that_was_opened_with_formats_of_the_caller_cannot_be_opened_elsewhere(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.ones(2))
    with open_reader(tmp_path / "a.npz", formats=FORMATS) as reader:
        assert reader.opening is None
