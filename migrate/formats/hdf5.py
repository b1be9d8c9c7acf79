"""HDF5: Keras' `.weights.h5` and `.h5` files, and the `.keras` archives that contain one; h5py reads them.

Groups are the segments of key paths and datasets the leaves. Keras numbers the variables of a layer (`vars/0`).
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.codes import ForeignEntry, IgnoredFiles, MissingPackage, ReaderAssumption
from migrate.errors import CheckpointError, Diagnostic, listed
from migrate.formats.base import Extent, Item, ItemInfo
from migrate.formats.boundary import is_utf_8
from migrate.formats.files import MAX_DEPTH, damaged, is_file, read_head, refuse_lfs_pointer, unknown_dtype
from migrate.formats.opaque import opaque_leaf
from migrate.places.names import readable
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, KeyPath, Storage, format_path

if TYPE_CHECKING:
    from pathlib import Path

    from migrate.formats.base import Value

_MAGIC = b"\x89HDF\r\n\x1a\n"
_WEIGHTS = "model.weights.h5"
_METADATA = "metadata.json"
_MOST_LEAVES = 250_000
_PLAUSIBLE_BYTES = 1 << 20
_BEST_RATIO = 1100
"""The best ratio of deflate is 1032 to 1."""
_LOCAL_BYTES = 30
_BFLOAT16_BYTES = 2
"""Only one extension dtype has two bytes."""
_ZIP_ERRORS = (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError)
_H5_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError)


def is_hdf5(path: Path) -> bool:
    """Whether a path is an HDF5 file, or a Keras archive with one."""
    if not is_file(path):
        return False
    head = read_head(path, len(_MAGIC))
    return head == _MAGIC or (head.startswith(b"PK") and _is_keras_archive(path))


def _is_keras_archive(path: Path) -> bool:
    try:
        with zipfile.ZipFile(readable(path)) as archive:
            return _WEIGHTS in archive.namelist()
    except _ZIP_ERRORS:
        return False


@dataclass(frozen=True, slots=True)
class _Dataset:
    """One dataset: h5py's object, and the dtype of its bytes where the file records it in an attribute."""

    data: Any
    named: str | None


class Hdf5Item(Item):
    """An HDF5 file, or the weights of a Keras archive, as one pytree."""

    def __init__(self, path: Path) -> None:
        """Opens a file.

        Raises:
          CheckpointError: h5py is not installed (`MissingPackage`), the file is damaged (`DamagedFile`), leads to other
            files (`ForeignEntry`), or has unknown dtypes (`UnsupportedLeaf`).
        """
        refuse_lfs_pointer(path)
        self._path = path
        self._h5 = _h5py(path)
        self._archive: zipfile.ZipFile | None = None
        self._base: int | None = 0
        self._notes: list[Diagnostic] = []
        self._version = ""
        self._file = self._opened()
        self._datasets: dict[KeyPath, _Dataset] = {}
        self._groups: set[int] = set()
        self._anonymous: list[str] = []
        try:
            self._walk(self._file, ())
            leaves = {key_path: self._leaf(key_path, found) for key_path, found in self._datasets.items()}
        except _H5_ERRORS as error:
            raise damaged(path, f"it cannot be read ({_reason(error)})") from error
        self.info = ItemInfo(
            format="keras archive" if self._archive else "hdf5",
            tree=AbstractTree.build(leaves.items()),
            era=f"Keras {self._version}" if self._version else "any HDF5 version",
            notes=(*self._notes, *_assumptions(self._anonymous)),
        )

    def _opened(self) -> Any:
        try:
            if read_head(self._path, 2) == b"PK":
                return self._h5.File(self._weights(), "r")
            file = self._h5.File(readable(self._path), "r", locking=False)
        except _H5_ERRORS as error:
            truncated = "truncated" in str(error) or "eof" in str(error)
            raise damaged(self._path, f"it is {'truncated' if truncated else 'no HDF5'} ({_reason(error)})") from error
        version = file.attrs.get("keras_version", "")
        self._version = version.decode(errors="replace") if isinstance(version, bytes) else str(version)
        self._base = 0 if file.userblock_size == 0 else None
        return file

    def _weights(self) -> Any:
        """Returns the file in the archive; sets where it begins, if it is not compressed."""
        self._archive = archive = zipfile.ZipFile(readable(self._path))
        member = archive.getinfo(_WEIGHTS)
        self._base = _offset(self._path, member) if member.compress_type == zipfile.ZIP_STORED else None
        others = [name for name in archive.namelist() if name != _WEIGHTS]
        if others:
            message = f"ignored in `{self._path}`, not weights: {listed(others, 10)}"
            self._notes.append(IgnoredFiles.at(message, paths=others))
        if _METADATA in others and archive.getinfo(_METADATA).file_size < 1 << 20:
            content = json.loads(archive.read(_METADATA))
            self._version = str(content.get("keras_version", "")) if isinstance(content, dict) else ""
        return archive.open(member)

    def _walk(self, group: Any, path: KeyPath) -> None:
        address = self._h5.h5o.get_info(group.id).addr
        if address in self._groups or len(path) > MAX_DEPTH:
            raise damaged(self._path, f"the group `{format_path(path)}` contains itself, or is linked twice")
        self._groups.add(address)
        for name in group:
            inside = (*path, name)
            link = group.get(name, getlink=True)
            if not is_utf_8(name):
                raise damaged(self._path, f"a name in `{format_path(path)}` is not UTF-8")
            if not isinstance(link, self._h5.HardLink):
                raise _leads_out(self._path, inside, "a link")
            found = group[name]
            if isinstance(found, self._h5.Group):
                self._walk(found, inside)
            elif isinstance(found, self._h5.Dataset):
                self._datasets[inside] = self._dataset(found, inside)
        if len(self._datasets) > _MOST_LEAVES:
            raise damaged(self._path, f"it has more than {_MOST_LEAVES:,} arrays, more than any checkpoint has")

    def _dataset(self, data: Any, path: KeyPath) -> _Dataset:
        if data.is_virtual or data.external:
            raise _leads_out(self._path, path, "stored in another file")
        stored = data.id.get_storage_size()
        claimed = 0 if data.shape is None else data.size * data.dtype.itemsize
        if claimed > _PLAUSIBLE_BYTES and claimed > stored * _BEST_RATIO:
            why = f"`{format_path(path)}` claims {claimed:,} bytes, and {stored:,} are stored"
            raise damaged(self._path, why, paths=(format_path(path),))
        return _Dataset(data, self._dtype_name(data, path))

    def _dtype_name(self, data: Any, path: KeyPath) -> str | None:
        """Returns the dtype of raw bytes: Keras records it in an attribute, its older format nowhere."""
        if data.dtype.kind != "V" or data.dtype.names is not None:
            return None
        named = data.attrs.get("dtype", None)
        if isinstance(named, str) and dtypes.is_name(named):
            return named if dtypes.to_numpy(named).itemsize == data.dtype.itemsize else None
        if data.dtype.itemsize != _BFLOAT16_BYTES:
            return None
        self._anonymous.append(format_path(path))
        return "bfloat16"

    def _leaf(self, path: KeyPath, found: _Dataset) -> AbstractLeaf:
        data = found.data
        storage = Storage("hdf5", data.chunks, data.compression, nbytes=data.id.get_storage_size())
        if data.shape is None:
            return AbstractLeaf("none")
        text = self._h5.check_string_dtype(data.dtype)
        if text is not None and text.length is None and data.shape == ():
            return AbstractLeaf("string", storage=storage)
        try:
            name = found.named or dtypes.from_numpy(data.dtype)
        except KeyError as error:
            spelled = "str" if text is not None and text.length is None else data.dtype.str
            leaf = opaque_leaf(spelled, data.shape, storage)
            if leaf is None:
                where = format_path(path)
                raise unknown_dtype(f"`{where}` of `{self._path}`", data.dtype, paths=(where,)) from error
            return leaf
        return AbstractLeaf("array", AbstractArray(tuple(data.shape), name), storage=storage)

    def load(self, stored: KeyPath) -> Value:
        """Returns one leaf's value, in native byte order.

        Raises:
          CheckpointError: a chunk is missing or damaged, or compressed by a filter that HDF5 does not have.
        """
        import numpy as np

        found = self._datasets[stored]
        kind = self.info.tree.leaves[stored].kind
        if kind == "none":
            return None
        try:
            value = found.data[()]
        except _H5_ERRORS as error:
            why = f"`{format_path(stored)}` cannot be read ({_reason(error)})"
            raise damaged(self._path, why, paths=(format_path(stored),)) from error
        if kind == "string":
            return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        array = np.asarray(value)
        if found.named:
            return np.ascontiguousarray(array).view(dtypes.to_numpy(found.named)).reshape(array.shape)
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def extents(self, stored: KeyPath) -> tuple[Extent, ...] | None:
        """Where an array's bytes are stored; None where they are in chunks, or in a compressed archive."""
        data = self._datasets[stored].data
        leaf = self.info.tree.leaves[stored]
        if leaf.kind != "array" or not data.dtype.isnative or self._base is None or data.chunks or data.compression:
            return None
        offset = data.id.get_offset()
        return None if offset is None else (Extent(self._path, self._base + offset, leaf.nbytes),)

    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self._path,)

    def close(self) -> None:
        """Releases the file."""
        self._file.close()
        if self._archive:
            self._archive.close()


def _h5py(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        message = f"`{path}` is an HDF5 file, and the package `h5py`, which reads it, is not installed"
        help_text = "`pip install 'migrate-jax[keras]'`, or `pip install h5py`"
        raise CheckpointError(MissingPackage.at(message, help=help_text)) from error
    return h5py


def _offset(path: Path, member: zipfile.ZipInfo) -> int:
    """Returns the offset of a member's bytes, which follow a second header of variable length."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        head = file.read(_LOCAL_BYTES)
    return member.header_offset + _LOCAL_BYTES + sum(int.from_bytes(head[at : at + 2], "little") for at in (26, 28))


def _assumptions(paths: list[str]) -> list[Diagnostic]:
    if not paths:
        return []
    message = f"{listed(paths, 3)}: two raw bytes for each element, without a dtype; read as bfloat16"
    return [ReaderAssumption.at(message, paths=paths)]


def _leads_out(path: Path, inside: KeyPath, what: str) -> CheckpointError:
    name = format_path(inside)
    message = f"`{name}` of `{path}` is {what}, which could lead to another file"
    return CheckpointError(ForeignEntry.at(message, paths=(name,), help="save the model again as one file"))


def _reason(error: Exception) -> str:
    return str(error).replace("\n", " ")[:200]
