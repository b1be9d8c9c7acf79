"""The store of Orbax's array chunks: an OCDBT database, one folder per parameter, or (after some bugs) both.

The files on disk decide, not versions or flags. All metadata is read in one batch of concurrent requests; an array is
opened only when it is read. TensorStore reads the arrays, without JAX and its devices.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from migrate.codes import ReaderAssumption
from migrate.errors import Diagnostic
from migrate.formats.base import Location, key_prefix
from migrate.formats.boundary import refuse_backslash
from migrate.formats.files import (
    bytes_below,
    children,
    damaged,
    explain_store_failure,
    is_dir,
    is_file,
    missing,
    refuse_lfs_pointer,
    unknown_dtype,
)
from migrate.formats.stored_dtype import UnknownDtypeError
from migrate.formats.zarr import metadata as zarr_metadata
from migrate.formats.zarr.key_places import (
    MANIFEST,
    PROCESS,
    STORE_ERRORS,
    Database,
    EarlyDatabase,
    Folder,
    LiteralFolder,
    Nested,
    Place,
    Unmerged,
    is_database,
    nested_databases,
)
from migrate.formats.zarr.metadata import METADATA_KEYS, ArrayMetadata, Driver
from migrate.formats.zarr.ocdbt_0_1_35 import is_early
from migrate.formats.zarr.small_arrays import SMALL_BYTES, SmallArrays
from migrate.formats.zarr.store_spec import array_spec
from migrate.formats.zarr.stored_chunks import ExpectedArray, Shortfall
from migrate.tree import AbstractLeaf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np

_CACHE_BYTES = 64 << 20
_BEST_RATIO = 50_000
"""More than the best ratio of any codec in use: a zstd block of 128 KiB takes at least four bytes."""
_PLAUSIBLE_BYTES = 1 << 40
"""Up to this size, an array may take almost no bytes: chunks of one value are compressed in the index once more, and
others are not stored, because they equal the fill value."""


class ZarrStore:
    """The arrays of one item directory, by parameter name; safe to use from several threads.

    Attributes:
      folder: the directory.
      notes: what was assumed.
      opaque: the arrays of text or objects among the names that `metadata` was asked for; they are never read.
    """

    def __init__(self, folder: Path) -> None:
        import tensorstore as ts

        refuse_backslash(folder)
        self.folder = folder
        self.notes: list[Diagnostic] = []
        self._context = ts.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}})
        self._found: dict[str, tuple[Place, ArrayMetadata]] = {}
        self.opaque: dict[str, AbstractLeaf] = {}
        self._folder = Folder(folder)
        self._places: list[Place] = [*self._databases(), self._folder]

    @property
    def is_ocdbt(self) -> bool:
        """Whether there is an OCDBT database."""
        return self._places[0].ocdbt

    @property
    def is_early(self) -> bool:
        """Whether TensorStore 0.1.35 wrote the database."""
        return isinstance(self._places[0], EarlyDatabase)

    @property
    def has_parts(self) -> bool:
        """Whether each process wrote its own database."""
        return any(child.name.startswith(PROCESS) and is_database(child) for child in children(self.folder))

    def _databases(self) -> list[Place]:
        if is_database(self.folder):
            return [self._database(self.folder)]
        if _is_database_folder(self.folder / "d"):
            raise missing(self.folder, f"the database's `{MANIFEST}` is missing")
        entries = children(self.folder)
        parts = [child for child in entries if child.name.startswith(PROCESS) and is_database(child)]
        for child in entries:
            if child.name.startswith(PROCESS) and child not in parts and _is_database_folder(child / "d"):
                raise missing(child, f"the database's `{MANIFEST}` is missing")
        if not parts:
            return []
        names = ", ".join(f"`{part.name}`" for part in parts[:10])
        message = f"the databases of the processes that saved `{self.folder}` were never merged; read together: {names}"
        self.notes.append(ReaderAssumption.at(message))
        databases = [self._database(part) for part in parts]
        return [Unmerged(self.folder, databases)] if len(parts) > 1 else databases

    def _database(self, folder: Path) -> Place:
        refuse_lfs_pointer(folder / MANIFEST)
        return EarlyDatabase(folder) if is_early(folder) else Database(folder)

    def metadata(self, names: Sequence[str]) -> dict[str, ArrayMetadata]:
        """Returns the metadata of those parameters that exist and are not opaque; no chunk is read.

        Raises:
          CheckpointError: a file is damaged or a git-LFS pointer, a name leads out of the checkpoint, a dtype is
            unknown.
        """
        wanted = [name for name in names if name not in self._found]
        for place in self._places:
            self._look(place, wanted)
            wanted = [name for name in wanted if name not in self._found and name not in self.opaque]
        self._look_further(wanted)
        return {name: self._found[name][1] for name in names if name in self._found}

    def _look(self, place: Place, names: list[str]) -> None:
        for name, found in self._read_metadata(place, names):
            if isinstance(found, AbstractLeaf):
                self.opaque[name] = found
            else:
                self._found[name] = (place, found)

    def _look_further(self, names: list[str]) -> None:
        """Looks in databases below, and where some versions stored parameters whose names have backslashes."""
        below: dict[str, list[str]] = {}
        for name in names:
            subfolder = self._database_of(name)
            if subfolder:
                below.setdefault(subfolder, []).append(name)
        for subfolder in sorted(below):
            self._look(self._nested(subfolder), below[subfolder])
        literal = [name for name in names if "\\" in name]
        if literal:
            self._look(LiteralFolder(self.folder), literal)

    def _database_of(self, name: str) -> str | None:
        """Returns the deepest directory of a parameter's name that is a database; None where there is none."""
        segments = name.split("/")
        if not all(segments) or not self._folder.holds(name, up=len(segments)):
            return None
        folders = ("/".join(segments[:depth]) for depth in range(len(segments), 0, -1))
        return next((folder for folder in folders if is_database(self.folder / folder)), None)

    def _nested(self, subfolder: str) -> Nested:
        return Nested(self._database(self.folder / subfolder), subfolder)

    def _read_metadata(self, place: Place, names: list[str]) -> Iterable[tuple[str, ArrayMetadata | AbstractLeaf]]:
        if place is self._folder:
            names = [name for name in names if self._folder.holds(name)]
        for driver, key in METADATA_KEYS.items():
            keys = [f"{key_prefix(place.stored_name(name))}{key}" for name in names]
            answers = place.read(keys, self._context) if keys else []
            for name, content in zip(names, answers, strict=True):
                if content is not None:
                    yield name, self._parse(name, driver, content)
            names = [name for name, content in zip(names, answers, strict=True) if content is None]

    def _parse(self, name: str, driver: Driver, content: bytes) -> ArrayMetadata | AbstractLeaf:
        try:
            return zarr_metadata.parse(content, driver)
        except UnknownDtypeError as error:
            leaf = zarr_metadata.parse_opaque(content, driver)
            if leaf is not None:
                return leaf
            raise unknown_dtype(f"`{self.folder / name / METADATA_KEYS[driver]}`", error) from error
        except ValueError as error:
            where = self.folder / name / METADATA_KEYS[driver]
            refuse_lfs_pointer(where)
            raise damaged(where, f"it does not describe an array ({error})") from error

    def names(self) -> list[str]:
        """Returns every parameter's name, for checkpoints that have no other record of them.

        Below the directory, the names are paths: of directories, and of the keys of databases.
        """
        places = [*self._places, *map(self._nested, nested_databases(self.folder))]
        return sorted({name for place in places for name in self._names_in(place)})

    def _names_in(self, place: Place) -> Iterator[str]:
        keys = [key for key in place.keys(self._context) if key.rpartition("/")[2] in METADATA_KEYS.values()]
        kinds = [key for key in keys if key.endswith(METADATA_KEYS["zarr3"])]
        contents = dict(zip(kinds, place.read([place.stored_name(key) for key in kinds], self._context), strict=True))
        for key in keys:
            if not zarr_metadata.is_group(contents.get(key)):
                yield key.rpartition("/")[0]

    def place_of(self, name: str) -> Place:
        """Returns where a parameter is stored; call `metadata` first."""
        return self._found[name][0]

    def movable(self, name: str) -> bool:
        """Whether a parameter's chunks can be found without this reader; call `metadata` first."""
        return self._found[name][0].movable

    def in_database(self, name: str) -> bool:
        """Whether a parameter's chunks are entries of an OCDBT database; call `metadata` first."""
        place = self._found[name][0]
        return place.ocdbt and place.movable

    def location(self, name: str, *, fill_missing: bool, key_impl: str | None) -> Location | None:
        """Returns where a parameter's chunks are stored, or None if only this reader finds them; call `metadata` first.

        Raises:
          CheckpointError: the array claims more than the files can hold.
        """
        place, found = self._found[name]
        self._refuse_empty_claim(name, found)
        if not place.movable:
            return None
        stored_name = place.stored_name(name)
        return Location(place.path, place.ocdbt, stored_name, found.driver, fill_missing, key_impl, place.values)

    def read(self, name: str, *, fill_missing: bool) -> np.ndarray[Any, Any]:
        """Returns a parameter's whole array, in its stored form; call `metadata` first.

        Raises:
          CheckpointError: a chunk is missing or damaged, or the array claims more than the files can hold.
        """
        import tensorstore as ts

        place, found = self._found[name]
        self._refuse_empty_claim(name, found)
        small = place.small.read(place.stored_name(name), found.driver) if place.small is not None else None
        if small is not None:
            return small
        whole = self._read_directly(name, fill_missing=fill_missing)
        if whole is not None:
            return whole
        kvstore, context = place.kvstore(key_prefix(place.stored_name(name)), self._context)
        spec = array_spec(kvstore, found.driver, fill_missing=fill_missing and place.movable)
        try:
            array: np.ndarray[Any, Any] = ts.open(spec, open=True, read=True, context=context).result().read().result()
        except STORE_ERRORS as error:
            explain_store_failure(error, self.folder, f"the array `{name}`")
        return array

    def _read_directly(self, name: str, *, fill_missing: bool) -> np.ndarray[Any, Any] | None:
        """Returns an array of one chunk or of large ones; None for those that TensorStore has to read."""
        from migrate.formats.zarr.chunked_arrays import chunked_array
        from migrate.formats.zarr.single_chunks import single_chunk

        location = self.location(name, fill_missing=fill_missing, key_impl=None)
        chunks = (single_chunk(location) or chunked_array(location)) if location is not None else None
        return chunks.read() if chunks is not None else None

    def read_ahead(self, names: Iterable[str]) -> None:
        """Reads small arrays together that this thread is about to read; call `metadata` first."""
        wanted: dict[int, tuple[SmallArrays, list[tuple[str, Driver]]]] = {}
        for name in names:
            place, found = self._found.get(name, (None, None))
            if place is not None and found is not None and place.small is not None and found.aval.nbytes <= SMALL_BYTES:
                arrays = wanted.setdefault(id(place), (place.small, []))[1]
                arrays.append((place.stored_name(name), found.driver))
        for small, arrays in wanted.values():
            small.read_ahead(arrays)

    def shortfalls(self, may_fill: Mapping[str, bool]) -> Iterator[Shortfall]:
        """Yields files that lack bytes of parameters; call `metadata` first.

        Args:
          may_fill: the names, and whether a chunk that is not stored means zeros.

        Raises:
          CheckpointError: an index is damaged.
        """
        for place in dict.fromkeys(self._found[name][0] for name in may_fill):
            mine = {place.stored_name(name): name for name in may_fill if self._found[name][0] is place}
            arrays = [ExpectedArray(stored, self._found[name][1], may_fill[name]) for stored, name in mine.items()]
            for found in place.shortfalls(arrays):
                yield found._replace(name=mine[found.name])

    def _refuse_empty_claim(self, name: str, found: ArrayMetadata) -> None:
        """Refuses an array that the files of this checkpoint cannot fill."""
        claimed = found.aval.nbytes
        if claimed > _PLAUSIBLE_BYTES and claimed > self._stored_bytes * _BEST_RATIO:
            why = f"`{name}` claims {claimed} bytes, and all its files together have {self._stored_bytes}"
            raise damaged(self.folder, why, paths=(name,))

    @cached_property
    def _stored_bytes(self) -> int:
        return bytes_below(self.folder)


def _is_database_folder(folder: Path) -> bool:
    """Whether `d/` holds data of an OCDBT database and is not a parameter or a node named `d`."""
    names = {child.name for child in children(folder) if is_file(child)} if is_dir(folder) else set()
    return bool(names) and names.isdisjoint((*METADATA_KEYS.values(), MANIFEST))
