"""Where the keys of zarr arrays lie: in a folder, in an OCDBT database, or in what only a reader of ours puts together.

TensorStore reads the first two as they are. Of a database that was never merged from the parts of several processes,
and of one that TensorStore 0.1.35 wrote, the keys are found here, and those of one array at a time are handed over in
memory.
"""

from __future__ import annotations

import abc
import os
from bisect import bisect_left
from functools import cached_property
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

from migrate.formats.files import children, damaged, explain_store_failure, is_dir, is_file, read_file
from migrate.formats.zarr.ocdbt_0_1_35 import read_entries, value_of
from migrate.formats.zarr.store_spec import database_spec, folder_spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

STORE_ERRORS = (
    ValueError,
    OSError,
    RuntimeError,
    NotImplementedError,
    IndexError,
    OverflowError,
    TypeError,
    MemoryError,
)
"""What TensorStore raises for files that it cannot make sense of."""


MANIFEST = "manifest.ocdbt"
"""The file that makes a directory an OCDBT database."""


def is_database(folder: Path) -> bool:
    """Whether a directory is the root of an OCDBT database."""
    return is_file(folder / MANIFEST)


def database_files(folder: Path) -> Iterator[Path]:
    """The files of the OCDBT database in a directory, those of its processes included, and no others."""
    yield folder / MANIFEST
    yield from folder.glob("d/*")
    for process in folder.glob("ocdbt.process_*"):
        yield from (path for path in process.rglob("*") if path.is_file())


class Place(abc.ABC):
    """One place where parameters lie.

    Attributes:
      path: its directory.
      ocdbt: whether it is an OCDBT database.
      movable: whether others can find chunks there by their keys, without this reader.
    """

    ocdbt: bool
    movable: bool

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def stored_name(self, name: str) -> str:
        """A parameter's name as it is on disk."""
        return name

    @abc.abstractmethod
    def keys(self, context: Any) -> list[str]:
        """Every key."""

    @abc.abstractmethod
    def read(self, keys: Sequence[str], context: Any) -> list[bytes | None]:
        """The values of many keys; None for those that are not there."""

    @abc.abstractmethod
    def kvstore(self, prefix: str, context: Any) -> tuple[dict[str, Any], Any]:
        """A TensorStore specification of what lies below `prefix`, and the context to open it in."""


class _StorePlace(Place):
    """What TensorStore opens by itself."""

    movable = True

    @abc.abstractmethod
    def spec(self, prefix: str) -> dict[str, Any]:
        """A TensorStore specification of what lies below `prefix`."""

    def keys(self, context: Any) -> list[str]:
        """Every key, listed by TensorStore."""
        try:
            return [key.decode(errors="replace") for key in self._open(context).list().result()]
        except STORE_ERRORS as error:
            explain_store_failure(error, self.path, "the list of arrays")

    def read(self, keys: Sequence[str], context: Any) -> list[bytes | None]:
        """The values of many keys, requested all at once."""
        try:
            store = self._open(context)
            answers = [request.result() for request in [store.read(key) for key in keys]]
        except STORE_ERRORS as error:
            explain_store_failure(error, self.path, "the arrays' metadata")
        return [answer.value if answer.state == "value" else None for answer in answers]

    def kvstore(self, prefix: str, context: Any) -> tuple[dict[str, Any], Any]:
        """The place itself."""
        return self.spec(prefix), context

    def _open(self, context: Any) -> Any:
        import tensorstore as ts

        return ts.KvStore.open(self.spec(""), context=context).result()


class Folder(_StorePlace):
    """A directory with a subdirectory for each parameter."""

    ocdbt = False

    def stored_name(self, name: str) -> str:
        """TensorStore takes a backslash for a slash in file names."""
        return name.replace("\\", "/")

    def spec(self, prefix: str) -> dict[str, Any]:
        """The file driver."""
        return folder_spec(self.path, prefix)

    def holds(self, name: str, up: int = 0) -> bool:
        """Whether a parameter's folder, or the one so many levels above, is there, inside this one.

        Raises:
          CheckpointError: its name or a link leads out.
        """
        segments = self.stored_name(name).split("/")
        inside = [segment for segment in segments if segment]
        place = self.path.joinpath(*inside[: len(inside) - up])
        if ".." in segments or (_passes_link(self.path, place) and not _ends_inside(self.path, place)):
            raise damaged(self.path, f"the parameter `{name}` leads out of the checkpoint", paths=(name,))
        return os.path.isdir(place)


class Database(_StorePlace):
    """An OCDBT database."""

    ocdbt = True

    def spec(self, prefix: str) -> dict[str, Any]:
        """The OCDBT driver."""
        return database_spec(self.path, prefix)


class _GatheredPlace(Place):
    """Keys that TensorStore does not find: those of one array at a time are copied to memory."""

    ocdbt = True
    movable = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._sorted: list[str] | None = None

    def kvstore(self, prefix: str, context: Any) -> tuple[dict[str, Any], Any]:
        """The keys below `prefix` in a store in memory, which its context alone keeps alive."""
        import tensorstore as ts

        alone = ts.Context()
        store = ts.KvStore.open({"driver": "memory"}, context=alone).result()
        keys = self._below(prefix, context)
        for key, value in zip(keys, self.read(keys, context), strict=True):
            if value is not None:
                store.write(key.removeprefix(prefix), value).result()
        return {"driver": "memory"}, alone

    def _below(self, prefix: str, context: Any) -> list[str]:
        """The keys that begin with `prefix`, which lie together in their order."""
        if self._sorted is None:
            self._sorted = sorted(self.keys(context))
        first = bisect_left(self._sorted, prefix)
        return list(takewhile(lambda key: key.startswith(prefix), islice(self._sorted, first, None)))


class Unmerged(_GatheredPlace):
    """The databases of several processes, which Orbax merges when a save is finished, and here was not."""

    def __init__(self, path: Path, parts: Sequence[Place]) -> None:
        super().__init__(path)
        self._parts = parts

    def keys(self, context: Any) -> list[str]:
        """The keys of all parts; an array's metadata may be in one of them and its chunks in the others."""
        return sorted({key for part in self._parts for key in part.keys(context)})

    def read(self, keys: Sequence[str], context: Any) -> list[bytes | None]:
        """The value that a part has; parts that contradict each other are refused."""
        answers = [part.read(keys, context) for part in self._parts]
        return [self._only(key, values) for key, *values in zip(keys, *answers, strict=True)]

    def _only(self, key: str, values: Sequence[bytes | None]) -> bytes | None:
        found = {value for value in values if value is not None}
        if len(found) > 1:
            raise damaged(self.path, f"the parts of different processes contradict each other at `{key}`")
        return found.pop() if found else None


class Nested(Place):
    """A database in a subdirectory, for parameters whose names begin with its path.

    Orbax 0.1.7 to 0.3.5 took the part of a parameter's name before the last slash for a directory.
    """

    ocdbt = True
    movable = False

    def __init__(self, database: Place, subfolder: str) -> None:
        super().__init__(database.path)
        self._database, self._prefix = database, f"{subfolder}/"

    def stored_name(self, name: str) -> str:
        """What follows the directory."""
        return name.removeprefix(self._prefix)

    def keys(self, context: Any) -> list[str]:
        """Every key, with the directory."""
        return [f"{self._prefix}{key}" for key in self._database.keys(context)]

    def read(self, keys: Sequence[str], context: Any) -> list[bytes | None]:
        """The values of keys as they are in the database."""
        return self._database.read(keys, context)

    def kvstore(self, prefix: str, context: Any) -> tuple[dict[str, Any], Any]:
        """What lies below `prefix` in the database."""
        return self._database.kvstore(prefix, context)


class LiteralFolder(_GatheredPlace):
    """A folder in which a backslash is a part of file names: TensorStore up to 0.1.5x took it for no slash."""

    ocdbt = False

    def keys(self, context: Any) -> list[str]:  # noqa: ARG002 - TensorStore has no part in it
        """The files of the folders whose names hold a backslash."""
        folders = [entry for entry in children(self.path) if "\\" in entry.name and is_dir(entry)]
        return [f"{folder.name}/{file.name}" for folder in folders for file in children(folder)]

    def read(self, keys: Sequence[str], context: Any) -> list[bytes | None]:  # noqa: ARG002
        """The content of files one level below."""
        present = set(self.keys(None))
        return [read_file(self.path / key) if key in present else None for key in keys]


class EarlyDatabase(_GatheredPlace):
    """A database of TensorStore 0.1.35."""

    @cached_property
    def _entries(self) -> dict[str, Any]:
        return read_entries(self.path)

    def keys(self, context: Any) -> list[str]:  # noqa: ARG002 - TensorStore has no part in it
        """Every key of the newest version."""
        return list(self._entries)

    def read(self, keys: Sequence[str], context: Any) -> list[bytes | None]:  # noqa: ARG002
        """The values, one after another."""
        return [value_of(self._entries[key]) if key in self._entries else None for key in keys]


def _ends_inside(folder: Path, place: Path) -> bool:
    """Whether links on the way to a place end in the folder; those that go round in a circle end nowhere."""
    try:
        return place.resolve().is_relative_to(folder)
    except (OSError, RuntimeError):
        return False


def _passes_link(folder: Path, place: Path) -> bool:
    while place != folder:
        if os.path.islink(place):
            return True
        place = place.parent
    return False
