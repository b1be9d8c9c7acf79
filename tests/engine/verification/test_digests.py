"""Verification by digests finds every array that differs from what was written."""

import numpy as np
import pytest

from migrate.engine.streaming.array_bytes import digest
from migrate.engine.verification.digests import verify_digests
from migrate.errors import CheckpointError, VerifyError
from migrate.events import LeafDone
from tests.engine.sources import every_kind, opened, plan_for, save
from tests.engine.verification.conftest import chunks, messages, swap


def test_the_digests_of_an_untouched_result_are_right(tmp_path):
    source, heard = save(tmp_path / "old", every_kind()), []
    with opened(source) as reader:
        plan, digests = plan_for(reader), digests_of(source)
    assert len(digests) == verify_digests(plan, source, digests, listener=heard.append)
    largest_first = sorted(digests, key=lambda path: -plan.target.leaves[path].nbytes)
    assert [LeafDone("verify", path, plan.target.leaves[path].nbytes) for path in largest_first] == heard


@pytest.mark.parametrize("max_ram", [1, 100, 1 << 30])
def test_every_array_whose_digest_differs_is_named(written, max_ram):
    source, result = written
    swap(result, "w1", "w3")
    with opened(source) as reader, pytest.raises(VerifyError) as failure:
        verify_digests(plan_for(reader), result, digests_of(source), max_ram=max_ram)
    assert [f"`w{i}`: its digest is not that of what was written" for i in (1, 3)] == messages(failure)


def test_a_damaged_chunk_is_found_by_digests(written):
    source, result = written
    chunks(result).write("w2/0", b"not zstd").result()
    with opened(source) as reader, pytest.raises(CheckpointError, match="`w2`"):
        verify_digests(plan_for(reader), result, digests_of(source))


def digests_of(source):
    with opened(source) as reader:
        leaves = reader.abstract().tree.leaves
        return {path: digest(np.asarray(reader.read(path))) for path, leaf in leaves.items() if leaf.is_numeric}
