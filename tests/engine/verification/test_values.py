"""Verification finds what is wrong, all of it, and computes ahead without computing far ahead."""

import threading

import numpy as np
import pytest

from migrate.engine.verification.values import one_ahead, verify
from migrate.errors import VerifyError
from tests.engine.sources import opened, plan_for
from tests.engine.verification.conftest import chunks, messages, swap


def test_a_difference_is_shown_with_its_place_and_both_values(written):
    source, result = written
    swap(result, "w1", "w3")
    with opened(source) as reader, pytest.raises(VerifyError) as failure:
        verify(plan_for(reader), reader, result)
    assert [
        "`w1`: 100 of 100 values differ, max |Δ| 2 (relative 2), ‖Δ‖ 20; the first at 0: 3.0, not 1.0",
        "`w3`: 100 of 100 values differ, max |Δ| 2 (relative 0.667), ‖Δ‖ 20; the first at 0: 1.0, not 3.0",
    ] == messages(failure)


@pytest.mark.usefixtures("abandoned_reads")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
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
