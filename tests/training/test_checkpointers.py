"""The internals of Orbax that `migrate.save` uses: this file fails when an Orbax without them is installed."""

import threading

import orbax.checkpoint as ocp
import pytest
from orbax.checkpoint import v1
from orbax.checkpoint.experimental.v1._src.context.context import get_context

import migrate
from migrate.training.checkpointers import TESTED, saver_of
from migrate.training.payload import payload_of


def test_a_manager_has_the_internals_that_are_used(tmp_path):
    with ocp.CheckpointManager(tmp_path) as manager:
        assert manager._default_item.get() is None, "it is None until the first save or restore"
        assert [] == list(manager._checkpointer.handler._item_names_without_registered_handlers or [])
        assert not manager._checkpointer.handler._handler_registry.has("step", ocp.args.JsonSave(0))


def test_a_v1_checkpointer_has_the_internals_that_are_used(tmp_path):
    with v1.training.Checkpointer(tmp_path) as checkpointer:
        context = get_context(checkpointer._context)
        assert isinstance(context, v1.Context)
        assert context.checkpointables.registry is not None


def test_threading_calls_functions_before_it_stops_pools():
    assert hasattr(threading, "_register_atexit")


def test_a_manager_without_an_internal_is_refused_before_anything_is_written(tmp_path):
    with ocp.CheckpointManager(tmp_path) as manager:
        kept = manager._default_item
        del manager._default_item
        with pytest.raises(migrate.UsageError, match=r"has no `CheckpointManager\._default_item`") as refused:
            migrate.save(manager, 1, {"w": 1}, {})
        assert ("M738", f"`migrate.save` was tested with {TESTED}") == (
            refused.value.diagnostics[0].code,
            refused.value.diagnostics[0].help,
        )
        manager._default_item = kept
    assert [] == list(tmp_path.iterdir())


def test_a_manager_is_as_before_if_the_save_fails(tmp_path):
    with ocp.CheckpointManager(tmp_path) as manager:
        migrate.save(manager, 1, {"w": 1}, {})
        with pytest.raises(ValueError, match="already exists"):
            saver_of(manager).save(1, payload_of({"w": 1}, 1, named=False), {}, None, force=True)
        assert manager._default_item.get() is True
        assert {"w": 1} == manager.restore(1)


def test_the_context_of_a_v1_checkpointer_is_kept(tmp_path):
    context = v1.Context()
    context.array.saving.use_ocdbt = False
    with v1.training.Checkpointer(tmp_path / "root", context=context) as checkpointer:
        migrate.save(checkpointer, 1, {"w": [1.0]}, {})
    assert not list((tmp_path / "root").rglob("manifest.ocdbt"))
