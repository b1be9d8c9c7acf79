"""Checkpoints that other projects published; skipped where they are not available."""

from pathlib import Path

import numpy as np
import pytest

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.testing.readers import check_reader

REAL = Path(__file__).parents[3] / "shared" / "real"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the published checkpoints are not here")

WHOLE = {
    "scico_dncnn6L/ckpt/dncnn6L.mpk": ("flax msgpack", 22),
    "transformer_mpc_first/ckpt": ("flax msgpack", 111),
    "transformer_mpc_first/ckpt/checkpoint_0": ("flax msgpack", 111),
    "dronetrain/ckpt": ("orbax ocdbt", 22),
    "orbax_aggregate_some/ckpt": ("orbax zarr", 4),
    "orbax_v1_managed/ckpt": ("orbax ocdbt", 2),
    "orbax_v1_managed/ckpt/0": ("orbax ocdbt", 2),
    "orbax_v1_managed/ckpt/0/state": ("orbax ocdbt", 2),
}


@pytest.mark.parametrize("name", WHOLE)
def test_it_is_recognised_and_keeps_the_laws(name):
    check_reader(lambda: open_reader(REAL / name))
    with open_reader(REAL / name) as reader:
        checkpoint = reader.abstract()
    assert WHOLE[name] == (checkpoint.format, len(checkpoint.tree.leaves))


def test_a_checkpoint_from_a_gpu_reads_without_one():
    with open_reader(REAL / "dronetrain/ckpt") as reader:
        tree = reader.abstract().tree
        assert {(): "list"} == tree.containers
        std = reader.read(("0", "std"))
    assert (17,) == std.shape
    assert np.isfinite(std).all()


def test_placeholders_and_values_of_one_file_read_together():
    with open_reader(REAL / "orbax_aggregate_some/ckpt") as reader:
        assert [0, 3, 6] == reader.read(("c", "a")).ravel()[:3].tolist()
        drivers = {path[0]: leaf.storage.driver for path, leaf in reader.abstract().tree.leaves.items()}
    assert {"a": "zarr2", "b": "zarr2", "c": "msgpack"} == drivers


def test_a_foreign_item_is_ignored_with_a_note():
    with open_reader(REAL / "orbax_v1_managed/ckpt") as reader:
        checkpoint = reader.abstract()
    assert {"metadata": {"metadata": "json_data"}, "metrics": {"loss": 0.5}} == checkpoint.extras
    assert {"foo": "bar", "custom": "meta"} == checkpoint.metadata
    assert [("M407", ("baz", "descriptor"))] == [(note.code, note.paths) for note in checkpoint.notes]


@pytest.mark.parametrize(("name", "code"), [("no_manifest", "M403"), ("lfs_pointers", "M402")])
def test_broken_ones_are_refused_with_the_reason(name, code):
    with pytest.raises(CheckpointError) as caught:
        open_reader(REAL / "broken" / name / "ckpt")
    assert [code] == [found.code for found in caught.value.diagnostics]
