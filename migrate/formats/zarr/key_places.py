"""Where the keys of zarr arrays are stored: in a folder, in an OCDBT database, or in a layout that TensorStore lacks.

TensorStore reads the first two. The others are a database that was never merged from the parts of several processes and
one that TensorStore 0.1.35 wrote: their keys are found here, and those of one array at a time are passed on in memory.
"""

from __future__ import annotations

import abc
from bisect import bisect_left
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from migrate.formats.files import children, damaged, explain_store_failure, is_dir, is_file, read_file
from migrate.formats.zarr.ocdbt_0_1_35 import ByteRange, read_entries, value_of
from migrate.formats.zarr.small_arrays import DatabaseValues, FolderValues, SmallArrays
from migrate.formats.zarr.store_spec import database_spec, folder_spec
from migrate.formats.zarr.stored_chunks import ExpectedArray, Shortfall, StoredRange, in_folder, in_index
from migrate.places.names import path_of, reaches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from migrate.formats.zarr.ocdbt_format import Reference

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
"""The exceptions that TensorStore raises for files that it cannot read."""


MANIFEST = "manifest.ocdbt"
"""The file that makes a directory an OCDBT database."""


PROCESS = "ocdbt.process_"
"""The beginning of the name of a directory in which one process wrote its own database."""


def is_database(folder: Path) -> bool:
    """Whether a directory is the root of an OCDBT database."""
    return is_file(folder / MANIFEST)


def nested_databases(folder: Path) -> Iterator[str]:
    """Yields the directories of databases below a directory, relative to it; not those that belong to another."""
    for child in children(folder):
        if not is_dir(child) or child.name.startswith(PROCESS) or (child.name == "d" and is_database(folder)):
            continue
        if is_database(child):
            yield child.name
        yield from (f"{child.name}/{below}" for below in nested_databases(child))


def database_files(folder: Path) -> Iterator[Path]:
    """The files of the OCDBT database in a directory, those of its processes included, and no others."""
    yield folder / MANIFEST
    yield from folder.glob("d/*")
    for process in folder.glob("ocdbt.process_*"):
        yield from (path for path in process.rglob("*") if path.is_file())


class Place(abc.ABC):
    """One place where parameters are stored.

    Attributes:
      path: its directory.
      ocdbt: whether it is an OCDBT database.
      movable: whether TensorStore finds the chunks there by their keys, without this reader.
      values: its values, as far as they are found without TensorStore.
      small: reads its small arrays, where TensorStore would search the whole place for each.
    """

    ocdbt: bool
    movable: bool
    values: DatabaseValues | FolderValues | None = None
    small: SmallArrays | None = None

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def stored_name(self, name: str) -> str:
        """Returns a parameter's name on disk."""
        return name

    @abc.abstractmethod
    def keys(self, context: Any) -> list[str]:
        """Returns every key."""

    @abc.abstractmethod
    def read(self, keys: Sequence[str], context: Any) -> list[bytes | None]:
        """Returns the values of many keys; None for those that are not stored."""

    @abc.abstractmethod
    def kvstore(self, prefix: str, context: Any) -> tuple[dict[str, Any], Any]:
        """Returns a TensorStore specification of the keys below `prefix`, and the context in which to open it."""

    def ranges(self) -> dict[str, StoredRange | None]:
        """Returns the range of every key in a database; None for a value in its index.

        Raises:
          CheckpointError: the index is damaged.
        """
        raise NotImplementedError

    def shortfalls(self, arrays: Iterable[ExpectedArray]) -> Iterator[Shortfall]:
        """Returns what the files of this place lack.

        Raises:
          CheckpointError: an index is damaged.
        """
        return in_index(self.ranges(), self.path, arrays)


class _StorePlace(Place):
    """A place that TensorStore opens itself."""

    movable = True

    @abc.abstractmethod
    def spec(self, prefix: str) -> dict[str, Any]:
        """Returns a TensorStore specification of the keys below `prefix`."""

    def keys(self, context: Any) -> list[str]:
        """Returns every key, listed by TensorStore."""
        try:
            return [key.decode(errors="replace") for key in self._open(context).list().result()]
        except STORE_ERRORS as error:
            self._explain(error, "the list of arrays")

    def read(self, keys: Sequence[str], context: Any) -> list[bytes | None]:
        """Returns the values of many keys; those that need TensorStore are requested at once."""
        found = dict(self._known(keys))
        try:
            store = self._open(context)
            requests = {key: store.read(key) for key, value in found.items() if value is None}
            answers = {key: request.result() for key, request in requests.items()}
        except STORE_ERRORS as error:
            self._explain(error, "the arrays' metadata")
        found.update((key, answer.value) for key, answer in answers.items() if answer.state == "value")
        return [found[key] for key in keys]

    @abc.abstractmethod
    def _known(self, keys: Sequence[str]) -> Mapping[str, bytes | None]:
        """Returns the values that are found without TensorStore; None where TensorStore has to look."""

    def kvstore(self, prefix: str, context: Any) -> tuple[dict[str, Any], Any]:
        """Returns the specification of the place, and the given context."""
        return self.spec(prefix), context

    def _explain(self, error: Exception, what: str) -> NoReturn:
        """Raises the error that explains a failure of TensorStore."""
        explain_store_failure(error, self.path, what)

    def _open(self, context: Any) -> Any:
        import tensorstore as ts

        return ts.KvStore.open(self.spec(""), context=context).result()


class Folder(_StorePlace):
    """A directory with a subdirectory for each parameter."""

    ocdbt = False
    values: FolderValues

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.values = FolderValues(self.path)
        self.small = SmallArrays(self.values)

    def _known(self, keys: Sequence[str]) -> Mapping[str, bytes | None]:
        """Returns the content of small files."""
        return self.values.get_all(keys)

    def stored_name(self, name: str) -> str:
        """Returns the name with slashes in place of backslashes, as TensorStore does for files."""
        return name.replace("\\", "/")

    def spec(self, prefix: str) -> dict[str, Any]:
        """Returns a specification with the file driver."""
        return folder_spec(self.path, prefix)

    def shortfalls(self, arrays: Iterable[ExpectedArray]) -> Iterator[Shortfall]:
        """Returns what the folders of the arrays lack."""
        return in_folder(self.path, arrays)

    def holds(self, name: str, up: int = 0) -> bool:
        """Whether a parameter's folder, or the one `up` levels above it, exists inside this one.

        Raises:
          CheckpointError: its name leads out.
        """
        segments = self.stored_name(name).split("/")
        inside = [segment for segment in segments if segment]
        place = self.path.joinpath(*inside[: len(inside) - up])
        if ".." in segments:
            raise damaged(self.path, f"the parameter `{name}` leads out of the checkpoint", paths=(name,))
        return is_dir(place)


class Database(_StorePlace):
    """An OCDBT database."""

    ocdbt = True
    values: DatabaseValues

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.values = DatabaseValues(self.path)
        self._ranges: tuple[Mapping[str, Reference], dict[str, StoredRange | None]] | None = None
        self.small = SmallArrays(self.values)

    def _known(self, keys: Sequence[str]) -> Mapping[str, bytes | None]:
        """Returns the values that the index itself holds."""
        return self.values.inlined(keys)

    def spec(self, prefix: str) -> dict[str, Any]:
        """Returns a specification with the OCDBT driver."""
        return database_spec(self.path, prefix)

    def _explain(self, error: Exception, what: str) -> NoReturn:
        """Names the file of the database that is too short, where one is."""
        for place in self.ranges().values():
            if place is not None and not reaches(place.file, place.end):
                raise damaged(path_of(place.file), f"{what} cannot be read: it has fewer than {place.end:,} bytes")
        explain_store_failure(error, self.path, what)

    def ranges(self) -> dict[str, StoredRange | None]:
        """Returns the range of every key, as the B-tree records it."""
        known = self.values.references()
        if self._ranges is None or self._ranges[0] is not known:
            files = {name: f"{self.path}/{name}" for name in {entry.file for entry in known.values()}}
            ranges = {
                key: StoredRange(files[entry.file], entry.offset + entry.length) if not entry.is_inline else None
                for key, entry in known.items()
            }
            self._ranges = known, ranges
        return self._ranges[1]


class _GatheredPlace(Place):
    """A place whose keys TensorStore does not find; those of one array at a time are copied to memory."""

    ocdbt = True
    movable = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._sorted: list[str] | None = None

    def kvstore(self, prefix: str, context: Any) -> tuple[dict[str, Any], Any]:
        """Returns a store in memory with the keys below `prefix`; only its context keeps it alive."""
        import tensorstore as ts

        alone = ts.Context()
        store = ts.KvStore.open({"driver": "memory"}, context=alone).result()
        keys = self._below(prefix, context)
        for key, value in zip(keys, self.read(keys, context), strict=True):
            if value is not None:
                store.write(key.removeprefix(prefix), value).result()
        return {"driver": "memory"}, alone

    def _below(self, prefix: str, context: Any) -> list[str]:
        """Returns the keys that begin with `prefix`, which are adjacent in sorted order."""
        if self._sorted is None:
            self._sorted = sorted(self.keys(context))
        first = bisect_left(self._sorted, prefix)
        return list(takewhile(lambda key: key.startswith(prefix), islice(self._sorted, first, None)))


class Unmerged(_GatheredPlace):
    """The databases of several processes, which Orbax merges when it finishes a save, but did not here."""

    def __init__(self, path: Path, parts: Sequence[Place]) -> None:
        super().__init__(path)
        self._parts = parts

    def keys(self, context: Any) -> list[str]:
        """Returns the keys of all parts; an array's metadata may be in one part and its chunks in others."""
        return sorted({key for part in self._parts for key in part.keys(context)})

    def ranges(self) -> dict[str, StoredRange | None]:
        """Returns the ranges of all parts; equal values of several parts count once."""
        return {key: place for part in self._parts for key, place in part.ranges().items()}

    def read(self, keys: Sequence[str], context: Any) -> list[bytes | None]:
        """Returns the value from the part that has it; contradicting parts are refused."""
        answers = [part.read(keys, context) for part in self._parts]
        return [self._only(key, values) for key, *values in zip(keys, *answers, strict=True)]

    def _only(self, key: str, values: Sequence[bytes | None]) -> bytes | None:
        found = {value for value in values if value is not None}
        if len(found) > 1:
            raise damaged(self.path, f"the parts of different processes contradict each other at `{key}`")
        return found.pop() if found else None


class Nested(Place):
    """A database in a subdirectory, for parameters whose names begin with its path.

    Orbax 0.1.7 to 0.3.5 used the part of a parameter's name before the last slash as a directory; JAX's own array
    serialization makes a database in the directory of each array, or one for each array.
    """

    ocdbt = True

    def __init__(self, database: Place, subfolder: str) -> None:
        super().__init__(database.path)
        self._database, self._prefix = database, f"{subfolder}/"
        self.movable, self.values = database.movable, database.values

    def stored_name(self, name: str) -> str:
        """Returns the name without the directory; "" for the array at the root of the database."""
        return name[len(self._prefix) :]

    def keys(self, context: Any) -> list[str]:
        """Returns every key, with the directory."""
        return [f"{self._prefix}{key}" for key in self._database.keys(context)]

    def ranges(self) -> dict[str, StoredRange | None]:
        """Returns the ranges of the database, under the keys that it uses."""
        return self._database.ranges()

    def read(self, keys: Sequence[str], context: Any) -> list[bytes | None]:
        """Returns the values of keys, given as in the database."""
        return self._database.read(keys, context)

    def kvstore(self, prefix: str, context: Any) -> tuple[dict[str, Any], Any]:
        """Returns the specification of the keys below `prefix` in the database."""
        return self._database.kvstore(prefix, context)


class LiteralFolder(_GatheredPlace):
    """A folder whose file names contain backslashes: TensorStore up to 0.1.5x did not replace them by slashes."""

    ocdbt = False

    def keys(self, context: Any) -> list[str]:  # noqa: ARG002 - does not use TensorStore
        """Returns the files of the folders whose names contain a backslash."""
        folders = [entry for entry in children(self.path) if "\\" in entry.name and is_dir(entry)]
        return [f"{folder.name}/{file.name}" for folder in folders for file in children(folder)]

    def read(self, keys: Sequence[str], context: Any) -> list[bytes | None]:  # noqa: ARG002
        """Returns the content of files one level below."""
        present = set(self.keys(None))
        return [read_file(self.path / key) if key in present else None for key in keys]

    def shortfalls(self, arrays: Iterable[ExpectedArray]) -> Iterator[Shortfall]:
        """Returns what the folders of the arrays lack."""
        return in_folder(self.path, arrays)


class EarlyDatabase(_GatheredPlace):
    """A database of TensorStore 0.1.35."""

    @cached_property
    def _entries(self) -> dict[str, Any]:
        return read_entries(self.path)

    def keys(self, context: Any) -> list[str]:  # noqa: ARG002 - does not use TensorStore
        """Returns every key of the newest version."""
        return list(self._entries)

    def ranges(self) -> dict[str, StoredRange | None]:
        """Returns the range of every key of the newest version."""
        return {
            key: StoredRange(str(entry.file), entry.offset + entry.nbytes) if isinstance(entry, ByteRange) else None
            for key, entry in self._entries.items()
        }

    def read(self, keys: Sequence[str], context: Any) -> list[bytes | None]:  # noqa: ARG002
        """Returns the values, read one after another."""
        return [value_of(self._entries[key]) if key in self._entries else None for key in keys]
