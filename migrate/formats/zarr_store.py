"""Where Orbax keeps array chunks: an OCDBT database, or one folder per parameter, or (after some bugs) both.

The files on disk decide, not versions or flags. All metadata is read in one batch of concurrent requests; an array is
opened only to read it. TensorStore does the reading, without JAX and without its devices.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

from migrate.codes import M409, M410
from migrate.errors import CheckpointError, Diagnostic
from migrate.formats import zarr_metadata
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
from migrate.formats.item import Location, key_prefix
from migrate.formats.stored_dtype import UnknownDtypeError
from migrate.formats.zarr_metadata import METADATA_KEYS, TENSORSTORE_DRIVERS, ArrayMetadata, Driver

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np

_CACHE_BYTES = 64 << 20
_BEST_RATIO = 50_000
"""No codec in use packs more: a zstd block of 128 KiB takes at least four bytes."""
_SMALL_BYTES = 64 << 20
_STORE_ERRORS = (
    ValueError,
    OSError,
    RuntimeError,
    NotImplementedError,
    IndexError,
    OverflowError,
    TypeError,
    MemoryError,
)


class ZarrStore:
    """The arrays of one item directory, by parameter name; safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        import tensorstore as ts

        self.folder = folder
        self.notes: list[Diagnostic] = []
        self._context = ts.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}})
        self._found: dict[str, tuple[_Base, ArrayMetadata]] = {}
        self._bases = [_Base(base, ocdbt=True) for base in self._databases()] + [_Base(folder, ocdbt=False)]

    @property
    def is_ocdbt(self) -> bool:
        """Whether there is an OCDBT database."""
        return self._bases[0].ocdbt

    def _databases(self) -> list[Path]:
        if is_file(self.folder / "manifest.ocdbt"):
            refuse_lfs_pointer(self.folder / "manifest.ocdbt")
            return [self.folder]
        if _is_database_folder(self.folder / "d"):
            raise missing(self.folder, "the database's `manifest.ocdbt` is not there")
        processes = [child for child in children(self.folder) if is_file(child / "manifest.ocdbt")]
        if len(processes) > 1:
            message = f"`{self.folder}` holds the parts of {len(processes)} processes, which were never merged"
            raise CheckpointError(M409.at(message, help="take an earlier step"))
        for process in processes:
            refuse_lfs_pointer(process / "manifest.ocdbt")
            message = f"`{self.folder}` was never merged from `{process.name}`, its only part; that part is read"
            self.notes.append(M410.at(message))
        return processes

    def metadata(self, names: Sequence[str]) -> dict[str, ArrayMetadata]:
        """The metadata of those parameters that there are; no chunk is read.

        Raises:
          CheckpointError: a file is damaged or a git-LFS pointer, a name leads out of the checkpoint, a dtype is
            unknown.
        """
        wanted = [name for name in names if name not in self._found]
        for base in self._bases:
            self._found.update({name: (base, found) for name, found in self._read_metadata(base, wanted)})
            wanted = [name for name in wanted if name not in self._found]
        return {name: self._found[name][1] for name in names if name in self._found}

    def _read_metadata(self, base: _Base, names: list[str]) -> Iterable[tuple[str, ArrayMetadata]]:
        if not base.ocdbt:
            names = [name for name in names if _is_inside(base.path, base.stored_name(name))]
        for driver, key in METADATA_KEYS.items():
            answers = self._read_keys(base, [f"{key_prefix(base.stored_name(name))}{key}" for name in names])
            for name, content in zip(names, answers, strict=True):
                if content is not None:
                    yield name, self._parse(name, driver, content)
            names = [name for name, content in zip(names, answers, strict=True) if content is None]

    def _read_keys(self, base: _Base, keys: list[str]) -> list[bytes | None]:
        """The values of many keys, requested all at once; None for those that are not there."""
        if not keys:
            return []
        try:
            database = base.open(self._context)
            answers = [request.result() for request in [database.read(key) for key in keys]]
        except _STORE_ERRORS as error:
            explain_store_failure(error, self.folder, "the arrays' metadata")
        return [answer.value if answer.state == "value" else None for answer in answers]

    def _parse(self, name: str, driver: Driver, content: bytes) -> ArrayMetadata:
        try:
            return zarr_metadata.parse(content, driver)
        except UnknownDtypeError as error:
            raise unknown_dtype(f"`{self.folder / name / METADATA_KEYS[driver]}`", error) from error
        except ValueError as error:
            where = self.folder / name / METADATA_KEYS[driver]
            refuse_lfs_pointer(where)
            raise damaged(where, f"it does not describe an array ({error})") from error

    def names(self) -> list[str]:
        """Every parameter's name, for checkpoints that have no other record of them."""
        found = [key.decode(errors="replace").rpartition("/") for base in self._bases for key in self._keys(base)]
        return sorted({name for name, _, key in found if key in METADATA_KEYS.values()})

    def _keys(self, base: _Base) -> list[bytes]:
        try:
            keys: list[bytes] = base.open(self._context).list().result()
        except _STORE_ERRORS as error:
            explain_store_failure(error, self.folder, "the list of arrays")
        return keys

    def in_database(self, name: str) -> bool:
        """Whether a parameter lies in an OCDBT database; its metadata must have been asked for."""
        return self._found[name][0].ocdbt

    def location(self, name: str, *, fill_missing: bool, key_impl: str | None) -> Location:
        """Where a parameter's chunks lie; its metadata must have been asked for."""
        base, found = self._found[name]
        return Location(base.path, base.ocdbt, base.stored_name(name), found.driver, fill_missing, key_impl)

    def read(self, name: str, *, fill_missing: bool) -> np.ndarray[Any, Any]:
        """A parameter's whole array, as it is stored; its metadata must have been asked for.

        Raises:
          CheckpointError: a chunk is missing or damaged, or the array claims more than the files can hold.
        """
        import tensorstore as ts

        base, found = self._found[name]
        self._refuse_empty_claim(name, found)
        spec = {
            "driver": TENSORSTORE_DRIVERS[found.driver],
            "kvstore": base.spec(key_prefix(base.stored_name(name))),
            "recheck_cached_metadata": False,
            "recheck_cached_data": False,
            "fill_missing_data_reads": fill_missing,
        }
        try:
            array: np.ndarray[Any, Any] = (
                ts.open(spec, open=True, read=True, context=self._context).result().read().result()
            )
        except _STORE_ERRORS as error:
            explain_store_failure(error, self.folder, f"the array `{name}`")
        return array

    def _refuse_empty_claim(self, name: str, found: ArrayMetadata) -> None:
        """Refuse to allocate what no file of this checkpoint can fill."""
        claimed = found.aval.nbytes
        if claimed > _SMALL_BYTES and claimed > self._stored_bytes * _BEST_RATIO:
            why = f"`{name}` claims {claimed} bytes, and all its files together have {self._stored_bytes}"
            raise damaged(self.folder, why, paths=(name,))

    @cached_property
    def _stored_bytes(self) -> int:
        return bytes_below(self.folder)


class _Base:
    """One place where parameters lie."""

    def __init__(self, path: Path, *, ocdbt: bool) -> None:
        self.path, self.ocdbt = path.resolve(), ocdbt

    def stored_name(self, name: str) -> str:
        """A parameter's name as it is on disk: TensorStore takes a backslash for a slash in file names."""
        return name if self.ocdbt else name.replace("\\", "/")

    def spec(self, key: str) -> dict[str, Any]:
        """A TensorStore specification of what lies below `key`."""
        if self.ocdbt:
            return {"driver": "ocdbt", "base": {"driver": "file", "path": f"{self.path}/"}, "path": key}
        return {"driver": "file", "path": f"{self.path}/{key}"}

    def open(self, context: Any) -> Any:
        import tensorstore as ts

        return ts.KvStore.open(self.spec(""), context=context).result()


def _is_database_folder(folder: Path) -> bool:
    """Whether `d/` is OCDBT's data and not a parameter that is called `d`."""
    return is_dir(folder) and not any(is_file(folder / key) for key in METADATA_KEYS.values())


def _is_inside(folder: Path, name: str) -> bool:
    """Whether a parameter's folder is there, inside `folder`.

    Raises:
      CheckpointError: its name or a link leads out.
    """
    segments = name.split("/")
    place = folder.joinpath(*(segment for segment in segments if segment))
    if ".." in segments or (_passes_link(folder, place) and not place.resolve().is_relative_to(folder.resolve())):
        raise damaged(folder, f"the parameter `{name}` leads out of the checkpoint", paths=(name,))
    return os.path.isdir(place)


def _passes_link(folder: Path, place: Path) -> bool:
    while place != folder:
        if os.path.islink(place):
            return True
        place = place.parent
    return False
