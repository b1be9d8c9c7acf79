"""The encoded values of a source's store: chunks and array metadata, as they are stored."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorstore as ts

from migrate.engine.linking.open_stores import open_database, open_folder
from migrate.formats.base import Location
from migrate.formats.files import explain_store_failure
from migrate.formats.zarr.small_arrays import DatabaseValues, FolderValues, values_of


class SourceValues(NamedTuple):
    """The store of a source: small values are read directly, others by TensorStore."""

    values: DatabaseValues | FolderValues
    store: Any

    @classmethod
    def of(cls, place: Location, context: ts.Context) -> SourceValues:
        """Returns the values of the store that holds an array.

        Args:
          place: the array.
          context: the context in which TensorStore opens the store.
        """
        return cls(values_of(place), (open_database if place.ocdbt else open_folder)(place.base, context))

    def read(self, location: Location, key: str) -> bytes | None:
        """Returns a value; None if there is none.

        Args:
          location: the array that it belongs to, for the message.
          key: its key in the store.

        Raises:
          CheckpointError: it cannot be read.
        """
        content = self.values.get(key)
        if content is not None:
            return content
        try:
            answer = self.store.read(key).result()
        except (ValueError, OSError) as error:
            explain_store_failure(error, location.base, f"`{key}`")
        return answer.value if answer.state == "value" else None
