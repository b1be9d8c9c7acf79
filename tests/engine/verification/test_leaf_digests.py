"""Digests of leaves in memory, in ranges of files and in chunks are the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.engine.streaming.array_bytes import digest_of, value_blocks
from migrate.engine.verification.leaf_digests import (
    READ_BYTES,
    _groups,
    extent_digest,
    in_parallel,
    leaf_digests,
)
from migrate.errors import CheckpointError
from migrate.formats.base import Extent
from tests.engine.sources import every_kind, opened, save


def test_what_is_stored_has_the_digests_of_the_value_that_is_read(tmp_path):
    with opened(save(tmp_path / "old", every_kind())) as reader:
        leaves = reader.abstract().tree.leaves
        found = dict(leaf_digests(reader, max_ram=1 << 26, jobs=2))
        assert {path: value_blocks(reader.read(path), leaf) for path, leaf in leaves.items()} == found
        strong = dict(leaf_digests(reader, max_ram=1 << 26, jobs=2, crc=False))
    assert {path: tuple(block[8:] for block in blocks) for path, blocks in found.items()} == strong


def test_ranges_of_files_are_one_sequence_of_bytes(tmp_path):
    array = np.arange(10, dtype="<i4")
    (tmp_path / "f").write_bytes(b"xx" + array.tobytes())
    extents = [Extent(tmp_path / "f", 2, 12), Extent(tmp_path / "f", 14, 28)]
    assert digest_of(array).blocks == extent_digest(extents).blocks


def test_a_file_that_ends_early_is_refused(tmp_path):
    (tmp_path / "f").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="it has become shorter"):
        extent_digest([Extent(tmp_path / "f", 0, 10)])


def test_results_come_in_the_order_of_the_items():
    assert [(i, i * i) for i in range(50)] == list(in_parallel(lambda i: i * i, range(50), 4))


@given(st.lists(st.integers(0, READ_BYTES * 2), max_size=300))
def test_small_items_are_read_together_and_keep_their_order(sizes):
    items = list(enumerate(sizes))
    found = list(in_parallel(lambda item: item[0], items, 2, nbytes=lambda item: item[1]))

    assert [(item, item[0]) for item in items] == found
    groups = list(_groups(items, lambda item: item[1]))
    assert all(len(group) == 1 or sum(size for _, size in group) <= READ_BYTES for group in groups)
