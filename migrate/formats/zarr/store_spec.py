"""What TensorStore is told about files: the one place where its specifications are put together.

A path is given as it is, never as a URL, in which `%`, `#` and `?` mean something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrate.formats.zarr.metadata import TENSORSTORE_DRIVERS, Driver

if TYPE_CHECKING:
    from pathlib import Path

    from migrate.formats.base import Location

INDEX_CACHE = "cache_pool#index"
"""The cache of a context for the indexes of databases: without one of its own, each is read again for every chunk."""


def folder_spec(folder: Path, prefix: str = "") -> dict[str, Any]:
    """The files below a directory, as a key-value store."""
    return {"driver": "file", "path": f"{folder}/{prefix}"}


def database_spec(folder: Path, prefix: str = "", **options: Any) -> dict[str, Any]:
    """The keys of an OCDBT database below `prefix`, as a key-value store."""
    return {"driver": "ocdbt", "base": folder_spec(folder), "path": prefix, **options}


def array_spec(kvstore: dict[str, Any], driver: Driver, *, fill_missing: bool) -> dict[str, Any]:
    """An array that is there and that nobody changes; a missing chunk is an error unless `fill_missing`."""
    return {
        "driver": TENSORSTORE_DRIVERS[driver],
        "kvstore": kvstore,
        "recheck_cached_metadata": False,
        "recheck_cached_data": False,
        "fill_missing_data_reads": fill_missing,
    }


def location_spec(location: Location) -> dict[str, Any]:
    """The array at a location, for a context that has the cache `INDEX_CACHE`."""
    if location.ocdbt:
        kvstore = database_spec(location.base, location.prefix, cache_pool=INDEX_CACHE)
    else:
        kvstore = folder_spec(location.base, location.prefix)
    return array_spec(kvstore, location.driver, fill_missing=location.fill_missing)
