"""Some leaves at a time through plain Orbax."""

import shutil

import numpy as np
import orbax.checkpoint as ocp
import pytest

from migrate.engine.verification.compare import Unrestorable
from migrate.engine.verification.orbax_restore import ReadBack
from migrate.errors import CheckpointError
from tests.engine.sources import every_kind, save
from tests.engine.verification.conftest import chunks


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "old"
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        checkpointer.save(path, args=ocp.args.PyTreeSave({**every_kind(), "text": "hello"}))
    return path


def test_the_names_are_those_of_all_leaves_with_data(checkpoint):
    with ReadBack(checkpoint) as item:
        assert {"params.kernel", "opt.0.mu", "key", "step", "done", "text"} <= item.names
        assert item.names.isdisjoint({"opt.1", "empty"})


def test_only_what_is_asked_for_is_restored(checkpoint):
    with ReadBack(checkpoint) as item:
        assert {} == item.restore([])
        found = item.restore(["params.kernel", "text", "key"])
    assert {"params.kernel", "text", "key"} == found.keys()
    np.testing.assert_array_equal(every_kind()["params"]["kernel"], found["params.kernel"])
    assert "hello" == found["text"]
    assert (np.dtype("uint32"), (3, 2)) == (found["key"].dtype, found["key"].shape)


@pytest.mark.usefixtures("abandoned_reads")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_leaf_that_cannot_be_restored_does_not_keep_the_others(tmp_path):
    checkpoint = save(tmp_path / "old", {name: np.arange(1000.0) for name in "abcd"})
    chunks(checkpoint).write("c/0", b"not zstd").result()
    with ReadBack(checkpoint) as item:
        found = item.restore("abcd")
    assert isinstance(found["c"], Unrestorable)
    assert all(np.array_equal(np.arange(1000.0), found[name]) for name in "abd")


@pytest.mark.parametrize(
    "damage",
    [lambda text: text.replace("sharding_type", "sharding_tipe"), lambda text: text.replace("\\n", "")[:-4]],
    ids=["another key", "cut off"],
)
def test_metadata_that_orbax_cannot_read_is_damage_and_no_bug(checkpoint, tmp_path, damage):
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    (copy / "_sharding").write_text(damage((copy / "_sharding").read_text()))
    with pytest.raises(CheckpointError) as refusal, ReadBack(copy):
        pass
    assert ["M404"] == [d.code for d in refusal.value.diagnostics]
    assert "plain Orbax cannot read the metadata" in refusal.value.diagnostics[0].message
