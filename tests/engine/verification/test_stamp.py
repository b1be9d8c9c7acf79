"""Digests are added to a checkpoint that has none; `test_recorded` covers what a stamp refuses."""

import jax.numpy as jnp
import pytest

from migrate.engine.verification.stamp import stamp_digests
from migrate.errors import UsageError
from migrate.formats.detect import open_reader
from migrate.formats.digest_record import read_record
from tests.engine.sources import every_kind, save


def test_every_kind_of_leaf_gets_a_digest_once(tmp_path):
    with open_reader(save(tmp_path / "old", every_kind()), unbox="never") as reader:
        first = stamp_digests(reader, max_ram=1 << 26, jobs=2)
        second = stamp_digests(reader)
        leaves = reader.abstract().tree.leaves
    record = read_record(first.file)
    assert (len(leaves), len(leaves), 0) == (first.leaves, first.added, second.added)
    assert (set(leaves), ()) == (set(record.leaves), record.undigested)
    assert first.root == second.root == record.root


def test_a_directory_of_another_format_is_refused(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"a": np.asarray(jnp.ones(3))}, tmp_path / "model.safetensors")
    with open_reader(tmp_path, unbox="never") as reader, pytest.raises(UsageError, match="cannot take digests later"):
        stamp_digests(reader)
    assert ["model.safetensors"] == [path.name for path in tmp_path.iterdir()]
