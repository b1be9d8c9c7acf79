"""Verification finds what is wrong, all of it, and computes ahead without computing far ahead."""

import threading

import jax.numpy as jnp
import numpy as np
import pytest
import tensorstore as ts

from migrate.engine.streaming.array_bytes import digest
from migrate.engine.verification.digests import verify_digests
from migrate.engine.verification.values import one_ahead, verify
from migrate.errors import CheckpointError, VerifyError
from migrate.events import LeafDone
from tests.engine.sources import apply_plan, every_kind, opened, plan_for, save

LEAVES = {f"w{i}": jnp.arange(100.0) + i for i in range(5)}


@pytest.fixture
def written(tmp_path):
    """A source and what an empty rule file makes of it."""
    source, result = save(tmp_path / "old", LEAVES), tmp_path / "new"
    with opened(source) as reader:
        apply_plan(plan_for(reader), reader, result, verify="none")
    return source, result


def digests_of(source):
    with opened(source) as reader:
        leaves = reader.abstract().tree.leaves
        return {path: digest(np.asarray(reader.read(path))) for path, leaf in leaves.items() if leaf.is_numeric}


def chunks(checkpoint):
    return ts.KvStore.open({"driver": "ocdbt", "base": f"file://{checkpoint}/"}).result()


def swap(checkpoint, one, other):
    """Exchanges the chunks of two arrays: everything is readable, and two values are wrong."""
    store = chunks(checkpoint)
    mine, theirs = (store.read(f"{name}/0").result().value for name in (one, other))
    store.write(f"{one}/0", theirs).result()
    store.write(f"{other}/0", mine).result()


def messages(failure):
    return [diagnostic.message for diagnostic in failure.value.diagnostics]


def test_the_digests_of_an_untouched_result_are_right(tmp_path):
    source, heard = save(tmp_path / "old", every_kind()), []
    with opened(source) as reader:
        plan, digests = plan_for(reader), digests_of(source)
    assert len(digests) == verify_digests(plan, source, digests, listener=heard.append)
    assert [LeafDone("verify", path, plan.target.leaves[path].nbytes) for path in digests] == heard


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


def test_a_difference_is_shown_with_its_place_and_both_values(written):
    source, result = written
    swap(result, "w1", "w3")
    with opened(source) as reader, pytest.raises(VerifyError) as failure:
        verify(plan_for(reader), reader, result)
    assert [
        "`w1`: 100 of 100 values differ, the first at 0: 3.0, not 1.0",
        "`w3`: 100 of 100 values differ, the first at 0: 1.0, not 3.0",
    ] == messages(failure)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax leaves its other reads behind
def test_leaves_that_orbax_cannot_restore_are_named_beside_those_that_differ(written):
    source, result = written
    chunks(result).write("w2/0", b"not zstd").result()
    swap(result, "w0", "w4")
    with opened(source) as reader, pytest.raises(VerifyError) as failure:
        verify(plan_for(reader), reader, result)
    found = messages(failure)
    assert ["`w0`", "`w2`", "`w4`"] == sorted(message.partition(":")[0] for message in found)
    assert "Orbax cannot restore it" in found[1]


def test_one_ahead_gives_the_same_items_and_never_computes_two_ahead():
    made, taken = [], []

    def items():
        for i in range(6):
            made.append(i)
            yield i

    with one_ahead(items()) as ahead:
        for i in ahead:
            taken.append(i)
            assert len(made) <= len(taken) + 1
    assert list(range(6)) == taken


def test_one_ahead_computes_elsewhere_and_passes_errors_on():
    def items():
        yield threading.current_thread()
        raise KeyError("x")

    with one_ahead(items()) as ahead:
        assert threading.current_thread() is not next(ahead)
        with pytest.raises(KeyError):
            next(ahead)


def test_leaving_early_waits_for_the_item_that_is_being_computed():
    finished = []

    def items():
        for i in range(100):
            yield np.zeros(i)
            finished.append(i)

    with one_ahead(items()) as ahead:
        next(ahead)
    assert len(finished) <= 1
