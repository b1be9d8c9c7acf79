"""What is part of one Orbax checkpoint, and what would be lost with it."""

import numpy as np
import orbax.checkpoint as ocp
import pytest

from migrate.formats.orbax.entries import foreign_entries


@pytest.mark.parametrize("ocdbt", [False, True])
def test_only_files_that_orbax_did_not_write_are_foreign(tmp_path, ocdbt):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt)) as checkpointer:
        checkpointer.save(tmp_path / "saved", args=ocp.args.PyTreeSave({"a": {"w": np.zeros((4, 4))}, "n": "text"}))
    assert [] == list(foreign_entries(tmp_path / "saved"))
    (tmp_path / "saved" / "thesis.tex").write_text("x")
    (tmp_path / "saved" / "more").mkdir()
    (tmp_path / "saved" / "more" / "notes.txt").write_text("x")
    assert {"thesis.tex", "more/notes.txt"} == set(foreign_entries(tmp_path / "saved"))
