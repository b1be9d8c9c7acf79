"""Orbax's private surface, as far as the commit stands on it: these fail when it moves."""

import inspect

import orbax.checkpoint as ocp
from orbax.checkpoint import type_handlers
from orbax.checkpoint._src.metadata import array_metadata, array_metadata_store
from orbax.checkpoint._src.serialization import ocdbt_process_spec

from migrate.engine.commit import DATABASE


def test_array_metadata_has_the_fields_that_are_filled():
    fields = {"param_name", "shape", "dtype", "write_shape", "chunk_shape", "use_ocdbt", "use_zarr3", "ext_metadata"}
    assert fields <= {field.name for field in array_metadata.dataclasses.fields(array_metadata.ArrayMetadata)}


def test_the_array_metadata_store_writes_what_it_is_given():
    parameters = inspect.signature(array_metadata_store.Store.write).parameters
    assert ["self", "checkpoint_dir", "array_metadatas", "process_index"] == list(parameters)


def test_handlers_are_asked_to_serialize_values_infos_and_arguments():
    for handler in (type_handlers.ArrayHandler, type_handlers.NumpyHandler):
        assert ["self", "values", "infos", "args"] == list(inspect.signature(handler.serialize).parameters)


def test_databases_with_this_prefix_are_merged():
    assert DATABASE.startswith(ocdbt_process_spec.PROCESS_PREFIX)


def test_the_saver_can_be_told_not_to_miss_chunks_of_empty_arrays():
    parameters = inspect.signature(ocp.BasePyTreeCheckpointHandler.__init__).parameters
    assert "enable_post_merge_validation" in parameters
    assert "handler_impl" in inspect.signature(ocp.PyTreeCheckpointHandler.__init__).parameters
