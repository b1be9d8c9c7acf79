"""The collector is paused, and never left paused."""

import gc

import pytest

from migrate.engine.loading.collection import paused_collection


def test_the_collector_is_paused():
    with paused_collection():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_error_does_not_leave_it_paused():
    with pytest.raises(KeyError), paused_collection():
        raise KeyError
    assert gc.isenabled()


def test_a_collector_that_the_caller_has_disabled_stays_so():
    gc.disable()
    try:
        with paused_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
