"""Writes long values of an OCDBT database straight into data files, and gives the database references to them.

TensorStore would copy each value into many small pieces of memory before it writes it. Here a batch of values is one
file, which is durable before the database refers to it. Its entries are handed over as a database of one node, whose
directory is that of the data files, and which TensorStore copies by reference.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tensorstore as ts

from migrate.engine.linking.new_files import sync_each
from migrate.engine.linking.open_stores import open_database
from migrate.formats.zarr.key_places import MANIFEST
from migrate.formats.zarr.ocdbt_encoding import encode_manifest, encode_node
from migrate.formats.zarr.ocdbt_format import ValueRange

LONG_BYTES = 1025
"""The least bytes of a value in a data file: shorter ones are part of the index."""

_AT_ONCE = 512
"""The values of one system call."""


class DataFiles:
    """The data files of one database; thread-safe."""

    def __init__(self, store: Path, context: ts.Context) -> None:
        """Begins without a file.

        Args:
          store: the directory of the database, which is local.
          context: that with which the database is opened.
        """
        self._folder = store / "d"
        self._context = context
        self._identity = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._remove_index()

    def write(self, values: Sequence[tuple[str, bytes]], database: Any) -> None:
        """Writes values into a database: the long ones into a new data file, which is durable before this returns.

        Args:
          values: keys and values.
          database: the database in an atomic transaction, which is not committed here.

        Raises:
          OSError: the file cannot be written.
        """
        requests = [database.write(key, value) for key, value in values if len(value) < LONG_BYTES]
        places = self._write_file([pair for pair in values if len(pair[1]) >= LONG_BYTES])
        if places:
            with self._lock:
                self._refer(places, database)
        for request in requests:
            request.result()

    def _write_file(self, values: Sequence[tuple[str, bytes]]) -> dict[str, ValueRange]:
        """Writes values into a new file; returns where each of them is."""
        if not values:
            return {}
        self._folder.mkdir(parents=True, exist_ok=True)
        name = secrets.token_hex(16)
        with _new_file(self._folder / name) as descriptor:
            for at in range(0, len(values), _AT_ONCE):
                _write_all(descriptor, [value for _, value in values[at : at + _AT_ONCE]])
            os.fsync(descriptor)
        sync_each([self._folder])
        end = 0
        places: dict[str, ValueRange] = {}
        for key, value in values:
            places[key] = ValueRange(name, end, len(value))
            end += len(value)
        return places

    def _refer(self, places: dict[str, ValueRange], database: Any) -> None:
        node = encode_node(places)
        file = self._folder / secrets.token_hex(16)
        try:
            file.write_bytes(node)
            manifest = encode_manifest(self._identity, places, ValueRange(file.name, 0, len(node)))
            whole = file.with_name(f"{file.name}.manifest")
            whole.write_bytes(manifest)
            whole.rename(self._folder / MANIFEST)
            open_database(self._folder, self._context).experimental_copy_range_to(database).result()
        finally:
            file.unlink(missing_ok=True)

    def close(self) -> None:
        """Removes what only handed over references."""
        self._remove_index()

    def _remove_index(self) -> None:
        with suppress(FileNotFoundError):
            (self._folder / MANIFEST).unlink()


@contextmanager
def _new_file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor
    except OSError as error:  # which names no file
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, values: Sequence[bytes]) -> None:
    """Writes values one after the other; a system call may write less than all of them."""
    left = [memoryview(value) for value in values]
    while left:
        written = os.writev(descriptor, left)
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]
