"""TensorStore specifications of files, databases and arrays; all of them are made here.

A path is passed as a path, never as a URL, in which `%`, `#` and `?` have a meaning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrate.formats.zarr.metadata import TENSORSTORE_DRIVERS, Driver
from migrate.places.bucket_path import BucketPath

if TYPE_CHECKING:
    from pathlib import Path

    from migrate.formats.base import Location

INDEX_CACHE = "cache_pool#index"
"""The cache for the indexes of databases in a context; without one, an index is read again for every chunk."""


def folder_spec(folder: Path, prefix: str = "") -> dict[str, Any]:
    """Returns the specification of the files below a directory as a key-value store."""
    if isinstance(folder, BucketPath):
        return folder.store_spec(prefix)
    return {"driver": "file", "path": f"{folder}/{prefix}"}


def database_spec(folder: Path, prefix: str = "", **options: Any) -> dict[str, Any]:
    """Returns the specification of the keys of an OCDBT database below `prefix` as a key-value store."""
    return {"driver": "ocdbt", "base": folder_spec(folder), "path": prefix, **options}


def array_spec(kvstore: dict[str, Any], driver: Driver, *, fill_missing: bool) -> dict[str, Any]:
    """Returns the specification of an existing array that does not change.

    A missing chunk is an error unless `fill_missing`.
    """
    return {
        "driver": TENSORSTORE_DRIVERS[driver],
        "kvstore": kvstore,
        "recheck_cached_metadata": False,
        "recheck_cached_data": False,
        "fill_missing_data_reads": fill_missing,
    }


def location_spec(location: Location) -> dict[str, Any]:
    """Returns the specification of the array at a location, for a context that has the cache `INDEX_CACHE`."""
    if location.ocdbt:
        kvstore = database_spec(location.base, location.prefix, cache_pool=INDEX_CACHE)
    else:
        kvstore = folder_spec(location.base, location.prefix)
    return array_spec(kvstore, location.driver, fill_missing=location.fill_missing)
