"""Opens TensorStore's key-value stores and arrays: OCDBT databases, folders, and arrays in either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorstore as ts

from migrate.formats.base import Location
from migrate.formats.files import explain_store_failure
from migrate.formats.zarr.store_spec import INDEX_CACHE, database_spec, folder_spec, location_spec

NODE_BYTES = 1_000_000
"""The largest node of a new database's B-tree, in bytes. Orbax's 100 MB suit a database that is written once: each
transaction writes every node again in which it changes a key.
"""

OPTIONS = {"max_inline_value_bytes": 1024, "max_decoded_node_bytes": NODE_BYTES, "manifest_kind": "single"}
"""The configuration of a new OCDBT database: that of Orbax, but for the size of nodes."""

INDEX_CACHE_BYTES = 16 << 20
"""The default size of the cache of B-tree nodes."""
_COPYING_CACHE_BYTES = 64 << 20


def open_folder(directory: Path, context: ts.Context) -> Any:
    """Opens the files below a directory as a key-value store."""
    return ts.KvStore.open(folder_spec(directory), context=context).result()


def open_database(directory: Path, context: ts.Context, **options: Any) -> Any:
    """Opens an OCDBT database as a key-value store."""
    return ts.KvStore.open(database_spec(directory, **options), context=context).result()


def open_database_at(place: dict[str, Any], context: ts.Context, **options: Any) -> Any:
    """Opens the OCDBT database in a key-value store, given by its specification."""
    return ts.KvStore.open({"driver": "ocdbt", "base": place, **options}, context=context).result()


def copying_context() -> ts.Context:
    """Returns a context for databases between which entries are copied, and for values that are copied.

    Copying by reference needs both databases in one context, the source below the target. The cache holds B-tree nodes:
    without one, every key would read the index again.
    """
    return ts.Context({"cache_pool": {"total_bytes_limit": _COPYING_CACHE_BYTES}})


def reading_context(cache_bytes: int, index_bytes: int = INDEX_CACHE_BYTES) -> ts.Context:
    """Returns a context for arrays that are read together.

    Args:
      cache_bytes: size of the cache of decoded chunks.
      index_bytes: size of the cache of B-tree nodes.
    """
    return ts.Context(
        {"cache_pool": {"total_bytes_limit": cache_bytes}, INDEX_CACHE: {"total_bytes_limit": index_bytes}}
    )


def open_array(location: Location, context: ts.Context) -> Any:
    """Opens a stored array; reads its metadata only.

    Args:
      location: where it is stored.
      context: from `reading_context`.

    Raises:
      CheckpointError: there is no such array, or its metadata is damaged.
    """
    try:
        return ts.open(location_spec(location), open=True, read=True, context=context).result()
    except (ValueError, OSError) as error:
        explain_store_failure(error, location.base, f"the array `{location.name}`")
